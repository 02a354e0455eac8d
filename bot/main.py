"""The bot's process: imports, signal handlers, standby; then the session; then a quick way out.

The order is the contract: nothing touches the session or the network before `activate`.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys

from bot.app import App, warm
from bot.link import Link
from bot.protocol import DEFAULT_ACCOUNT
from bot.session import SessionLostError
from bot.transports import InUseError, SetupError, choose


async def run(link: Link) -> int:
    """Live one bot's life; return its exit status."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    app = App(link)
    chosen = choose.transport(app)  # its libraries are imported while another bot is online
    app.scan_hint = chosen.scan_hint
    tasks: set[asyncio.Task[None]] = set()

    def background(coroutine: asyncio.Task[None]) -> None:
        tasks.add(coroutine)
        coroutine.add_done_callback(tasks.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR2, lambda: background(loop.create_task(app.checkpoint())))
    link.caps(chosen.caps)
    if link.watchdog_s:
        background(loop.create_task(_beat(link, link.watchdog_s / 3)))
    warm()
    app.trace("standby")

    stopped = loop.create_task(stop.wait())
    activation = loop.create_task(link.activated())
    await asyncio.wait((stopped, activation), return_when=asyncio.FIRST_COMPLETED)
    if not activation.done():
        activation.cancel()
        return 0
    if (folder := activation.result()) is None:
        return 0  # the bot before us stays: we were not needed

    transport = chosen.make()
    app.start(folder, transport)
    serving = loop.create_task(transport.run())
    work = (stopped, serving, app.broken)
    await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    status = 0
    try:
        if app.broken.done():
            app.broken.result()
        if serving.done():
            serving.result()
            await stop.wait()  # removed or replaced: what follows is the supervisor's decision
    except sqlite3.OperationalError:
        raise  # a full disk, a lock: a crash, and no word against the session
    except (SessionLostError, InUseError, sqlite3.DatabaseError) as problem:
        app.state("conflict" if isinstance(problem, InUseError) else "lost", reason=str(problem))
        status = 1
    await _close(link, app)
    return status


async def _close(link: Link, app: App) -> None:
    """Close all, and say the last word if it is true."""
    link.stopping()
    app.trace("closing")
    closed = True
    with contextlib.suppress(sqlite3.Error):
        closed = await app.close()
    if closed:
        app.trace("released")
        link.released()  # else our end, which follows at once, is the word


async def _beat(link: Link, every_s: float) -> None:
    while True:
        link.watchdog()
        await asyncio.sleep(every_s)


def main() -> None:
    """Run the bot until it is told to stop."""
    os.umask(0o077)
    name = "whatsapp" if os.environ.get("BOT_TRANSPORT") == "whatsapp" else DEFAULT_ACCOUNT
    link = Link(default_session=f"sessions/session-{name}")
    try:
        status = asyncio.run(_leave_quickly(link))
    except SetupError as problem:
        sys.exit(str(problem))
    sys.exit(status)


async def _leave_quickly(link: Link) -> int:
    """Run, and end the process at once: all is closed, and finalization is up to 120 ms of gap."""
    status = await run(link)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
