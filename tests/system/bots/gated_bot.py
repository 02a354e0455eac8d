"""A bot that waits wherever the test put a gate: a named pipe `gates/PHASE`, until it is closed."""

import importlib
import json
import os
import signal
from pathlib import Path

from bot.link import Link

NUMBER = importlib.import_module("number").NUMBER  # beside this file; the test writes it


def gate(phase: str) -> None:
    """Wait if there is a gate."""
    path = Path("gates", phase)
    if path.exists():
        path.read_bytes()


def main() -> None:
    """Live until SIGTERM."""
    link = Link()

    def checkpoint(*_: object) -> None:
        gate("checkpointing")
        link.checkpointed()

    def stop(*_: object) -> None:
        gate("stopping")
        link.released()
        os._exit(0)

    # Not signal.pause(): a signal that comes just before it would wait for the next one.
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGUSR2, checkpoint)
    signal.signal(signal.SIGTERM, stop)
    link.caps("standby checkpoint:SIGUSR2")
    gate("standby")
    session = link.standby()
    if session is None:
        return
    (session / "creds.json").write_text(json.dumps({"device": 7, "number": NUMBER}))
    gate("verifying")
    link.ready("restored", identity="7:seven", status=f"number {NUMBER}")
    while True:
        os.read(woken, 1)


main()
