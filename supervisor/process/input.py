"""A bot's standard input: it takes lines at once and passes them on as the bot reads them.

What goes through here may be a secret (a pair code): it is kept in memory only, to be found again
where the bot prints it.
"""

import asyncio
import os
from collections import deque
from contextlib import suppress

from supervisor.process.carried import Writing

_GIVEN_LINES = 16
# Shorter is no secret ("y", "1"), and would blot out half of what the bot prints.
_SECRET_BYTES = 4


class Input:
    """Our end of a pipe to a bot. The bot's end, `childs`, is the caller's to close."""

    def __init__(self, carried: Writing | None = None) -> None:
        """`carried`: our end of a pipe that is there already; then there is no `childs`."""
        self.childs = -1
        if carried is None:
            self.childs, ours = os.pipe()
            os.set_blocking(ours, False)
            carried = Writing(fd=ours)
        self._fd: int | None = carried.fd
        self._waiting = bytearray(carried.waiting)
        self._given: deque[bytes] = deque(carried.given, maxlen=_GIVEN_LINES)
        self._drained = asyncio.Event()
        self._drained.set()
        if self._waiting:
            self._write()

    def carry(self) -> Writing | None:
        """Return what another one needs to go on; None once it is closed."""
        if self._fd is None:
            return None
        return Writing(fd=self._fd, waiting=bytes(self._waiting), given=tuple(self._given))

    def put(self, line: bytes) -> None:
        """Pass a line on, after all that was put before; lost if the bot is past reading."""
        if self._fd is not None:
            if len(line.strip()) >= _SECRET_BYTES:
                self._given.append(line.strip())
            self._waiting += line + b"\n"
            self._write()

    def blot(self, text: bytes) -> bytes:
        """Return the bot's text without the lines it was given: Node's readline prints them."""
        for line in self._given:
            text = text.replace(line, b"[your line]")
        return text

    async def drained(self) -> None:
        """Wait until the pipe has taken everything, or is closed."""
        await self._drained.wait()

    def _write(self) -> None:
        assert self._fd is not None  # noqa: S101 - `close` removes the writer
        try:
            del self._waiting[: os.write(self._fd, self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # nobody has the other end any more
            self._waiting.clear()
        loop = asyncio.get_running_loop()
        if self._waiting:
            self._drained.clear()
            loop.add_writer(self._fd, self._write)
        else:
            loop.remove_writer(self._fd)
            self._drained.set()

    def close(self) -> None:
        """The bot sees the end of its input."""
        if self._fd is not None:
            asyncio.get_running_loop().remove_writer(self._fd)
            with suppress(OSError):
                os.close(self._fd)
            self._fd = None
            self._waiting.clear()
            self._drained.set()
