"""The bot's link: what it writes to the socket, and that it never hurts the bot."""

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.keys import BoxKey, Identity
from bot.link import Link
from bot.protocol import decode
from bot.transports.local_pairing import _show
from tests.unit.bot.botkit import Ear, world


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Make a supervisor's ear."""
    with world() as here:
        made = Ear(here.folder, "n")
        yield made
        made.close()


@pytest.fixture(autouse=True)
def links() -> Iterator[None]:
    """Close what a test's links hold open."""
    yield
    while MADE:
        MADE.pop().close()


MADE: list[Link] = []
FULL = """\
X_STILLHERE_SESSION=linked
X_STILLHERE_IDENTITY=d:f
X_STILLHERE_PROOF=roundtrip
X_STILLHERE_UNDECRYPTABLE=3
STATUS=online
READY=1"""


def link_to(ear: Ear, **env: str) -> Link:
    """Return a link that speaks to the ear."""
    MADE.append(Link({"NOTIFY_SOCKET": str(ear.path), **env}))
    return MADE[-1]


def test_each_word_is_written_as_agreed(ear: Ear) -> None:
    """One datagram for each call, KEY=VALUE lines, in this order."""
    link = link_to(ear)
    link.caps("standby checkpoint:SIGUSR2")
    link.session("pairing")
    link.session("lost", reason="401 device removed")
    link.session("restored", "d:f")
    link.ready("linked", identity="d:f", proof="roundtrip", status="online", deaf=3)
    link.ready()
    link.proof("roundtrip")
    link.undecryptable(2)
    ear.rest()  # a datagram socket holds about ten
    link.qr("code", 20)
    link.status("a\nREADY=1\r\nb \N{WHITE HEAVY CHECK MARK}")
    link.watchdog()
    link.extend(1.5)
    link.stopping()
    link.released()
    ear.rest()

    assert ear.raw == [
        "X_STILLHERE_CAPS=standby checkpoint:SIGUSR2",
        "X_STILLHERE_SESSION=pairing",
        "X_STILLHERE_SESSION=lost\nX_STILLHERE_REASON=401 device removed",
        "X_STILLHERE_SESSION=restored\nX_STILLHERE_IDENTITY=d:f",
        FULL,
        "READY=1",
        "X_STILLHERE_PROOF=roundtrip",
        "X_STILLHERE_UNDECRYPTABLE=2",
        "X_STILLHERE_QR=code\nX_STILLHERE_QR_TTL_USEC=20000000",
        "STATUS=a READY=1 b \N{WHITE HEAVY CHECK MARK}",
        "WATCHDOG=1",
        "EXTEND_TIMEOUT_USEC=1500000",
        "STOPPING=1",
        "X_STILLHERE_RELEASED=1",
    ]


def test_a_checkpoint_carries_the_monotonic_clock(ear: Ear) -> None:
    """So that the supervisor can tell an answer to its request from an earlier one."""
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    link_to(ear).checkpointed()
    answer = ear.next()
    assert answer["X_STILLHERE_CHECKPOINT"] == "1"
    assert (
        before <= int(answer["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) / 1e3
    )


def test_abstract_addresses_work() -> None:
    """An address that starts with @ is an abstract socket."""
    name = f"stillhere-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        MADE.append(Link({"NOTIFY_SOCKET": f"@{name}"}))
        MADE[-1].ready()
        assert heard.recv(100) == b"READY=1"


@pytest.mark.parametrize("env", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_without_a_supervisor_all_is_harmless(env: dict[str, str], tmp_path: Path) -> None:
    """No socket, or one that is gone: every call returns, and a private default folder is used."""
    folder = tmp_path / "sessions" / "session-x"
    link = Link(env, default_session=folder)
    link.caps("standby")
    link.ready("restored", identity="d:f")
    link.released()
    assert link.standby() == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert asyncio.run(link.activated()) == folder


def fill(ear: Ear) -> None:
    """Send until the socket is full."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
        contextlib.suppress(BlockingIOError),
    ):
        filler.connect(str(ear.path))
        while True:
            filler.send(b"STATUS=full", socket.MSG_DONTWAIT)


def test_a_full_socket_does_not_hold_the_bot(ear: Ear) -> None:
    """Where nobody reads, a status is dropped after 0.2 s, a deciding word after 1 s."""
    fill(ear)
    link = link_to(ear)
    begun = time.monotonic()
    link.status("dropped")
    middle = time.monotonic()
    link.released()
    assert middle - begun < 0.5
    assert time.monotonic() - middle < 1.5


def test_a_word_that_decides_waits_for_room(ear: Ear) -> None:
    """A full socket that is read soon gets the word."""
    fill(ear)
    talking = threading.Thread(target=link_to(ear).ready)
    talking.start()
    ear.until("READY", "1")
    talking.join(5)


def test_standby_waits_for_the_whole_line(ear: Ear) -> None:
    """`activate PATH`, in pieces too; the path may hold spaces; the fd is closed afterwards."""
    theirs, ours = os.pipe()
    link = link_to(ear, STILLHERE_STANDBY_FD=str(theirs))
    found: list[Path | None] = []
    waiting = threading.Thread(target=lambda: found.append(link.standby()))
    waiting.start()
    ear.until("X_STILLHERE_STANDBY", "1")
    os.write(ours, b"activate /a fold")
    os.write(ours, b"er/session-1\n")
    waiting.join(5)
    os.close(ours)
    assert found == [Path("/a folder/session-1")]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(theirs)


@pytest.mark.parametrize(
    "line", [b"", b"activate", b"activate /cut", b"nonsense /x\n", b"activate \n"]
)
def test_anything_but_the_line_is_no_activation(ear: Ear, line: bytes) -> None:
    """End of file, a cut line or another word: not ours, the bot exits."""
    theirs, ours = os.pipe()
    os.write(ours, line)
    os.close(ours)
    assert link_to(ear, STILLHERE_STANDBY_FD=str(theirs)).standby() is None


def test_a_cold_start_waits_for_nothing(ear: Ear) -> None:
    """With STILLHERE_SESSION_DIR the folder is ours at once and no STANDBY is said."""
    theirs, ours = os.pipe()
    env = {"STILLHERE_STANDBY_FD": str(theirs), "STILLHERE_SESSION_DIR": "/s"}
    assert link_to(ear, **env).standby() == Path("/s")
    os.close(ours)
    assert ear.rest() == []


def test_asyncio_lives_on_while_standing_by(ear: Ear) -> None:
    """The awaitable variant leaves the loop to others until the line comes."""
    theirs, ours = os.pipe()

    async def scene() -> tuple[Path | None, bool]:
        link = link_to(ear, STILLHERE_STANDBY_FD=str(theirs))
        async with asyncio.timeout(5):
            waiting = asyncio.create_task(link.activated())
            others = asyncio.Event()
            asyncio.get_running_loop().call_soon(others.set)
            await others.wait()
            early = waiting.done()
            os.write(ours, b"activate /s\n")
            return await waiting, early

    assert asyncio.run(scene()) == (Path("/s"), False)
    os.close(ours)


def test_link_is_one_file_with_no_dependency() -> None:
    """People copy bot/link.py: it must import nothing of ours and nothing installed."""
    source = Path("bot/link.py").read_text()
    imported = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    allowed = {
        "asyncio",
        "contextlib",
        "fcntl",
        "os",
        "socket",
        "sys",
        "time",
        "collections.abc",
        "pathlib",
    }
    assert {line.split()[1] for line in imported} <= allowed


def test_the_watchdog_is_for_its_process_only() -> None:
    """WATCHDOG_USEC counts unless WATCHDOG_PID names another process."""
    assert Link({"WATCHDOG_USEC": "3000000"}).watchdog_s == 3
    assert Link({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Link({"WATCHDOG_USEC": "soon"}).watchdog_s is None


@pytest.mark.parametrize("ttl", ["Infinity", "-1", "NaN", "null", '"20"', "1e300"])
def test_a_code_that_lives_for_no_sane_time_is_shown_all_the_same(
    ear: Ear, tmp_path: Path, ttl: str
) -> None:
    """JSON knows numbers that no clock does: the bot goes on, and gives none of them on."""
    host: Any = SimpleNamespace(qr=link_to(ear).qr)
    ours = Identity(), BoxKey(), b"secret"
    frame = decode(f'{{"op": "ref", "ref": "r", "ttl_s": {ttl}}}'.encode())
    _show(host, tmp_path, ("127.0.0.1", 1), frame, ours)
    assert ear.next()["X_STILLHERE_QR_TTL_USEC"] == "0"
