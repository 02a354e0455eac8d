"""Lets go of a real child as an execve(2) does, and takes it over from what was written down."""

import asyncio
import json
import os
from collections.abc import Callable

from supervisor.core.plain import plain, rebuilt
from supervisor.process import tree
from supervisor.process.carried import Carried
from supervisor.process.child import Child
from supervisor.process.output import LineReader
from tests.contract.childkit import Watched


def drop_reader(reader: LineReader) -> None:
    """Let go of what a channel is read by; the descriptor stays open."""
    reader._wait_no_longer()
    if reader._drop_timer is not None:
        reader._drop_timer.cancel()
    if reader._fd is not None:
        asyncio.get_running_loop().remove_reader(reader._fd)


def forget(child: Child) -> None:
    """Let go of a child: it runs on, its channels stay open, and nobody is told anything."""
    loop = asyncio.get_running_loop()
    loop.remove_reader(child._pidfd)
    os.close(child._pidfd)
    for reader in child.speech._readers:
        drop_reader(reader)
    if child._notify is not None:
        loop.remove_reader(child._notify._socket.fileno())
        child._notify._socket.detach()
    if child._input is not None and child._input._fd is not None:
        loop.remove_writer(child._input._fd)
    if child._process is not None:
        child._process.returncode = 0  # else its destructor would complain
    tree.mains.discard(child.pid)


def written(child: Child) -> Carried:
    """Return what a next program reads of it."""
    carried = child.carry()
    assert carried is not None
    return rebuilt(Carried, json.loads(json.dumps(plain(carried))))


def hand_over(
    bot: Watched,
    meanwhile: Callable[[], object] = lambda: None,
    *,
    on_prompt: Callable[[int, str, bytes], None] | None = None,
) -> Child:
    """Let go of the bot's child, do something, and take it over; return the new object."""
    old = bot.child
    carried = written(old)
    forget(old)
    meanwhile()
    bot.child = Child(
        old.plan,
        emit=bot._heard,
        on_line=bot._line,
        on_drop=lambda _generation, stream, count: bot.dropped.append((stream, count)),
        on_qr=bot._qr,
        on_prompt=on_prompt,
        carried=carried,
    )
    assert bot.child.pid == old.pid
    return bot.child
