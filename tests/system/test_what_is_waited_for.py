"""`restart` and `start` end when it is true, and a busy writer gets its snapshot in the end."""

import json
import os
import signal
from collections.abc import Callable

import pytest

from tests.system.harness import Folder, running

WRITER = """
import json, pathlib, signal
signals = {signal.SIGUSR1, signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
folder = pathlib.Path("sessions/session-w")
folder.mkdir(parents=True, exist_ok=True)
whole = json.dumps({"n": list(range(100))})
(folder / "state.json").write_text(whole)
print("ready", flush=True)
while True:
    torn = signal.sigwait(signals) is signal.SIGUSR1
    (folder / "state.json").write_text(whole[: len(whole) // 2 if torn else None])
"""
WRITERS = """
[bot.w]
command = ["python", "writer.py"]
session = "w"
ready = { log = "ready" }
[bot.w.snapshots]
every_s = 6
"""


def test_a_restart_is_over_when_the_bot_is_back(linked: Folder) -> None:
    """Exit code 0: another generation is verified. Code that can't start: 1, the old one stays."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        before = supervisor.status()
        assert linked.stillhere("start").returncode == 0  # it runs already
        assert supervisor.status()["pid"] == before["pid"]
        done = linked.stillhere("restart", "echo")
        after = supervisor.status()
        assert (done.returncode, after["phase"]) == (0, "up"), done.stderr
        assert after["generation"] > before["generation"]
        assert after["last_restart"]["proof"] == "roundtrip"
        assert done.stdout.startswith("restarted: echo: in ")
        assert "roundtrip" in done.stdout

        ping = linked.root / "bot/commands/ping.py"
        whole = ping.read_text()
        mark = supervisor.mark_now()
        linked.replace("bot/commands/ping.py", "def broken(:\n")
        supervisor.wait("held", mark)
        refused = linked.stillhere("restart", "echo")
        assert refused.returncode == 1
        assert "error: echo is not restarted: the old one stays online" in refused.stderr
        assert supervisor.status()["pid"] == after["pid"]
        mark = supervisor.mark_now()
        linked.replace("bot/commands/ping.py", whole)
        supervisor.restarted(mark)
        assert json.loads(linked.stillhere("restart", "echo", "--json").stdout) == {"echo": "up"}
        assert linked.stillhere("stop", "echo").returncode == 0
        assert linked.stillhere("start", "echo").stdout.startswith("started: echo: in ")


@pytest.mark.long
def test_a_copy_that_was_half_written_is_taken_again(new_folder: Callable[..., Folder]) -> None:
    """Not at the next usual time, but soon: by then the bot has written its file whole."""
    folder = new_folder(WRITERS)
    folder.write("writer.py", WRITER)
    with running(folder, "run") as supervisor:
        supervisor.wait("snapshot_taken")
        pid = supervisor.status("w")["pid"]
        os.kill(pid, signal.SIGUSR1)
        bad = supervisor.wait("snapshot_judged")["snapshot"]
        assert (bad["verdict"], bad["reason"]) == ("bad", "periodic")
        os.kill(pid, signal.SIGUSR2)
        supervisor.wait_for(
            lambda e: e["event"] == "snapshot_taken" and e["snapshot"]["reason"] == "retaken",
            0,
            20.0,
            "snapshot taken again",
        )
