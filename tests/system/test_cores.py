"""No core dump of what holds keys: not of the supervisor, nor of a bot unless it wants one."""

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.harness import Folder, running

CONFIG = """
[bot.plain]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }
session = false

[bot.wants]
command = ["/bin/sh", "-c", "ulimit -c 100; echo here; exec tail -f /dev/null"]
ready = { log = "here" }
session = false
"""


def core_limit(pid: int) -> str:
    """Return the soft limit, as the kernel shows it."""
    limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
    (line,) = [line for line in limits if line.startswith("Max core file size")]
    return line.split()[4]


def test_a_crash_leaves_no_core(new_folder: Callable[..., Folder]) -> None:
    """Where the shell that starts us would let us write one; the bot's own say is left to it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("the hard limit of cores is 0 here; a machine with another one runs this")
    folder = new_folder(CONFIG)
    folder.before = ["/bin/sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$@"', "sh"]
    with running(folder, "run") as supervisor:
        for name in ("plain", "wants"):
            supervisor.wait("verified", bot=name)
        assert core_limit(supervisor.process.pid) == "0"
        assert core_limit(supervisor.status("wants")["pid"]) not in ("0", "unlimited")
        pid = supervisor.status("plain")["pid"]
        assert core_limit(pid) == "0"
        mark = supervisor.mark_now()
        os.kill(pid, signal.SIGABRT)
        assert supervisor.wait("exited", mark, bot="plain")["signal"] == signal.SIGABRT
    assert not list(folder.root.glob("core*"))
