"""A bot that is linked by a code that a person types: it asks on its standard input, in a thread.

It prints the code, as Node's readline does, and what its standard input is.
"""

import signal
import sys
import threading
from pathlib import Path

from bot.link import Link

CODE = "7391-4628"


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def ask(link: Link, device: Path) -> None:
    """Ask until the code is right; an end of the input is the end of asking."""
    try:
        while (code := input("Pair code: ")) != CODE:
            say(f"{code} is wrong")
    except EOFError:
        say("nobody answers")
        return
    say(f"{code} is right")
    device.write_text("device-1")
    link.ready("linked", identity="device-1")


def main() -> None:
    """Live until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    link = Link()
    session = link.standby()
    if session is None:
        return
    say(f"stdin is {Path('/proc/self/fd/0').readlink()}")
    device = session / "device"
    if device.exists():
        link.ready("restored", identity=device.read_text())
    else:
        # No QR code: what this bot needs is a line.
        threading.Thread(target=ask, args=(link, device), daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    link.released()


if __name__ == "__main__":
    main()
