"""What goes on while an upgrade waits: it is neither lost nor in its way."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.system.harness import Folder, Running, running
from tests.system.test_notify_strangers import BOT, CONFIG, counted, send

TWO = """
[bot.slow]
command = ["tail", "-f", "/dev/null"]
ready = { file = "ready" }

[bot.quick]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }
"""


def rehearsing(supervisor: Running) -> bool:
    """Say whether the new code is being tried."""
    pid = supervisor.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            if b"STILLHERE_REHEARSAL=" in Path(f"/proc/{child}/environ").read_bytes():
                return True
        except OSError:
            continue
    return False


def test_a_restart_that_is_asked_for_follows_the_upgrade(new_folder: Callable[..., Folder]) -> None:
    """One bot is on its way, so the upgrade waits; another one, so long, waits for its turn."""
    folder = new_folder(TWO)
    with running(folder, "run") as supervisor:
        supervisor.wait("restarted", bot="quick")
        before = supervisor.status("quick")["pid"]
        upgrade = subprocess.Popen(
            [sys.executable, "-m", "supervisor", "upgrade"],
            cwd=folder.root,
            env=folder.environment(),
        )
        while not rehearsing(supervisor):
            supervisor.process_waits()
        while rehearsing(supervisor):
            supervisor.process_waits()
        supervisor.status("quick")
        mark = supervisor.mark_now()
        supervisor.client.call("restart", bot="quick")
        assert supervisor.status("quick")["pid"] == before
        folder.write("ready", "")
        supervisor.wait("upgraded", mark)
        assert supervisor.restarted(mark, bot="quick")["reason"] == "manual"
        assert upgrade.wait(30) == 0
        assert supervisor.status("quick")["pid"] != before


def test_strangers_are_counted_on(new_folder: Callable[..., Folder]) -> None:
    """Also those of earlier generations; what was not told yet is told by the new program."""
    folder = new_folder(CONFIG.format(bot=BOT))
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="echo")
        send(supervisor, 3)
        supervisor.wait("notify_strangers", bot="echo")
        supervisor.client.call("restart", bot="echo", wait=True)
        send(supervisor, 2)
        counted(folder, supervisor, 5)
        mark = supervisor.mark_now()
        assert folder.stillhere("upgrade").returncode == 0
        assert supervisor.wait("notify_strangers", mark)["count"] == 4
        counted(folder, supervisor, 5)
