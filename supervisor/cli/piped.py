"""Lines from a standard input that is no terminal, read as slowly as they are taken.

What nobody takes stays in the pipe. The descriptor is never made non-blocking: others share it.
"""

import asyncio
import os
from collections.abc import AsyncIterator

_CHUNK_BYTES = 4096
# Nobody types that; it is not kept for a line's end that never comes.
_LINE_MAX_BYTES = 1 << 20


async def lines(descriptor: int = 0) -> AsyncIterator[str]:
    """Yield each line, without its end, until the end of the file."""
    partial = b""
    while len(partial) <= _LINE_MAX_BYTES and (chunk := await _read(descriptor)):
        *whole, partial = (partial + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "surrogateescape")
    if partial:
        yield partial.decode("utf-8", "surrogateescape")


async def _read(descriptor: int) -> bytes:
    while True:
        await _readable(descriptor)
        try:
            return os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:  # another reader was faster
            continue
        except OSError:
            return b""


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:  # a file, or /dev/null: it never makes anyone wait
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
