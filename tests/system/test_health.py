"""A bot that lives and is not well, under a real supervisor: seen, copied, stopped, well again."""

import os
import signal
from collections.abc import Callable

from tests.system.harness import ROOT, Folder, Running, running

CONFIG = """
[bot.echo]
command = ["python", "{bot}"]
session = "971505760056"
stop_timeout_s = 1

[bot.echo.restart]
backoff_s = [0.05, 0.1]

[bot.echo.limits]
watchdog_s = 1
memory_mb = 100
memory_grace_s = 0.2
"""
BOT = ROOT / "tests" / "system" / "bots" / "unwell.py"

ASKED = """
[bot.echo]
command = ["/bin/sh", "-c", "touch well; echo here; exec tail -f /dev/null"]
session = "971505760056"
ready = { log = "here" }

[bot.echo.limits]
alive = { command = ["test", "-e", "well"] }
alive_every_s = 0.1
alive_misses = 2
"""


def up(supervisor: Running) -> int:
    """Return the pid of a bot that is online, with its session copied."""
    supervisor.wait("snapshot_taken", bot="echo")
    supervisor.mark_now()
    pid: int = supervisor.status()["pid"]
    return pid


def test_a_hang_is_told_with_its_stacks_and_ended(new_folder: Callable[..., Folder]) -> None:
    """Copied first; the dump names the line; the next generation is the same device."""
    folder = new_folder(CONFIG.format(bot=BOT))
    with running(folder, "run") as supervisor:
        pid = up(supervisor)
        supervisor.shows("faulthandler True watchdog 1.0")
        mark = supervisor.mark_now()
        os.kill(pid, signal.SIGUSR1)
        assert supervisor.wait("hang", mark)["why"].startswith("no WATCHDOG=1 for ")
        record = supervisor.restarted(mark)
        assert (record["reason"], record["verified"]) == ("hang", True)
        kinds = [event["event"] for event in supervisor.events[mark:]]
        assert kinds.index("snapshot_taken") < kinds.index("stopping") < kinds.index("exited")
        assert supervisor.seen("exited", mark)[0]["signal"] == signal.SIGABRT
        console = supervisor.shows("Fatal Python error: Aborted")
        assert "unwell.py" in console
        assert " in hang" in console


def test_what_stands_still_for_a_debugger_does_not_hang(new_folder: Callable[..., Folder]) -> None:
    """It is said once, and the bot that goes on is left in peace; a true hang is seen as ever."""
    folder = new_folder(CONFIG.format(bot=BOT))
    with running(folder, "run") as supervisor:
        pid = up(supervisor)
        mark = supervisor.mark_now()
        os.kill(pid, signal.SIGSTOP)
        assert "SIGSTOP" in supervisor.wait("watchdog_held", mark)["why"]
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGUSR1)
        supervisor.wait("hang", mark)
        assert len(supervisor.seen("watchdog_held", mark)) == 1


def test_too_much_memory_is_a_restart_in_good_order(new_folder: Callable[..., Folder]) -> None:
    """By the weight of the whole tree, after its time of grace; the second one waits."""
    folder = new_folder(CONFIG.format(bot=BOT))
    with running(folder, "run") as supervisor:
        mark = supervisor.mark()
        os.kill(up(supervisor), signal.SIGUSR2)
        limit = supervisor.wait("limit", mark)
        assert "`memory_mb` is 100" in limit["why"]
        record = supervisor.restarted(supervisor.events.index(limit))
        assert (record["reason"], record["verified"]) == ("limit", True)
        mark = supervisor.mark_now()
        os.kill(supervisor.status()["pid"], signal.SIGUSR2)
        supervisor.wait("limit", mark)
        supervisor.wait("backoff", mark)
        assert supervisor.restarted(mark)["reason"] == "limit"


def test_a_probe_without_an_answer_is_a_hang(new_folder: Callable[..., Folder]) -> None:
    """For a bot that nobody adapted."""
    folder = new_folder(ASKED)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified")
        mark = supervisor.mark_now()
        (folder.root / "well").unlink()
        assert supervisor.wait("hang", mark)["why"].endswith("(command), 2 times")
        assert supervisor.restarted(mark)["reason"] == "hang"
