"""Bots that do not die, die all the time, or never stop talking."""

import json
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.system.harness import Folder, alive, link, running

BOTS = Path(__file__).parent / "bots"
STOP_S = 1.0
ONE = """
[bot.x]
command = ["python", "src/{bot}"]
session = "x"
watch = ["src"]
stop_timeout_s = {stop_s}

[bot.x.restart]
backoff_s = [0.02, 0.1]
intensity = [3, 60]
"""


def with_bot(new_folder: Callable[..., Folder], bot: str) -> Folder:
    """Make the folder of a synthetic bot."""
    folder = new_folder(ONE.format(bot=bot, stop_s=STOP_S))
    folder.write(f"src/{bot}", (BOTS / bot).read_text() if (BOTS / bot).exists() else "")
    return folder


def ends_within(pids: list[int], timeout_s: float) -> bool:
    """Wait for processes to end; say whether all did."""
    until = time.monotonic() + timeout_s
    fds = [os.pidfd_open(pid) for pid in pids if alive(pid)]
    try:
        return all(select.select([fd], [], [], max(0.0, until - time.monotonic()))[0] for fd in fds)
    finally:
        for fd in fds:
            os.close(fd)


def memory_mb(pid: int) -> float:
    """Return the most that a process ever had in memory."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024


def test_a_bot_that_ignores_sigterm_is_gone_with_all_its_tree(
    new_folder: Callable[..., Folder],
) -> None:
    """Deaf, with two deaf grandchildren: all gone within stop timeout + 2 s, then restarted."""
    folder = with_bot(new_folder, "stubborn_bot.py")
    with running(folder) as supervisor:
        supervisor.wait("verified")
        before = supervisor.status("x")
        grandchildren = json.loads((folder.root / "grandchildren").read_text())
        tree = [before["pid"], *grandchildren]
        assert len({os.getsid(pid) for pid in tree}) == 2
        mark = supervisor.mark_now()
        source = (folder.root / "src/stubborn_bot.py").read_text()
        folder.replace("src/stubborn_bot.py", source.replace("VERSION = 1", "VERSION = 2"))
        supervisor.wait("stopping", mark)
        assert ends_within(tree, STOP_S + 2)
        record = supervisor.restarted(mark, bot="x")
        assert STOP_S <= record["stop_s"] <= STOP_S + 2
        assert record["verified"]
        after = supervisor.status("x")
        assert after["status"] == "version 2"
        assert (after["generation"], after["restarts"]) == (before["generation"] + 1, 1)
        assert "stop timeout" in supervisor.console or "did not stop" in supervisor.console
        survivors = [after["pid"], *json.loads((folder.root / "grandchildren").read_text())]
        began = time.monotonic()
        assert supervisor.stop() == 0
        assert time.monotonic() - began < STOP_S + 4
        assert not [pid for pid in survivors if alive(pid)]


def test_a_killed_bot_is_back_with_its_session(folder: Folder) -> None:
    """SIGKILL: the same device, proved by a round trip, no QR; its children die with it."""
    with running(folder) as supervisor, link(supervisor) as phone:
        identity = supervisor.status()["session"]["identity"]
        for count in (1, 2):
            mark = supervisor.mark_now()
            pid = supervisor.status()["pid"]
            os.kill(pid, signal.SIGKILL)
            exited = supervisor.wait("exited", mark, bot="echo")
            assert exited["signal"] == signal.SIGKILL
            record = supervisor.restarted(mark)
            assert (record["reason"], record["mode"]) == ("crash", "cold")
            assert (record["verified"], record["proof"]) == (True, "roundtrip")
            assert not record["rolled_back"]
            status = supervisor.status()
            assert status["pid"] != pid
            assert status["restarts"] == count
            assert status["session"]["identity"] == identity
            assert phone.wait_reply(phone.send("!ping")).text == "pong"
        session = status["session"]
        assert (session["link_count"], session["qr_count"]) == (1, 1)
        assert session["rollback_count"] == 0
        assert not folder.server_log("conflict")


def test_output_never_blocks_a_bot_and_memory_stays_bounded(
    new_folder: Callable[..., Folder],
) -> None:
    """200,000 lines and 5 MB without a newline: the bot gets ready, `logs` shows what was kept."""
    folder = with_bot(new_folder, "chatty_bot.py")
    with running(folder) as supervisor:
        supervisor.wait("supervisor_started")
        supervisor.wait("verified", timeout_s=40)
        assert memory_mb(supervisor.process.pid) < 150
        supervisor.shows("the last word")
        done = folder.stillhere("logs", "--json", "-n", "9000")
        assert done.returncode == 0
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines
        words = [line["line"] for line in lines if line["stream"] == "stdout"]
        numbers = [int(word[5:]) for word in words if word.startswith("line ")]
        assert numbers == sorted(set(numbers))
        assert 0 < len(numbers) <= 200_000  # a flood is sampled, and what is left out counted
        assert folder.stillhere("logs", "-n", "1").stdout
        assert supervisor.stop() == 0


CRASHING = """
import json, os, signal
from bot.link import Link
session = Link().standby()
(session / "creds.json").write_text(json.dumps({"device": 7}))
Link().ready("restored", identity="7:seven")
print("about to crash", flush=True)
os._exit(5)
"""


def test_a_crash_loop_ends_in_failed(new_folder: Callable[..., Folder]) -> None:
    """As a service: at most `intensity` crashes, with backoff, then FAILED, and 3 says so."""
    folder = with_bot(new_folder, "crashing.py")
    folder.write("src/crashing.py", CRASHING)
    with running(folder, "run") as supervisor:
        failed = supervisor.wait("failed")
        assert failed["why"] == "it crashed 4 times in 60 s"
        assert len(supervisor.seen("spawned")) == 4
        waits = [e["delay_s"] for e in supervisor.seen("backoff")]
        for wait, full in zip(
            waits, [0.02, 0.04, 0.08], strict=True
        ):  # a little off: each bot's own
            assert 0.75 * full <= wait <= 1.25 * full
        assert {e["status"] for e in supervisor.seen("exited")} == {5}
        done = folder.stillhere("status", "--json")
        assert done.returncode == 3
        assert json.loads(done.stdout)["bots"]["x"]["phase"] == "failed"
        # A person may say: try again. Then the count begins anew.
        mark = supervisor.mark_now()
        folder.write("src/crashing.py", CRASHING.replace("os._exit(5)", "signal.pause()"))
        assert folder.stillhere("restart", "x").returncode == 0
        supervisor.wait("verified", mark)
        folder.write("src/crashing.py", CRASHING)
        os.kill(supervisor.status("x")["pid"], signal.SIGKILL)
        supervisor.wait("failed", mark)
        assert supervisor.stop() == 3


def test_a_crash_at_the_start_waits_for_a_change(new_folder: Callable[..., Folder]) -> None:
    """In dev: not tried again and again; the next save starts it."""
    folder = with_bot(new_folder, "starts.py")
    folder.write("src/starts.py", "raise RuntimeError('not yet')\n")
    with running(folder) as supervisor:
        failed = supervisor.wait("failed")
        assert "waiting for a change" in failed["why"]
        assert len(supervisor.seen("spawned")) == 1
        supervisor.shows("RuntimeError: not yet")
        assert folder.stillhere("status").returncode == 3
        mark = supervisor.mark_now()
        folder.write("src/starts.py", CRASHING.replace("os._exit(5)", "signal.pause()"))
        record = supervisor.restarted(mark, bot="x")
        assert (record["reason"], record["verified"]) == ("change", True)
        assert len(supervisor.seen("spawned")) == 2
        assert folder.stillhere("status").returncode == 0


def test_a_missing_program_is_told_and_waits_for_a_change(
    new_folder: Callable[..., Folder],
) -> None:
    """The console says which program and where to look; nothing is spawned in a loop."""
    folder = new_folder('[bot.x]\ncommand = ["./gone"]\nsession = "x"\nwatch = ["."]\n')
    with running(folder) as supervisor:
        failed = supervisor.wait("failed")
        assert "gone does not exist" in failed["why"]
        supervisor.shows("gone does not exist")
        mark = supervisor.mark_now()
        text = "#!/bin/sh\nexec python3 src.py\n".replace("python3", sys.executable)
        folder.write("src.py", CRASHING.replace("os._exit(5)", "signal.pause()"))
        folder.write("gone", text).chmod(0o755)
        supervisor.wait("verified", mark)


def test_a_bot_that_keeps_nothing_is_restarted_by_a_save(new_folder: Callable[..., Folder]) -> None:
    """Without a file in its session there is nothing to copy, and nothing to be worried about."""
    config = ONE.format(bot="plain.py", stop_s=STOP_S)
    folder = new_folder(config.replace("watch", 'ready = { log = "up" }\nwatch'))
    plain = "import signal\nprint('up {}')\nsignal.pause()\n"
    folder.write("src/plain.py", plain.format(1))
    with running(folder) as supervisor:
        supervisor.wait("verified")
        mark = supervisor.mark_now()
        folder.write("src/plain.py", plain.format(2))
        record = supervisor.restarted(mark, bot="x")
        assert (record["reason"], record["mode"]) == ("change", "cold")
        supervisor.shows("up 2")
        assert supervisor.stop() == 0
        assert not supervisor.seen("snapshot_failed")
