"""Cut a file's bytes into pieces; what is stored already is found by its hash, not copied."""

import errno
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from blake3 import blake3

from supervisor.session import files
from supervisor.session.copying.spool import CHUNK_BYTES, Spool
from supervisor.session.proof.sqlite_files import MAGIC
from supervisor.session.storage.entries import Blob

# A file up to WHOLE_BYTES is one blob, a larger one is cut into groups.
WHOLE_BYTES = 128 << 10
GROUP_BYTES = 64 << 10
# Each group has its place in the manifest, holes too: a file of 1 TB would have 16 million.
LARGEST_BYTES = 16 << 30
# From here on a second thread pays: both the kernel and BLAKE3 work without Python's lock.
_LARGE_BYTES = 4 << 20


class Spooled(NamedTuple):
    """Bytes in the spool that are not stored yet. `under`: what was stored at their place."""

    hash: str
    start: int
    length: int
    under: Blob | None


Piece = Blob | Spooled


class Copied(NamedTuple):
    """A file's content, in order. `format`: what its first bytes say that it is."""

    pieces: tuple[Piece, ...]
    format: str


def read_pieces(
    fd: int, size: int, known: Sequence[Piece], spool: Spool, *, sparse: bool
) -> tuple[Copied, int]:
    """Read `size` bytes of a file, or fewer if it ends. Returns the pieces and their bytes.

    `known`: its pieces when it was looked at last. Raises: OSError.
    """
    if known and size >= _LARGE_BYTES and not sparse:
        return _read_changes(fd, size, known, spool)
    return cut(lambda at: spool.read(fd, at, size), size, known, spool, fd if sparse else None)


def _read_changes(fd: int, size: int, known: Sequence[Piece], spool: Spool) -> tuple[Copied, int]:
    """Hash all of a large file first, then read again what is not known."""
    digests = group_digests(fd, size)
    form = "sqlite" if spool.read(fd, 0, len(MAGIC)) == MAGIC else ""
    pieces: list[Piece] = []
    at = 0
    for digest, old in zip_longest(digests, known[: len(digests)]):
        end = min(at + GROUP_BYTES, size)
        if old is not None and old.hash == digest:
            pieces.append(old)
        elif data := spool.read(fd, at, end):
            pieces.append(_piece(blake3(data).hexdigest(), data, old, spool))
            end = at + len(data)
        else:
            break
        at = end
    return Copied(tuple(pieces), form), at


def group_digests(fd: int, size: int) -> list[str]:
    """Return the hash of each group, by two threads. Fewer if the file ends. Raises: OSError."""
    middle = size // GROUP_BYTES // 2 * GROUP_BYTES
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(_hash_groups, fd, middle, size)
        first = _hash_groups(fd, 0, middle)
    ended = len(first) * GROUP_BYTES < middle
    return first if ended else first + second.result()


def _hash_groups(fd: int, at: int, end: int) -> list[str]:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    digests: list[str] = []
    while at < end and (count := files.fill(fd, buffer[: end - at], at)):
        read = buffer[:count]
        digests.extend(
            blake3(read[begin : begin + GROUP_BYTES]).hexdigest()
            for begin in range(0, count, GROUP_BYTES)
        )
        at += count
    return digests


def cut(
    read: Callable[[int], memoryview],
    size: int,
    known: Sequence[Piece],
    spool: Spool,
    sparse_fd: int | None = None,
) -> tuple[Copied, int]:
    """Read `size` bytes, or fewer at the file's end. Returns the pieces and their bytes."""
    group = size if size <= WHOLE_BYTES else GROUP_BYTES
    pieces: list[Piece] = []
    form = ""
    at = 0
    old = iter(known)
    while at < size:
        hole = 0 if sparse_fd is None else _hole(sparse_fd, at, size) // group
        zeros = (next(old, None) for _ in range(hole))
        pieces += [_piece(_zeros(group), spool.zeros(group), then, spool) for then in zeros]
        at += hole * group
        data = read(at)
        if not data and at < size:
            break
        if not at and data[:16] == MAGIC:
            form = "sqlite"
        for begin in range(0, len(data), group):
            part = data[begin : begin + group]
            pieces.append(_piece(blake3(part).hexdigest(), part, next(old, None), spool))
        at += len(data)
    return Copied(tuple(pieces), form), at


def _piece(digest: str, data: memoryview, old: Piece | None, spool: Spool) -> Piece:
    """Return the piece at its old place if it is the same, else one that is in the spool now."""
    if old is not None and old.hash == digest:
        return old
    under = old.under if isinstance(old, Spooled) else old
    return Spooled(digest, spool.put(digest, data), len(data), under)


def _hole(fd: int, at: int, size: int) -> int:
    """Return how many bytes from `at` on are a hole: read as zeros, and cost nothing."""
    try:
        return min(os.lseek(fd, at, os.SEEK_DATA), size) - at
    except OSError as error:
        # ENXIO: no data from here on (lseek(2)). Whatever else it says proves no hole: it is read.
        return size - at if error.errno == errno.ENXIO else 0


@lru_cache(maxsize=4)
def _zeros(length: int) -> str:
    return blake3(bytes(length)).hexdigest()
