"""The bot's end of the contract, spoken by real processes to a socket that we hold."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from supervisor.core import events as ev
from supervisor.process import environment
from tests.contract.childkit import watched
from tests.unit.bot.botkit import PATIENCE_S, ROOT, Ear, Proc, World, world


class Standby:
    """A bot that stands by, and our end of its pipe."""

    def __init__(self, here: World, generation: int = 2) -> None:
        theirs, self._ours = os.pipe()
        self.proc: Proc = here.start(
            "bot",
            pass_fds=(theirs,),
            env={
                "STILLHERE_STANDBY_FD": str(theirs),
                "STILLHERE_GENERATION": str(generation),
            },
        )
        os.close(theirs)

    def say(self, line: bytes) -> None:
        """Write to the bot."""
        os.write(self._ours, line)

    def close(self) -> None:
        """Give up: the bot reads the end of the file."""
        os.close(self._ours)


def test_a_cold_start_speaks_the_golden_lines(here: World) -> None:
    """Each datagram of a cold start of a linked bot, and of its stop, is as the contract says."""
    _, first = here.linked()
    first.stop()

    bot = here.bot(generation=2)
    ready = bot.ready()
    identity = ready["X_STILLHERE_IDENTITY"]
    assert bot.stop() == 0
    bot.ear.rest()

    assert bot.ear.raw == [
        "X_STILLHERE_CAPS=standby checkpoint:SIGUSR2",
        "X_STILLHERE_SESSION=connecting",
        "\n".join(
            (
                "X_STILLHERE_SESSION=restored",
                f"X_STILLHERE_IDENTITY={identity}",
                "X_STILLHERE_PROOF=roundtrip",
                f"STATUS=online as {identity}",
                "READY=1",
            )
        ),
        "STOPPING=1",
        "X_STILLHERE_RELEASED=1",
    ]


def test_pairing_speaks_the_golden_lines(here: World) -> None:
    """A first start says pairing, hands over a code with its time to live, then says linked."""
    phone, bot = here.linked()
    device = phone.devices()[0]
    said = [fields.get("X_STILLHERE_SESSION") for fields in bot.ear.heard]

    assert [state for state in said if state] == ["connecting", "pairing", "linked"]
    codes = [fields for fields in bot.ear.heard if "X_STILLHERE_QR" in fields]
    assert [fields["X_STILLHERE_QR_TTL_USEC"] for fields in codes] == ["20000000"]
    assert bot.ear.heard[-1]["X_STILLHERE_IDENTITY"] == f"{device['id']}:{device['fingerprint']}"
    assert bot.ear.heard[-1]["X_STILLHERE_PROOF"] == "roundtrip"


def test_no_secret_is_printed_or_logged(here: World) -> None:
    """Neither the QR payload nor a private key is in the bot's output or in the server's log."""
    _, bot = here.linked()
    code = next(fields["X_STILLHERE_QR"] for fields in bot.ear.heard if "X_STILLHERE_QR" in fields)
    secrets = code.split(",")[2:]
    creds = (here.session / "creds.json").read_text()
    private = creds.partition('"private": "')[2].partition('"')[0]

    for shown in (bot.output(), (here.data / "server.log").read_text()):
        assert not any(secret in shown for secret in (*secrets, private))
    assert secrets[-1] not in (here.data / "server.db").read_bytes().decode("latin-1")
    assert not (here.data / "screen.qr").exists()


def test_a_standby_touches_nothing_before_it_is_activated(here: World) -> None:
    """A standby says caps and standby, takes the session at `activate PATH`, and is ready soon."""
    phone, old = here.linked()
    standby = Standby(here)
    standby.proc.ear.until("X_STILLHERE_STANDBY", "1")
    asked = phone.send("!ping")
    assert phone.wait_reply(asked).text == "pong"
    assert here.stats()["devices"][phone.devices()[0]["id"]]["connects"] == 1
    assert old.stop() == 0

    standby.say(f"activate {here.session}\n".encode())
    activated = time.monotonic()
    ready = standby.proc.ready()
    assert time.monotonic() - activated < 5

    assert standby.proc.ear.raw[:3] == [
        "X_STILLHERE_CAPS=standby checkpoint:SIGUSR2",
        "X_STILLHERE_STANDBY=1",
        "X_STILLHERE_SESSION=connecting",
    ]
    assert ready["X_STILLHERE_SESSION"] == "restored"
    assert ready["X_STILLHERE_PROOF"] == "roundtrip"
    assert phone.wait_reply(phone.send("!status")).text.startswith("up 0 s, generation 2")
    standby.close()  # after the line, the pipe means nothing
    assert phone.wait_reply(phone.send("!ping")).text == "pong"


def test_a_standby_that_is_not_needed_ends(here: World) -> None:
    """At the end of the file before `activate`, a standby exits with 0 and says no more."""
    standby = Standby(here)
    standby.proc.ear.until("X_STILLHERE_STANDBY", "1")
    standby.close()

    assert standby.proc.popen.wait(PATIENCE_S) == 0
    assert standby.proc.ear.rest() == []


def test_a_standby_that_is_told_to_stop_ends(here: World) -> None:
    """SIGTERM ends a standby at once."""
    standby = Standby(here)
    standby.proc.ear.until("X_STILLHERE_STANDBY", "1")

    assert standby.proc.stop() == 0
    standby.close()


def test_a_cold_start_with_the_fd_needs_no_activation_wait(here: World) -> None:
    """With STILLHERE_SESSION_DIR set, the line in the pipe is not waited for and not announced."""
    theirs, ours = os.pipe()
    os.write(ours, f"activate {here.session}\n".encode())
    bot = here.bot(STILLHERE_STANDBY_FD=str(theirs))
    os.close(theirs)
    os.close(ours)
    bot.ear.until("X_STILLHERE_SESSION", "pairing")

    assert not any("X_STILLHERE_STANDBY" in fields for fields in bot.ear.heard)


def test_a_checkpoint_leaves_all_in_two_files(here: World) -> None:
    """On SIGUSR2 the bot flushes, answers with a monotonic time, and goes on."""
    phone, bot = here.linked()
    phone.wait_reply(phone.send("!note remember me"))
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    bot.signal(signal.SIGUSR2)
    answer = bot.ear.until("X_STILLHERE_CHECKPOINT", "1")

    assert int(answer["MONOTONIC_USEC"]) >= before
    with contextlib.suppress(FileNotFoundError):
        assert (here.session / "store.db-wal").stat().st_size == 0
    assert b"remember me" in (here.session / "store.db").read_bytes()
    assert phone.wait_reply(phone.send("!note")).text == "1. remember me"
    assert bot.stop() == 0
    assert sorted(path.name for path in here.session.iterdir()) == ["creds.json", "store.db"]
    assert {oct(path.stat().st_mode & 0o777) for path in here.session.iterdir()} == {"0o600"}


def test_the_server_is_a_companion() -> None:
    """The server says READY when it listens, and on SIGTERM it ends at once and says so."""
    with world() as other:
        server = other.server()
        assert "READY" in server.ear.heard[0]
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 2
        assert [list(fields) for fields in server.ear.rest()] == [
            ["STOPPING"],
            ["X_STILLHERE_RELEASED"],
        ]


def test_killed_at_its_last_word_the_bot_has_lost_nothing(here: World) -> None:
    """SIGKILL right at RELEASED, in a stream of messages: none lost, none twice, all is closed."""
    phone, bot = here.linked()
    sent: list[str] = []
    for generation in range(2, 8):
        sent += [phone.send(f"!note {generation}") for _ in range(5)]
        bot.popen.terminate()
        bot.ear.until("X_STILLHERE_RELEASED", "1")
        bot.kill()
        traced = [json.loads(line) for line in here.trace.read_text().splitlines()]
        assert [line["event"] for line in traced if line["pid"] == bot.pid][-1] == "released"
        assert sorted(path.name for path in here.session.iterdir()) == ["creds.json", "store.db"]
        # The server writes that down a moment after the bot is gone: meanwhile it is asked things.
        until = time.monotonic() + 10
        while len(here.log("disconnected")) < generation - 1 and time.monotonic() < until:
            phone.devices()
        assert here.log("disconnected")[-1]["reason"] == "bye"
        bot = here.bot(generation=generation)
        assert bot.ready()["X_STILLHERE_PROOF"] == "roundtrip"
    for message_id in sent:
        phone.wait_reply(message_id, PATIENCE_S)
    assert [len(phone.answers(message_id)) for message_id in sent] == [1] * len(sent)


@pytest.mark.usefixtures("adopting")
def test_what_was_printed_before_the_last_word_arrives() -> None:
    """Not yet flushed then, and killed at that word: every line is there, to the last one."""
    script = (
        "sys.path.insert(0, os.environ['ROOT'])\n"
        "from bot.link import Link\n"
        "sys.stdout = open(1, 'w', buffering=1 << 20, closefd=False)\n"
        "print(*range(2000), sep='\\n')\n"
        "print('without an end', end='')\n"
        "Link().released()\n"
        "hold()"
    )

    async def run(*, terminal: bool) -> None:
        env = {**environment.base({}, None), "ROOT": str(ROOT)}
        async with watched(script, env=env, terminal=terminal) as bot:
            await bot.heard(ev.Released)
            bot.child.kill()
            await bot.heard(ev.TreeGone)
            printed = [line for stream, line in bot.lines if stream == "stdout"]
            assert printed == [*(b"%d" % n for n in range(2000)), b"without an end"]

    for terminal in (False, True):
        asyncio.run(run(terminal=terminal))


def test_the_last_word_comes_where_nobody_reads_what_is_printed(here: World) -> None:
    """Its output is closed, or nobody's any more: the word is said all the same."""
    ear = Ear(here.folder, "closed")
    says = "from bot.link import Link; print('x', end=''); {}; Link().released(); os._exit(7)"
    for first in (
        "sys.stdout.close()",
        "sys.stdout = None",
        "r, w = os.pipe(); os.close(r); os.dup2(w, 1)",
    ):
        done = subprocess.run(
            [sys.executable, "-c", "import os, sys; " + says.format(first)],
            env=here.env(NOTIFY_SOCKET=str(ear.path)),
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 7
        assert ear.next() == {"X_STILLHERE_RELEASED": "1"}
    ear.close()


def test_a_watchdog_is_fed(here: World) -> None:
    """A bot with WATCHDOG_USEC feeds the watchdog, also while it shows a QR code."""
    bot = here.bot(WATCHDOG_USEC="300000")
    for _ in range(3):
        bot.ear.until("WATCHDOG", "1")


def test_damage_is_called_lost_and_not_paired_over(here: World) -> None:
    """An unreadable creds.json or store.db: lost, exit status 1, and the file as it was."""
    _, bot = here.linked()
    bot.stop()
    for name, content in (
        ("creds.json", b'{"device": "x'),
        ("store.db", b""),
        ("store.db", b"x" * 99),
    ):
        session = here.copy_session(f"damaged-{name}-{len(content)}")
        (session / name).write_bytes(content)
        damaged = here.bot(session)
        lost = damaged.ear.until("X_STILLHERE_SESSION", "lost")

        assert name in lost["X_STILLHERE_REASON"]
        assert damaged.popen.wait(PATIENCE_S) == 1
        assert (session / name).read_bytes() == content
        assert not any("X_STILLHERE_QR" in fields for fields in damaged.ear.heard)
