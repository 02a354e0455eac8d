"""What a bot prints: read without ever making it wait, cut into lines, kept for a while."""

import asyncio
import fcntl
import os
import pty
import re
import termios
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from supervisor.process.carried import Reading

_CHUNK_BYTES = 65536
# More than a pipe or a terminal holds by default: all that a dead process had written.
_DRAIN_BYTES = 1 << 20
# Longer ones are cut there, and say so.
LINE_MAX_BYTES = 4 << 20
CUT = b" [cut here: the line goes on]"
# Half of a secret is not known as one: a word that is cut goes with the rest, unless it is longer.
_WORD_BYTES = 4096
_LAST_WORD = re.compile(rb"[\s,;\"'][^\s,;\"']*\Z")
# More than a person or a log can do with, and what we can keep of one bot beside all else.
LINES_PER_S, BURST_LINES = 5_000, 20_000
BYTES_PER_S, BURST_BYTES = 4 << 20, 16 << 20
TELL_DROPPED_S = 1.0
_FLOOD_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 16
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


class Budget:
    """How much of a stream is worth its time: so many lines and bytes a second, in bursts more."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._lines: float = BURST_LINES
        self._bytes: float = BURST_BYTES

    def covers(self, lines: int, size_bytes: int) -> bool:
        """Say whether there is room for these, and take it."""
        now = time.monotonic()
        passed_s, self._at = now - self._at, now
        self._lines = min(BURST_LINES, self._lines + passed_s * LINES_PER_S)
        self._bytes = min(BURST_BYTES, self._bytes + passed_s * BYTES_PER_S)
        if lines > self._lines or size_bytes > self._bytes:
            return False
        self._lines -= lines
        self._bytes -= size_bytes
        return True


class LineReader:
    """Reads one descriptor to its end; whole lines go to `sink(stream, line)`.

    `on_prompt` is told, once for each line, the beginning of one that stands without an end. Later
    the sink gets that line whole. A bot that prints more than anybody can keep is not held up:
    whole lines are left out, and `on_drop(stream, count)` is told how many; never while
    `may_drop()` says no. `before` is called after each reading, before any of it is given out.
    """

    def __init__(
        self,
        fd: int,
        stream: str,
        sink: Sink,
        on_prompt: Sink | None = None,
        *,
        on_drop: Callable[[str, int], None] = lambda *_: None,
        may_drop: Callable[[], bool] = lambda: True,
        before: Callable[[], None] = lambda: None,
        carried: Reading | None = None,
    ) -> None:
        """`carried`: what an earlier reader of this descriptor had."""
        self._fd: int | None = fd
        self._stream = stream
        self._sink = sink
        self._on_prompt = on_prompt
        self._on_drop = on_drop
        self._may_drop = may_drop
        self._before = before
        self._partial = bytearray(b"" if carried is None else carried.partial)
        self._told = carried is not None and carried.told
        self._skips = carried is not None and carried.skips  # the line's rest is thrown away
        self._budget = Budget()
        self._dropped = 0
        self._chunk_bytes = _CHUNK_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self._drop_timer: asyncio.TimerHandle | None = None
        asyncio.get_running_loop().add_reader(fd, self._read)
        self._wait_for_its_end()

    def carry(self) -> Reading | None:
        """Return what another reader needs to go on; None at the end of the file."""
        if self._fd is None:
            return None
        self._tell_dropped()
        return Reading(
            fd=self._fd,
            stream=self._stream,
            partial=bytes(self._partial),
            told=self._told,
            skips=self._skips,
        )

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
            chunk = os.read(self._fd, self._chunk_bytes)
        except BlockingIOError:
            return 0
        except OSError:  # a terminal whose last user is gone says EIO
            chunk = b""
        if chunk:
            self._before()
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
            self._tell_dropped()

    def _feed(self, chunk: bytes) -> None:
        count = chunk.count(b"\n")
        if self._budget.covers(count, len(chunk)) or not self._may_drop():
            *lines, rest = chunk.split(b"\n")
            for line in lines:
                self._add(line)
                self._end_line()
            self._add(rest)
        else:
            self._leave_out(chunk, count)
        self._wait_no_longer()
        self._wait_for_its_end()

    def _end_line(self) -> None:
        if not self._skips:
            self._sink(self._stream, bytes(self._partial).removesuffix(b"\r"))
        self._partial.clear()
        self._told = self._skips = False

    def _add(self, data: bytes) -> None:
        """Add to the line; what gets too long is given out as far as it goes, and says so."""
        if self._skips:
            return
        self._partial += data
        if len(self._partial) > LINE_MAX_BYTES:
            line = bytes(self._partial[:LINE_MAX_BYTES])
            word = _LAST_WORD.search(line, LINE_MAX_BYTES - _WORD_BYTES)
            self._sink(self._stream, line[: word.start() if word else None] + CUT)
            self._partial.clear()
            self._skips = True

    # A flood.

    def _leave_out(self, chunk: bytes, count: int) -> None:
        """Keep one line of a chunk, whole, and how many there were."""
        if self._chunk_bytes == _CHUNK_BYTES and self._fd is not None:
            self._chunk_bytes = _FLOOD_BYTES
            with suppress(OSError):  # a terminal, or too many of them: then as it is
                fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, _FLOOD_BYTES)
        if not count:
            self._dropped += not self._skips
            self._partial.clear()
            self._skips = True
        else:
            first, last = chunk.index(b"\n"), chunk.rindex(b"\n")
            if not self._skips and len(self._partial) + first > _SAMPLE_BYTES:
                self._dropped += 1
                self._skips = True
            self._add(chunk[:first])
            self._end_line()
            self._dropped += count - 1
            self._partial += chunk[last + 1 :]
        if self._drop_timer is None:
            loop = asyncio.get_running_loop()
            self._drop_timer = loop.call_later(TELL_DROPPED_S, self._tell_dropped)

    def _tell_dropped(self) -> None:
        if self._drop_timer is not None:
            self._drop_timer.cancel()
            self._drop_timer = None
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._on_drop(self._stream, count)

    # A line that stands.

    def _wait_for_its_end(self) -> None:
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
