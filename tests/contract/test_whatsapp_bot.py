"""The bot on WhatsApp as a process: real library, real databases, and a network that fails."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxkit import needs_root
from tests.unit.bot.botkit import PATIENCE_S, ROOT, Proc, World, world
from tests.whatsapp import SilentPeer, add_device, database, dead_proxy, needs_neonize


@pytest.fixture(name="here")
def _here() -> Iterator[World]:
    with world() as made:
        yield made


def started(here: World, proxy: str) -> Proc:
    """Start a bot on WhatsApp, cold."""
    return here.bot(BOT_TRANSPORT="whatsapp", BOT_WHATSAPP_PROXY=proxy)


def linked(here: World) -> Path:
    """Make a linked session; return its database."""
    here.session.mkdir(mode=0o700)
    path = database(here.session / "whatsapp.db")
    add_device(path)
    return path


def states(heard: list[dict[str, str]]) -> set[str]:
    """Return the states that were said."""
    return {one["X_STILLHERE_SESSION"] for one in heard if "X_STILLHERE_SESSION" in one}


@needs_neonize
def test_a_standby_touches_neither_session_nor_network(here: World) -> None:
    """All is imported, and it waits; told that it is not needed, it goes."""
    linked(here)
    before = sorted(path.name for path in here.session.iterdir())
    ours, theirs = os.pipe()
    with SilentPeer() as peer:
        env = {
            "BOT_TRANSPORT": "whatsapp",
            "BOT_WHATSAPP_PROXY": peer.proxy,
            "STILLHERE_STANDBY_FD": str(ours),
        }
        bot = here.start("bot", pass_fds=(ours,), env=env)
        os.close(ours)
        bot.ear.until("X_STILLHERE_STANDBY", "1")
        maps = Path(f"/proc/{bot.pid}/maps").read_text()
        os.close(theirs)
        assert bot.popen.wait(PATIENCE_S) == 0
        assert peer.visits == 0
    assert "neonize-linux" in maps
    assert sorted(path.name for path in here.session.iterdir()) == before
    assert states(bot.ear.heard + bot.ear.rest()) == set()


@needs_neonize
def test_it_leaves_while_the_library_is_stuck_and_is_alone(here: World) -> None:
    """A peer that never answers blocks the library, not the bot; a second bot is refused."""
    linked(here)
    with SilentPeer() as peer:
        bot = started(here, peer.proxy)
        peer.visited()
        second = started(here, peer.proxy)
        assert second.popen.wait(PATIENCE_S) == 1
        said = second.ear.until("X_STILLHERE_SESSION", "conflict")
        assert "another process uses this session" in said["X_STILLHERE_REASON"]
        bot.signal(signal.SIGUSR2)
        bot.ear.until("X_STILLHERE_CHECKPOINT", "1")
        assert bot.stop() == 0
        assert peer.visits == 1
    bot.ear.until("X_STILLHERE_RELEASED", "1")
    assert states(bot.ear.heard) == {"connecting"}


@needs_neonize
def test_a_network_that_refuses_is_offline(here: World) -> None:
    """Nothing is lost, nothing is linked anew; the session stays as it is."""
    path = linked(here)
    bot = started(here, dead_proxy())
    said = bot.ear.until("X_STILLHERE_SESSION", "offline")
    assert "refused" in said["X_STILLHERE_REASON"]
    assert bot.stop() == 0
    bot.ear.until("X_STILLHERE_RELEASED", "1")
    assert states(bot.ear.heard) == {"connecting", "offline"}
    assert sorted(one.name for one in here.session.iterdir()) == [
        "linked.json",
        "store.db",
        path.name,
    ]
    assert (b"k" * 32).decode() not in bot.output()


@needs_neonize
def test_an_emptied_database_is_lost_and_left(here: World) -> None:
    """The library would make a new device of it, and show a QR code."""
    path = linked(here)
    path.write_bytes(b"")
    bot = started(here, dead_proxy())
    said = bot.ear.until("X_STILLHERE_SESSION", "lost")
    assert said["X_STILLHERE_REASON"] == "whatsapp.db is empty"
    assert bot.popen.wait(PATIENCE_S) == 1
    assert [(one.name, one.stat().st_size) for one in here.session.iterdir()] == [(path.name, 0)]


@needs_neonize
@needs_root
@pytest.mark.long
def test_no_network_at_all_is_offline(here: World) -> None:
    """Without an interface and without a proxy: the library itself says so."""
    linked(here)
    env = here.env(BOT_TRANSPORT="whatsapp", STILLHERE_SESSION_DIR=str(here.session))
    with subprocess.Popen(
        ["unshare", "-n", sys.executable, "-m", "bot"],
        cwd=here.folder,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    ) as bot:
        assert bot.stdout is not None
        assert bot.stdout.readline().startswith("offline: no connection:")
        bot.terminate()
        assert bot.wait(PATIENCE_S) == 0


def test_without_the_library_it_says_what_to_install(here: World) -> None:
    """Before it touches anything."""
    (here.folder / "neonize.py").write_text("raise ModuleNotFoundError(name='neonize')\n")
    done = subprocess.run(
        [sys.executable, "-m", "bot"],
        cwd=here.folder,
        env=here.env(BOT_TRANSPORT="whatsapp", PYTHONPATH=f"{here.folder}:{ROOT}"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install -e '.[bot,whatsapp]'" in done.stderr
    assert not (here.folder / "sessions" / "session-whatsapp" / "whatsapp.db").exists()
