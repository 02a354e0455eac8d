"""A bot that can be made to hang (SIGUSR1) or to grow (SIGUSR2), and is well until then."""

import faulthandler
import signal
import sys
import threading
from typing import Any

from bot.link import Link

link = Link()
hoard: list[bytes] = []
ended = threading.Event()


def hang(*_: Any) -> None:
    """Stand still in here, for ever."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    while True:
        signal.pause()


def grow(*_: Any) -> None:
    """Hold more memory, and use it."""
    hoard.append(b"x" * (120 << 20))


signal.signal(signal.SIGUSR1, hang)
signal.signal(signal.SIGUSR2, grow)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
session = link.standby()
if session is None:
    sys.exit()
device = session / "device"
if not device.exists():
    device.write_text("device-1")
print("faulthandler", faulthandler.is_enabled(), "watchdog", link.watchdog_s, flush=True)  # noqa: T201 - its console
link.ready("restored", identity="device-1")
while True:
    link.watchdog()
    ended.wait(0.1)
