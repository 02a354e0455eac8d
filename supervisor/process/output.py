"""What a bot prints: read without ever making it wait, cut into lines, kept for a while."""

import asyncio
import os
import pty
import termios
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_CHUNK_BYTES = 65536
# More than a pipe or a terminal holds by default: all that a dead process had written.
_DRAIN_BYTES = 1 << 20
LINE_MAX_BYTES = 1 << 16
KEPT_LINES = 10_000
KEPT_BYTES = 16 << 20
# A line that stands unended for so long waits for somebody.
PROMPT_S = 0.2

Sink = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class Ends:
    """Our end of a channel and the child's."""

    ours: int
    childs: int


def pipe() -> Ends:
    """Make a pipe to read a child's output from."""
    ours, childs = os.pipe()
    os.set_blocking(ours, False)
    return Ends(ours, childs)


def terminal() -> Ends:
    """Make a terminal that passes bytes as they are, for a bot that keeps its colours."""
    ours, childs = pty.openpty()
    mode = termios.tcgetattr(childs)
    mode[1] &= ~termios.OPOST
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(childs, termios.TCSANOW, mode)
    os.set_blocking(ours, False)
    return Ends(ours, childs)


class LineReader:
    """Reads one descriptor to its end; whole lines go to `sink(stream, line)`.

    `on_prompt` is told, once for each line, the beginning of one that stands without an end. Later
    the sink gets that line whole.
    """

    def __init__(self, fd: int, stream: str, sink: Sink, on_prompt: Sink | None = None) -> None:
        self._fd: int | None = fd
        self._stream = stream
        self._sink = sink
        self._on_prompt = on_prompt
        self._partial = bytearray()
        self._told = False
        self._timer: asyncio.TimerHandle | None = None
        asyncio.get_running_loop().add_reader(fd, self._read)

    def drain(self) -> None:
        """Read all that is there now; bounded, for somebody may go on writing."""
        rest = _DRAIN_BYTES
        while rest > 0 and (count := self._read()):
            rest -= count

    def _read(self) -> int:
        """Read one chunk and return its size: a bot that never stops printing gets one a turn."""
        if self._fd is None:
            return 0
        try:
            chunk = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        except OSError:  # a terminal whose last user is gone says EIO
            chunk = b""
        if chunk:
            self._feed(chunk)
        else:
            self.close()
        return len(chunk)

    def close(self) -> None:
        """Stop reading; what is left of a line is given out."""
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            with suppress(OSError):
                os.close(self._fd)
            self._fd = None
            self._wait_no_longer()
            if self._partial:
                self._sink(self._stream, bytes(self._partial))
                self._partial.clear()

    def _feed(self, chunk: bytes) -> None:
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            self._add(line)
            self._sink(self._stream, bytes(self._partial).removesuffix(b"\r"))
            self._partial.clear()
            self._told = False
        self._add(rest)
        self._wait_no_longer()
        if self._on_prompt is not None and self._partial and not self._told:
            self._timer = asyncio.get_running_loop().call_later(PROMPT_S, self._stands)

    def _wait_no_longer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stands(self) -> None:
        self._timer = None
        # With a carriage return it is a display that draws itself over, again and again.
        if self._on_prompt is not None and b"\r" not in self._partial:
            self._told = True
            self._on_prompt(self._stream, bytes(self._partial))

    def _add(self, data: bytes) -> None:
        """Add to the line; what gets too long is given out in pieces."""
        self._partial += data
        while len(self._partial) > LINE_MAX_BYTES:
            self._sink(self._stream, bytes(self._partial[:LINE_MAX_BYTES]))
            del self._partial[:LINE_MAX_BYTES]
            self._told = False


def asks(prompt: bytes) -> bool:
    """Say whether an unended line looks like a question, and not like work that goes on."""
    text = prompt.rstrip()
    return bool(text) and not text.endswith((b"..", b"%", "…".encode()))


class Kept:
    """The last lines of a bot's output, over its generations: bounded in number and in bytes."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, object]] = deque()
        self._bytes = 0

    def add(self, record: dict[str, object]) -> None:
        """Keep a record with its `line`; the oldest ones go."""
        self._lines.append(record)
        self._bytes += len(str(record["line"]))
        while len(self._lines) > KEPT_LINES or self._bytes > KEPT_BYTES:
            self._bytes -= len(str(self._lines.popleft()["line"]))

    def tail(self, count: int) -> list[dict[str, object]]:
        """Return the last `count` lines, oldest first."""
        return list(self._lines)[-count:] if count > 0 else []
