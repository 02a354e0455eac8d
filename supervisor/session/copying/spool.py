"""The spool takes the copies, one after the other: in memory, and from some MB on in a file.

The file has no name: it ends with the process.
"""

import os
import tempfile
from pathlib import Path
from typing import Self

from supervisor.session import files
from supervisor.session.progress import Progress, Tally

# How much of a file is read at once: a multiple of what files are cut into.
CHUNK_BYTES = 1 << 20
# As much is held in memory: most snapshots need no file at all.
_HELD_BYTES = 8 << 20


class SpoolFailed(OSError):  # noqa: N818 - reads as what happened
    """The spool's own disk failed, and no file that is copied."""


class Spool:
    """As a context manager it closes only on failure: what was copied is read later.

    `progress`: is told how far the copying and then the storing is; see `expect`.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self._folder = folder
        self._progress = progress
        self._tally = Tally(None, 0)
        self._fd = -1
        self._end = 0
        self._places: dict[str, int] = {}
        self._held: dict[int, bytes] = {}
        self._held_bytes = 0
        self._buffer = memoryview(b"")
        self._zeros = memoryview(b"")

    @property
    def size_bytes(self) -> int:
        """How much was copied."""
        return self._end

    def expect(self, total_bytes: int) -> None:
        """Say how many bytes will be read from now on, or got back."""
        self._tally = Tally(self._progress, total_bytes)

    def read(self, source: int, offset: int, end: int) -> memoryview:
        """Return the bytes of a file from `offset` on: a chunk, or all up to `end`.

        They are good until the next call. Raises: OSError.
        """
        if not self._buffer:
            self._buffer = memoryview(bytearray(CHUNK_BYTES))
        want = min(end - offset, CHUNK_BYTES)
        done = files.fill(source, self._buffer[:want], offset)
        self._tally.add(done)
        return self._buffer[:done].toreadonly()

    def zeros(self, length: int) -> memoryview:
        """Return that many zeros."""
        if len(self._zeros) < length:
            self._zeros = memoryview(bytes(length))
        return self._zeros[:length]

    def put(self, digest: str, data: memoryview) -> int:
        """Keep `data`, whose BLAKE3 is `digest`; return where it begins. Raises: SpoolFailed."""
        place = self._places.get(digest)
        if place is not None:
            return place
        start = self._places[digest] = self._end
        self._end += len(data)
        if self._held_bytes + len(data) <= _HELD_BYTES:
            self._held[start] = bytes(data)
            self._held_bytes += len(data)
            return start
        try:
            self._write(data, start)
        except OSError as error:
            raise SpoolFailed(error.errno, error.strerror, str(self._folder)) from error
        return start

    def _write(self, data: memoryview, at: int) -> None:
        if self._fd < 0:
            self._fd = self._create()
        while data:
            count = os.pwrite(self._fd, data, at)
            data = data[count:]
            at += count

    def get(self, start: int, length: int) -> bytes:
        """Return bytes that were put here. Raises: OSError."""
        self._tally.add(length)
        if start in self._held:
            return self._held[start]
        data = os.pread(self._fd, length, start)
        while len(data) < length:
            more = os.pread(self._fd, length - len(data), start + len(data))
            if not more:
                raise OSError("the copy in the spool ends early")
            data += more
        return data

    def _create(self) -> int:
        try:
            return os.open(self._folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            # Not every filesystem has O_TMPFILE.
            fd, name = tempfile.mkstemp(prefix="work-", dir=self._folder)
            Path(name).unlink(missing_ok=True)  # a sweep may have been faster
            return fd

    def close(self) -> None:
        """Give the space back. Harmless when done before."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._buffer = self._zeros = memoryview(b"")
        self._places.clear()
        self._held.clear()
        self._held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.close()

    def __del__(self) -> None:
        self.close()
