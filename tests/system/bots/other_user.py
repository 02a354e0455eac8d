"""A bot for another user than the supervisor's: on SIGUSR1 it is linked, on SIGUSR2 it trespasses.

It then tries all that `tried.txt` lists, and prints what it could do of that.
"""

import importlib
import os
import signal
import socket
import stat
import sys
from pathlib import Path

from bot.link import Link

SIGNALS = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
NUMBER = importlib.import_module("number").NUMBER  # beside this file; the test writes it


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def read(path: Path) -> None:
    """Read a file, list a folder, or connect to a socket."""
    if stat.S_ISSOCK(path.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
    elif path.is_dir():
        list(path.iterdir())
    else:
        path.read_bytes()


def write(path: Path) -> None:
    """Open it to write, or make something in it."""
    if path.is_dir():
        (path / "mine").touch()
    else:
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def trespass() -> list[str]:
    """Return what was possible."""
    found = []
    for path in Path("tried.txt").read_text().splitlines():
        for way in (read, write):
            try:
                way(Path(path))
            except OSError:
                continue
            found.append(f"{way.__name__} {path}")
    return found


def main() -> None:
    """Live until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    link = Link()
    link.caps("standby")
    session = link.standby()
    if session is None:
        return
    device = session / "device"
    if device.exists() and device.read_text():
        link.ready("restored", identity="device-1", status=f"number {NUMBER}")
    else:
        link.session("pairing")
        link.qr("a secret to scan", ttl_s=60)
    while (asked := signal.sigwait(SIGNALS)) != signal.SIGTERM:
        if asked == signal.SIGUSR1:
            device.write_text("device-1")
            link.ready("linked", identity="device-1")
        else:
            say(f"could {trespass()}")
    link.released()


main()
