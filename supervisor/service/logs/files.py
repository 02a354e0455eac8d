"""The bots' output in files: one for each bot, put aside when it is large or old, 0600.

Lines are handed over and written by a thread: a disk that hangs or is full holds up nobody. What
does not fit into the queue is left out, counted, and said. loguru opens, rotates and removes.
"""

import asyncio
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from loguru import logger

from supervisor.config import LogsConfig
from supervisor.session import files

if TYPE_CHECKING:
    from loguru import Message

Note = Callable[[str | None, str, dict[str, Any]], None]
# The settings under which a line came, whose it is, and itself.
_Line = tuple[LogsConfig, str, str]

# What a record is bound by that is for a bot's file, and for no console.
FILE = "log_file"
ROOM_BYTES = 8 << 20
# A file that could not be written is tried again after so long.
AGAIN_S = 30.0
FLUSH_S = 1.0
_BATCH_S = 0.05
_PIECE = 64 << 10
# loguru takes braces in a path for fields of its own.
_NO_FIELDS = str.maketrans({"{": "{{", "}": "}}"})
_SHORT = {"stdout": "out", "stderr": "err"}


class LogFiles:
    """Writes what `put` gets. `note` is told, from the loop's thread, what could not be written.

    The files are `BOT.log` in the config's folder; a line is `TIME out TEXT`, or `TIME err TEXT`.
    """

    def __init__(self, config: LogsConfig, note: Note) -> None:
        self._config = config
        self._note = note
        self._changed = threading.Condition()
        self._queue: deque[_Line] = deque()
        self._bytes = 0
        self._dropped = 0
        self._writing = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def configure(self, config: LogsConfig) -> None:
        """Write by other settings from now on; what waits is written by those it came under."""
        self._config = config

    def put(self, bot: str, stream: str, text: str) -> None:
        """Hand over a line; never blocks. From the loop's thread."""
        if self._config.folder is None:
            return
        line = f"{_now()} {_SHORT.get(stream, stream)} {text}\n"
        with self._changed:
            if self._bytes + len(line) > ROOM_BYTES:
                self._dropped += 1
                return
            self._queue.append((self._config, bot, line))
            self._bytes += len(line)
            if self._thread is None:
                self._loop = asyncio.get_running_loop()
                # A daemon: a disk that hangs must not keep us from ending.
                self._thread = threading.Thread(target=self._run, name="log-files", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until all is written, at most so long; say whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._writing, timeout_s)

    def close(self) -> None:
        """Write what is left, bounded, and end."""
        self.flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(FLUSH_S)

    # In the thread.

    def _run(self) -> None:
        opened: dict[str, _File] = {}
        written_by: LogsConfig | None = None
        while (batch := self._next()) is not None:
            for config, lines in groupby(batch, itemgetter(0)):
                if config != written_by:
                    _close(opened)
                    written_by = config
                blocks: dict[str, list[str]] = defaultdict(list)
                for _, bot, line in lines:
                    blocks[bot].append(line)
                for bot, block in blocks.items():
                    file = opened.get(bot) or opened.setdefault(bot, _File(bot, config))
                    if (why := file.write("".join(block))) is not None:
                        self._tell(bot, "log_failed", {"why": why})
            with self._changed:  # lines that come together are written together
                self._changed.wait_for(lambda: self._closed, _BATCH_S)
        _close(opened)

    def _next(self) -> deque[_Line] | None:
        """Wait for lines and return them. None: it is the end."""
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return None
            lines, self._queue, self._bytes = self._queue, deque(), 0
            dropped, self._dropped = self._dropped, 0
            self._writing = True
        if dropped:
            why = f"{dropped} lines could not be written in time: a slow disk"
            self._tell(None, "log_failed", {"why": why})
        return lines

    def _tell(self, bot: str | None, event: str, fields: dict[str, Any]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is gone, and so is who listens
                self._loop.call_soon_threadsafe(self._note, bot, event, fields)


def _close(files: dict[str, "_File"]) -> None:
    for file in files.values():
        file.close()
    files.clear()


class _File:
    """One bot's file: a handler of loguru's that takes only what is bound to it."""

    def __init__(self, bot: str, config: LogsConfig) -> None:
        assert config.folder is not None  # noqa: S101 - nothing is put otherwise
        self._bot = bot
        self._path = config.folder / f"{bot}.log"
        self._config = config
        self._handler: int | None = None
        self._again_at = 0.0

    def write(self, block: str) -> str | None:
        """Write whole lines; return why they could not be, the first time only."""
        failing = self._again_at > 0
        if failing and time.monotonic() < self._again_at:
            return None
        try:
            if self._handler is None or not self._path.exists():
                self._open()
                if not _ends_whole(self._path):
                    block = "\n" + block  # a full disk, or a crash, has cut the last line
            for piece in _pieces(block):
                logger.bind(**{FILE: self._bot}).info("{}", piece)
        except Exception as error:  # noqa: BLE001 - the thread writes for weeks, and for all bots
            self.close()
            self._again_at = time.monotonic() + AGAIN_S
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return None if failing else f"{self._path}: {why}"
        self._again_at = 0.0
        return None

    def _open(self) -> None:
        self.close()
        files.make_private(self._path.parent)
        bot = self._bot
        self._handler = logger.add(
            str(self._path).translate(_NO_FIELDS),
            filter=lambda record: record["extra"].get(FILE) == bot,
            format=lambda _: "{message}",  # a text would get a line's end, and the block has one
            rotation=_Rotation(self._config),
            retention=self._config.keep_files,
            watch=True,  # another one may be put in its place: by logrotate, say
            catch=False,
            backtrace=False,
            diagnose=False,
            encoding="utf-8",
            errors="backslashreplace",
            opener=_private,
        )

    def close(self) -> None:
        """Close it; the next write opens it again."""
        if self._handler is not None:
            with suppress(OSError, ValueError):  # it was removed with all others
                logger.remove(self._handler)
            self._handler = None


def _pieces(block: str) -> Iterator[str]:
    """Yield whole lines together, so many that a file does not get much larger than it should."""
    start = 0
    while len(block) - start > _PIECE:
        end = block.rfind("\n", start, start + _PIECE) + 1 or block.find("\n", start) + 1
        yield block[start:end]
        start = end
    yield block[start:]


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) in (b"", b"\n")


class _Rotation:
    """Says when a file is put aside: at so many megabytes, or after so many hours."""

    def __init__(self, config: LogsConfig) -> None:
        self._most_bytes = config.rotate_mb << 20
        self._most_s = config.rotate_hours * 3600
        self._began: tuple[int, float] | None = None

    def __call__(self, message: "Message", file: IO[str]) -> bool:
        found = os.fstat(file.fileno())
        if self._began is None or self._began[0] != found.st_ino:
            # One that was there before us is as old as its first line.
            self._began = found.st_ino, _first_time(file.name) or time.time()
        old = time.time() - self._began[1] > self._most_s
        return found.st_size > 0 and (old or found.st_size + len(message) > self._most_bytes)


def _first_time(path: str) -> float | None:
    with suppress(OSError, ValueError), open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - loguru's own name of it
        return datetime.fromisoformat(file.readline(64).split(" ", 1)[0]).timestamp()
    return None


def _private(path: str, flags: int) -> int:
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if not os.fstat(fd).st_mode & 0o777:
        os.fchmod(fd, 0o600)  # the umask left nothing; what an operator set stays
    return fd


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def tail(folder: Path, bot: str, count: int) -> list[str]:
    """Return the last lines of a bot's files, the oldest first; those put aside come before.

    Needs no supervisor. Raises: OSError.
    """
    found: deque[str] = deque(maxlen=max(count, 0))
    aside = sorted(folder.glob(f"{bot}.*.log"), key=lambda path: path.stat().st_mtime)
    for path in (*aside, folder / f"{bot}.log"):
        with (
            suppress(FileNotFoundError),
            path.open(encoding="utf-8", errors="replace", newline="\n") as file,
        ):
            found.extend(line.rstrip("\n") for line in file)
    return list(found)
