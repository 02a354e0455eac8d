"""The journal: what happened, in memory for the live readers and in a file for later.

It never blocks and never fails its writer: a full disk stops the file, not the events; a slow
reader loses the oldest and is told how many. A QR code never enters it.
"""

import json
import os
import stat
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

Record = dict[str, Any]

ROTATE_BYTES = 1024 * 1024
# A pairing secret must not reach a file, whoever passes it here by mistake.
_SECRET = frozenset({"qr", "token"})


def now() -> str:
    """Return the time as RFC 3339 UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def _lines(path: Path) -> Iterator[Record]:
    """Yield the records of one file; a line that a crash tore is passed over."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        handle = os.open(path, flags)
    except OSError:
        return
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return
    with os.fdopen(handle, "rb") as stream:
        for line in stream:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and isinstance(record.get("event"), str):
                yield record


def read(path: Path, bot: str | None = None) -> Iterator[Record]:
    """Yield the records of the journal's files, the oldest first; needs no supervisor.

    With a bot: its own, and those of the supervisor itself.
    """
    for file in (_older(path), path):
        for record in _lines(file):
            if bot is None or record.get("bot") in (bot, None):
                yield record


class Subscription:
    """One reader's records, in order. Bounded: what does not fit is counted and said."""

    def __init__(self, journal: "Journal", bot: str | None, first: list[Record], room: int) -> None:
        import asyncio  # noqa: PLC0415 - `stillhere events` reads files without it

        self._journal = journal
        self._bot = bot
        self._first = deque(first)
        self._queue: deque[Record] = deque()
        self._room = room
        self._lost = 0
        self._closed = False
        self._wake = asyncio.Event()

    def offer(self, record: Record) -> None:
        """Take a record; never blocks."""
        if self._bot is not None and record["bot"] not in (self._bot, None):
            return
        if len(self._queue) == self._room:
            self._queue.popleft()
            self._lost += 1
        self._queue.append(record)
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        if self._first:
            return self._first.popleft()
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        if self._lost:
            count, self._lost = self._lost, 0
            return {"t": now(), "bot": self._bot, "event": "lost", "count": count}
        return self._queue.popleft()

    def close(self) -> None:
        """End the iteration once what is queued has been read."""
        self._closed = True
        self._wake.set()
        self._journal.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Journal:
    """Events in memory (`keep` of them) and in a file of JSON lines. For one thread: the loop's."""

    def __init__(
        self,
        path: Path | None,
        keep: int = 1000,
        *,
        rotate_bytes: int = ROTATE_BYTES,
        retry_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._retry_s = retry_s
        self._clock = clock
        self._records: deque[Record] = deque(maxlen=keep)
        self._readers: list[Subscription] = []
        self._handle: int | None = None
        self._broken_until: float | None = None
        if path is not None:
            self._records.extend(read(path))

    def append(self, bot: str | None, event: str, **fields: Any) -> Record:
        """Write down one event and return it with its time `t`; never raises for a full disk."""
        kept = {key: value for key, value in fields.items() if key not in _SECRET}
        record: Record = {"t": now(), "bot": bot, "event": event, **kept}
        self._publish(record)
        if self._path is not None and self._may_write():
            try:
                self._write(self._path, record)
            except OSError as error:
                self._drop_handle()
                first = self._broken_until is None
                self._broken_until = self._clock() + self._retry_s
                if first:
                    why = f"{self._path}: {error.strerror or error}"
                    self._publish({"t": now(), "bot": None, "event": "journal_failed", "why": why})
            else:
                self._broken_until = None
        return record

    def backlog(self, bot: str | None = None, limit: int | None = None) -> list[Record]:
        """Return the newest records, the oldest first."""
        found = [r for r in self._records if bot is None or r.get("bot") in (bot, None)]
        return found if limit is None else found[max(0, len(found) - limit) :]

    def since(self, t: str, bot: str | None = None) -> list[Record]:
        """Return the records later than `t` (RFC 3339 UTC, as in a record)."""
        return [r for r in self.backlog(bot) if str(r.get("t", "")) > t]

    def subscribe(
        self, bot: str | None = None, *, backlog: int = 0, room: int = 256
    ) -> Subscription:
        """Follow the journal, after the newest `backlog` records; no record is missed between."""
        first = self.backlog(bot, backlog) if backlog else []
        reader = Subscription(self, bot, first, room)
        self._readers.append(reader)
        return reader

    def forget(self, reader: Subscription) -> None:
        """Stop offering records to a reader."""
        with suppress(ValueError):
            self._readers.remove(reader)

    def close(self) -> None:
        """End all readers and close the file."""
        for reader in list(self._readers):
            reader.close()
        self._drop_handle()

    def _publish(self, record: Record) -> None:
        self._records.append(record)
        for reader in self._readers:
            reader.offer(record)

    def _may_write(self) -> bool:
        return self._broken_until is None or self._clock() >= self._broken_until

    def _drop_handle(self) -> None:
        if self._handle is not None:
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None

    def _open(self, path: Path) -> int:
        from supervisor.session import files  # noqa: PLC0415 - to read the journal needs none of it

        files.make_private(path.parent)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        handle = os.open(path, flags, 0o600)
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            os.close(handle)
            raise OSError(0, "not a regular file")
        os.fchmod(handle, 0o600)
        self._handle = handle
        if found.st_size and os.pread(handle, 1, found.st_size - 1) != b"\n":
            # A crash tore the last line: it must not swallow the next one.
            self._put(handle, b"\n")
        return handle

    def _write(self, path: Path, record: Record) -> None:
        line = json.dumps(record, default=str, separators=(",", ":")).encode() + b"\n"
        handle = self._handle
        if handle is not None and os.fstat(handle).st_nlink == 0:
            # Somebody removed .session-cache: go on in a new file.
            self._drop_handle()
            handle = None
        if handle is None:
            handle = self._open(path)
        size = os.fstat(handle).st_size
        if size and size + len(line) > self._rotate_bytes:
            self._drop_handle()
            path.replace(_older(path))
            handle = self._open(path)
        self._put(handle, line)

    @staticmethod
    def _put(handle: int, data: bytes) -> None:
        if os.write(handle, data) != len(data):
            # The file ends in a torn line now; the next open mends it.
            raise OSError(28, "no space left")
