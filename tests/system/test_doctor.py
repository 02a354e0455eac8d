"""The doctor beside a real supervisor: what it says while bots run, fail, and were killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.system.harness import Folder, alive, running

CONFIG = """
[bot.one]
command = ["python", "bot.py"]
session = "one"
ready = { log = "up" }
stop_timeout_s = 0.3
"""
BOT = """
import os, signal, sys
from pathlib import Path
session = Path(os.environ["STILLHERE_SESSION_DIR"])
held = (session / "device.json").open("a")
held.write("{}") if not held.tell() else None
held.flush()
print("up", flush=True)
signal.sigwait({signal.SIGTERM})
"""
DEAF = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})" + BOT.replace(
    "{signal.SIGTERM}", "{signal.SIGUSR1}"
)
FAILS = "raise SystemExit('no such account')"


def _found(folder: Folder, *words: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code, and what the doctor says that is not fine, by its check."""
    done = folder.stillhere("doctor", "--json", *words)
    told = json.loads(done.stdout)["findings"]
    return done.returncode, {each["check"]: each for each in told if each["severity"] != "ok"}


@contextmanager
def _by_hand(folder: Folder) -> Iterator["subprocess.Popen[str]"]:
    """Run the bot a second time, as somebody does in another terminal."""
    environment = folder.environment(
        STILLHERE_SESSION_DIR=str(folder.root / "sessions/session-one")
    )
    with subprocess.Popen(
        [sys.executable, "bot.py"],
        cwd=folder.root,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def _project(new_folder: Callable[..., Folder], bot: str) -> Folder:
    folder = new_folder(CONFIG)
    folder.write("bot.py", bot)
    return folder


def test_beside_a_bot_that_is_well(new_folder: Callable[..., Folder]) -> None:
    """Its own processes are no copies, its locks no orphans; nothing of it is disturbed."""
    folder = _project(new_folder, BOT)
    with running(folder) as supervisor:
        supervisor.wait("snapshot_taken")
        mark = supervisor.mark_now()
        code, found = _found(folder)
        assert (code, set(found) - {"restores"}) == (0, set())  # it says no device: a note
        with _by_hand(folder) as copy:
            code, found = _found(folder, "one")
            assert (code, found["copies"]["commands"]) == (1, [f"kill {copy.pid}"])
        assert _found(folder)[0] == 0
        assert not supervisor.seen("exited", mark)
    assert _found(folder)[0] == 0


@pytest.mark.long
def test_a_bot_that_is_deaf_to_its_stop(new_folder: Callable[..., Folder]) -> None:
    """It had to be killed: said, until a stop is as it should be."""
    folder = _project(new_folder, DEAF)
    with running(folder) as supervisor:
        supervisor.wait("restarted")
        folder.write("bot.py", BOT)
        supervisor.wait("restarted", supervisor.mark())
        code, found = _found(folder)
        assert (code, "SIGKILL" in found["stop"]["seen"]) == (1, True)
    assert "stop" not in _found(folder)[1]


def test_a_bot_that_fails_and_a_supervisor_that_is_killed(
    new_folder: Callable[..., Folder],
) -> None:
    """Why it failed is told; then what a killed supervisor left, which is ended as told."""
    folder = _project(new_folder, FAILS)
    with running(folder) as supervisor:
        supervisor.wait("failed")
        code, found = _found(folder)
        assert (code, "FAILED" in found["online"]["seen"]) == (1, True)
        folder.replace("bot.py", BOT)  # at once: half a file would be another restart
        supervisor.wait("restarted")
        # A copy that is under way would have it thawed: after this one none is.
        supervisor.client.call("session", op="backup", id="one")
        pid = supervisor.status("one")["pid"]
        os.kill(pid, signal.SIGSTOP)  # else it would end with its supervisor
        supervisor.kill()
        code, found = _found(folder)
        assert code == 1
        assert "orphans" in found, (alive(pid), found)
        assert f"kill {pid}" in found["orphans"]["commands"]
        assert "ended without stopping it" in found["online"]["seen"]
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        supervisor.until(lambda: not alive(pid), "gone")
        assert "orphans" not in _found(folder)[1]


def test_a_bot_that_waits_for_its_first_link(folder: Folder) -> None:
    """A newcomer is told to scan, and not that the session lies elsewhere."""
    with running(folder) as supervisor:
        supervisor.wait("pairing", bot="echo")
        code, found = _found(folder, "echo")
    assert (code, set(found)) == (1, {"online"})
    assert found["online"]["cause"] == "nobody has scanned one yet"
    assert found["online"]["commands"] == ["stillhere link echo"]
