"""What the manager above a real supervisor hears of it, from its start to its end."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.harness import WAIT_S, Folder, running

# `late` waits for its file; `broken` ends at once, over and over.
CONFIG = """
[bot.up]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }

[bot.late]
command = ["/bin/sh", "-c", "exec tail -f /dev/null"]
ready = { file = "go" }

[bot.broken]
command = ["/bin/sh", "-c", "exit 3"]
ready = { log = "never" }

[bot.broken.restart]
intensity = [1, 60]
backoff_s = [0.01, 0.01]
"""


@contextmanager
def manager(path: Path) -> Iterator[Callable[[str], list[str]]]:
    """Listen as systemd does; yields what returns all that was said until a line begins so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(WAIT_S)

        def until(start: str) -> list[str]:
            lines: list[str] = []
            while not any(line.startswith(start) for line in lines):
                lines += listener.recv(65536).decode().split("\n")
            return lines

        yield until


def test_ready_comes_with_the_last_bot_and_names_who_has_failed(
    new_folder: Callable[..., Folder],
) -> None:
    """Not before; a bot that has failed keeps nobody waiting, and pings come all the time."""
    folder = new_folder(CONFIG)
    path = folder.root / "manager"
    env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
    with manager(path) as until, running(folder, "run", **env) as supervisor:
        supervisor.wait("failed", bot="broken")
        supervisor.wait("verified", bot="up")
        early = until("STATUS=1 of 3 bots online; broken has failed (")
        assert "READY=1" not in early
        folder.write("go", "")
        assert "READY=1" in until("STATUS=2 of 3 bots online; broken has failed (")
        until("WATCHDOG=1")
        assert supervisor.stop() == 3
        late = until("STATUS=stopping: 3 of 3 bots down")
        assert "STOPPING=1" in late
        assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in late)


ONE = """
[bot.up]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }
"""


def test_a_reload_is_framed_whatever_comes_of_it(new_folder: Callable[..., Folder]) -> None:
    """Taken or refused, the manager hears when it began, and that it is over."""
    folder = new_folder(ONE)
    path = folder.root / "manager"
    with manager(path) as until, running(folder, "run", NOTIFY_SOCKET=str(path)) as supervisor:
        until("READY=1")
        for text in (f"{ONE}stop_timeout_s = 3\n", "[bot.up\n"):
            folder.write("config.toml", text)
            asked_usec = time.monotonic_ns() // 1000
            supervisor.process.send_signal(signal.SIGHUP)
            lines = until("READY=1")
            at = lines.index("RELOADING=1")
            name, _, usec = lines[at + 1].partition("=")
            assert name == "MONOTONIC_USEC"
            assert int(usec) >= asked_usec
        supervisor.wait("reload_refused")
        assert supervisor.stop() == 0
