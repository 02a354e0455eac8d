"""A bot that knows nothing of any supervisor: it prints `ready`, and stops on SIGTERM or SIGINT."""

# ruff: noqa: I001 - the program's first moment is stamped before its other imports
# mypy: disable-error-code="import-not-found"
# (what it imports lies beside it in the project it is copied to)

import stamps

import asyncio
import signal
from pathlib import Path

import device
import load
import value

SESSION = Path("sessions/session-971505760056")


async def main() -> None:
    """Live one life."""
    trace = stamps.Stamps()
    trace.value = value.VALUE
    trace.add("imported")
    told = asyncio.Event()

    def stop() -> None:
        if not told.is_set():
            trace.add("term")
        told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    trace.add("taken")
    session = device.Device(SESSION)
    session.save()
    trace.add("online")
    print("ready", load.WEIGHT, flush=True)  # noqa: T201 - a log line, as bots have them
    await told.wait()
    await session.close()
    trace.add("offline")


if __name__ == "__main__":
    asyncio.run(main())
