"""A pipe between Python's signals and asyncio: each kind is told once a turn, and none is lost.

Python writes a byte for each signal that it handles. asyncio's own socket has room for less than
three hundred: where more children end in one turn of the loop, the rest is lost, with a complaint
for each on stderr, and what is lost may be SIGTERM. This pipe has room for 65,536.
"""

import asyncio
import os
import signal
from contextlib import suppress

_ROOM_BYTES = 65536


class Wakeups:
    """Stands in for asyncio's own way until it is closed. In the main thread, handlers are in."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reads, self._writes = os.pipe()
        for fd in (self._reads, self._writes):
            os.set_blocking(fd, False)
        self._loop.add_reader(self._reads, self._pass_on)
        self._asyncios = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)

    def _pass_on(self) -> None:
        with suppress(BlockingIOError):
            kinds = bytes(set(os.read(self._reads, _ROOM_BYTES)))
            if self._asyncios >= 0:
                os.write(self._asyncios, kinds)

    def close(self) -> None:
        """Leave it to asyncio again; what has come is passed on."""
        current = signal.set_wakeup_fd(self._asyncios)
        if current not in (self._writes, self._asyncios):
            signal.set_wakeup_fd(current)  # somebody else's, who came after us
        self._loop.remove_reader(self._reads)
        self._pass_on()
        os.close(self._reads)
        os.close(self._writes)
