"""The same bot, with the contract: it waits without the session, flushes, and says when done.

All that differs from the one that is not modified is what the contract asks for.
"""

# ruff: noqa: I001 - the program's first moment is stamped before its other imports
# mypy: disable-error-code="import-not-found"
# (what it imports lies beside it in the project it is copied to)

import stamps

import asyncio
import signal

import device
import load
import value
from link import Link


async def main() -> None:
    """Live one life."""
    trace = stamps.Stamps()
    trace.value = value.VALUE
    trace.add("imported")
    link = Link()
    told = asyncio.Event()
    session: device.Device | None = None

    def stop() -> None:
        if not told.is_set():
            trace.add("term")
        told.set()

    def checkpoint() -> None:
        if session is not None:
            session.save()
        link.checkpointed()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGUSR2, checkpoint)
    link.caps("standby checkpoint:SIGUSR2")
    folder = await link.activated()
    if folder is None:
        return
    trace.add("taken")
    session = device.Device(folder)
    session.save()
    trace.add("online")
    print("ready", load.WEIGHT, flush=True)  # noqa: T201 - a log line, as bots have them
    link.ready("restored", identity=session.identity, proof="roundtrip")
    await told.wait()
    await session.close()
    trace.add("offline")
    link.released()


if __name__ == "__main__":
    asyncio.run(main())
