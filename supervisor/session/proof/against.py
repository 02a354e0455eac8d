"""A database beside its good copy in the store: which page was overwritten? Opens no database."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from blake3 import blake3

from supervisor.session import files
from supervisor.session.copying.pieces import GROUP_BYTES, group_digests
from supervisor.session.model import DamagedBlob
from supervisor.session.proof.pages import Layout, overwritten
from supervisor.session.scan import NO_RIGHTS, OUR_LACKS
from supervisor.session.storage.entries import Blob, Entry
from supervisor.session.storage.packs import BlobReader

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def overwritten_page(path: Path, good: Entry, reader: BlobReader) -> int | None:
    """Return a page that is damage for sure, where nobody may have written since `good`.

    It has no journal, now or then. Only what differs is read back from the store. None: this look
    proves nothing, and SQLite must decide. Raises: OSError.
    """
    blobs = good.blobs
    if not blobs or any(blob.raw != GROUP_BYTES for blob in blobs[:-1]):
        return None  # an older program has cut it in another way
    fd = os.open(path, _FLAGS)
    try:
        if os.fstat(fd).st_size != good.seen.size:
            return None
        return _Both(fd, blobs, reader).overwritten(good.seen.size)
    except DamagedBlob:
        return None
    finally:
        os.close(fd)


def begins_as(path: Path, then: Entry) -> bool:
    """Return whether a file begins with the bytes that `then` has.

    False also where its disk does not say. Raises: OSError where that says nothing of the disk.
    """
    return _begins_as(path, then) is True


def begins_otherwise(path: Path, then: Entry) -> bool:
    """Return whether a file begins with other bytes than `then` has; see `begins_as`."""
    return _begins_as(path, then) is False


def _begins_as(path: Path, then: Entry) -> bool | None:
    try:
        fd = os.open(path, _FLAGS)
        try:
            return same_from_the_start(fd, then.blobs)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (*OUR_LACKS, *NO_RIGHTS):
            raise
        return None


def same_from_the_start(fd: int, blobs: Iterable[Blob]) -> bool:
    """Return whether a file begins with these bytes. Raises: OSError."""
    at = 0
    for blob in blobs:
        if blake3(files.read_at(fd, blob.raw, at)).hexdigest() != blob.hash:
            return False
        at += blob.raw
    return True


class _Both:
    """The file as it is, and as it was; where a group is the same, it is read from the file."""

    def __init__(self, fd: int, blobs: Sequence[Blob], reader: BlobReader) -> None:
        self._fd = fd
        self._blobs = blobs
        self._reader = reader
        # A small file is one blob.
        self._group = GROUP_BYTES if len(blobs) > 1 else blobs[0].raw
        self._differ = _differing(fd, blobs) if len(blobs) > 1 else [0]
        self._last: tuple[int, bytes] = (-1, b"")
        self._page = 0

    def overwritten(self, size: int) -> int | None:
        first = files.read_at(self._fd, GROUP_BYTES, 0)
        layout = Layout.of(first, size)
        if not self._differ or layout is None:
            return None
        self._page = layout.page_bytes
        return overwritten(layout, self._changed(), self._then, self._now)

    def _changed(self) -> Iterator[int]:
        """Yield the pages that differ, in order."""
        for number in self._differ:
            first = number * self._group // self._page + 1
            for page in range(first, first + self._blobs[number].raw // self._page):
                if self._then(page) != self._now(page):
                    yield page

    def _now(self, page: int) -> bytes:
        return files.read_at(self._fd, self._page, (page - 1) * self._page)

    def _then(self, page: int) -> bytes:
        number, at = divmod((page - 1) * self._page, self._group)
        if number not in self._differ:
            return self._now(page)
        if self._last[0] != number:
            self._last = number, self._reader.read(self._blobs[number])
        return self._last[1][at : at + self._page]


def _differing(fd: int, blobs: Sequence[Blob]) -> list[int]:
    """Return which groups of the file are not what they were, in order."""
    now = group_digests(fd, sum(blob.raw for blob in blobs))
    both = zip_longest(now, (blob.hash for blob in blobs))
    return [number for number, (digest, then) in enumerate(both) if digest != then]
