"""The supervisor as PID 1 of a namespace of its own, as in a container."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.harness import ROOT, WAIT_S, Folder, Running, running

ORPHANS = 500
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

CALM = """
[bot.calm]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }
"""
STORMY = f"""
[bot.stormy]
command = ["{sys.executable}", "stormy_bot.py", "{ORPHANS}"]
ready = {{ log = "here" }}
restart = {{ intensity = [1, 60], backoff_s = [0.01, 0.01] }}
{CALM}"""


@pytest.fixture(autouse=True)
def rights() -> None:
    """Skip where no namespaces can be made."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1)")
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no right to make namespaces: {done.stderr.strip()}")


def first(supervisor: Running) -> int:
    """Return the process that is PID 1 inside, by its number here."""
    pid = supervisor.process.pid
    until = time.monotonic() + WAIT_S
    while not (children := offspring(pid)):
        assert time.monotonic() < until
        supervisor.process_waits()
    return children[0]


def offspring(pid: int) -> list[int]:
    """Return the children of a process, those that nobody collected included."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def end(supervisor: Running) -> int:
    """SIGTERM to PID 1, as `docker stop` sends it; return its exit code."""
    if supervisor.process.poll() is None:
        os.kill(first(supervisor), signal.SIGTERM)
    return supervisor.process.wait(WAIT_S)


def go(folder: Folder, word: str) -> None:
    """Let the storm begin."""
    (folder.root / "go").write_text(word)


@pytest.fixture
def stormy(new_folder: Callable[..., Folder]) -> Folder:
    """A folder with a bot of many orphans."""
    folder = new_folder(STORMY)
    folder.before = UNSHARE
    shutil.copy(ROOT / "tests" / "system" / "bots" / "stormy_bot.py", folder.root)
    os.mkfifo(folder.root / "go")
    return folder


def test_a_stop_is_heard_in_a_storm(stormy: Folder) -> None:
    """SIGTERM comes while 500 children end: it is not lost among their signals."""
    with running(stormy, "run") as supervisor:
        supervisor.wait("verified", bot="stormy")
        pid = first(supervisor)
        os.kill(pid, signal.SIGSTOP)  # so all of them come in one turn of its loop
        go(stormy, "on")
        until = time.monotonic() + WAIT_S
        while running_children(pid) > 2:
            assert time.monotonic() < until
            supervisor.process_waits()
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        assert supervisor.process.wait(WAIT_S) == 0
        assert "Exception ignored" not in supervisor.console


def running_children(pid: int) -> int:
    """Return how many children have not ended yet."""
    stats = (Path(f"/proc/{child}/stat").read_text() for child in offspring(pid))
    return sum(stat.rpartition(")")[2].split()[0] != "Z" for stat in stats)


def test_a_stop_right_after_the_start_is_not_dropped(new_folder: Callable[..., Folder]) -> None:
    """Before anybody handles it the kernel drops it for PID 1; here it waits, and is obeyed."""
    folder = new_folder(CALM)
    folder.before = UNSHARE
    folder.module = "tests.system.early_supervisor"
    with running(folder, "run") as supervisor:
        assert supervisor.process.wait(WAIT_S) == 0
        assert "verified" not in [event["event"] for event in supervisor.events]


def test_what_was_held_is_not_inherited(new_folder: Callable[..., Folder]) -> None:
    """A bot's SIGTERM works: nothing of what PID 1 blocks at its start is passed on."""
    folder = new_folder(CALM)
    folder.before = UNSHARE
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="calm")
        (bot,) = offspring(first(supervisor))
        status = Path(f"/proc/{bot}/status").read_text()
        assert "\nSigBlk:\t0000000000000000\n" in status
        assert end(supervisor) == 0
