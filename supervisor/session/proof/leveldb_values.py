"""Read one value out of a LevelDB folder: it may be a live browser's, or made by anybody.

Nothing is locked or written, and what is read is bounded. Formats of google/leveldb 1.23:
`db/write_batch.cc` (what a log's record holds), `table/format.cc` and `table/block_builder.cc`
(blocks), `db/dbformat.h` (keys in tables), and google/snappy `format_description.txt`. It proves
nothing: whether the set is whole is for `leveldb.problem` to say.
"""

from collections.abc import Iterator
from struct import Struct, error
from typing import NamedTuple

from supervisor.session.proof.leveldb import is_log, look, named_by_current, read
from supervisor.session.proof.leveldb_format import (
    FIRST,
    FOOTER_BYTES,
    FULL,
    LAST,
    TABLE_MAGIC,
    Damaged,
    NotOurs,
    State,
    Words,
    manifest_records,
    physical,
)

_TRIES = 3
_TABLES_MAX = 256
# A block is 4 KiB, or as long as its one value; an index of a table of 2 MB has 40 KB.
_BLOCK_MAX_BYTES = 4 << 20
_LOG_MAX_BYTES = 16 << 20
_COUNT = Struct("<I")
_BATCH = Struct("<QI")  # sequence number, count
_TRAILER_BYTES = 5  # type, checksum
_SEQUENCE_BYTES = 8  # after each key in a table: what kind it is, sequence number
_SNAPPY = 1
_VALUE = 1


class Found(NamedTuple):
    """What was written last under a key. `value` None: it was deleted."""

    sequence: int
    value: bytes | None


class Cursor(Words):
    """Words that hands out what it steps over. Raises: NotOurs at the end."""

    def take(self, length: int) -> bytes:
        """Return so many bytes."""
        part = self._data[self._at : self._at + length]
        self._at += length
        if len(part) < length:
            raise NotOurs
        return part

    def sliced(self) -> bytes:
        """Return bytes that have their length before them."""
        return self.take(self.number())


def value_of(folder: str, key: bytes) -> bytes | None:
    """Return what a LevelDB with the bytewise order has under `key`; None where it has nothing.

    Also where it can't be told. Raises: OSError where the disk does not give it.
    """
    for _try in range(_TRIES):
        try:
            found = max(_all_of(folder, key), key=lambda one: one.sequence, default=None)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it moved while it was read, or is none
        except (Damaged, NotOurs, error):
            return None
        return found.value if found else None
    return None


def replays(folder: str, log: str) -> bool:
    """Return whether LevelDB would replay a log of this name; no where that can't be told."""
    try:
        return _needs(_state(folder, look(folder)), log)
    except (Damaged, NotOurs, error, FileNotFoundError):
        return False


def _needs(state: State, log: str) -> bool:
    number = int(log.removesuffix(".log"))
    return number >= (state.log or 0) or number == state.previous_log


def _state(folder: str, there: dict[str, tuple[int, int]]) -> State:
    name = named_by_current(folder, there)
    state = State()
    for record in manifest_records(read(folder, name), name, deep=False):
        state.apply(record)
    return state


def _all_of(folder: str, key: bytes) -> Iterator[Found]:
    there = look(folder)
    state = _state(folder, there)
    for number, size in sorted(state.tables.items())[-_TABLES_MAX:]:
        table = f"{number:06}.ldb"
        yield from _in_table(folder, table if table in there else f"{number:06}.sst", size, key)
    for log in filter(is_log, there):
        if _needs(state, log):
            yield from _in_log(read(folder, log, _LOG_MAX_BYTES), key)


# --- logs -----------------------------------------------------------------------------------


def _in_log(data: bytes, key: bytes) -> Iterator[Found]:
    parts: list[bytes] = []
    for record in physical(data, 0):
        if record.kind in (FULL, FIRST):
            parts = []
        parts.append(record.body)
        if record.kind in (FULL, LAST):
            batch = b"".join(parts)
            if key in batch:
                yield from _in_batch(batch, key)


def _in_batch(batch: bytes, key: bytes) -> Iterator[Found]:
    words = Cursor(batch)
    sequence, count = _BATCH.unpack(words.take(_BATCH.size))
    for number in range(count):
        kind = words.take(1)[0]
        name = words.sliced()
        value = words.sliced() if kind == _VALUE else None
        if name == key:
            yield Found(sequence + number, value)


# --- tables ---------------------------------------------------------------------------------


def _in_table(folder: str, name: str, size: int, key: bytes) -> Iterator[Found]:
    footer = read(folder, name, FOOTER_BYTES, max(0, size - FOOTER_BYTES))
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != TABLE_MAGIC:
        raise NotOurs
    words = Cursor(footer)
    words.number(), words.number()  # of the index of metadata
    for last, handle in _entries(_block(folder, name, words)):
        if last[:-_SEQUENCE_BYTES] < key:
            continue
        for full, value in _entries(_block(folder, name, Cursor(handle))):
            user = full[:-_SEQUENCE_BYTES]
            if user == key:  # the newest comes first
                tag = int.from_bytes(full[-_SEQUENCE_BYTES:], "little")
                yield Found(tag >> 8, value if tag & 0xFF == _VALUE else None)
                return
            if user > key:
                return


def _block(folder: str, name: str, handle: Cursor) -> bytes:
    offset, length = handle.number(), handle.number()
    if length > _BLOCK_MAX_BYTES:
        raise NotOurs
    block = read(folder, name, length + _TRAILER_BYTES, offset)
    if len(block) < length + _TRAILER_BYTES:
        raise NotOurs
    return unpacked(block[:length]) if block[length] == _SNAPPY else block[:length]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield a block's keys and values: each key has only what differs from the one before it."""
    if len(block) < _COUNT.size:
        raise NotOurs
    (restarts,) = _COUNT.unpack_from(block, len(block) - _COUNT.size)
    words = Cursor(block[: max(0, len(block) - _COUNT.size * (restarts + 1))])
    key = b""
    while words.more():
        shared, rest, length = words.number(), words.number(), words.number()
        key = key[:shared] + words.take(rest)
        yield key, words.take(length)


# --- snappy ---------------------------------------------------------------------------------


def unpacked(data: bytes) -> bytes:
    """Return what Snappy packed. Raises: NotOurs for what it did not pack, or what is too long."""
    words = Cursor(data)
    length = words.number()
    if length > _BLOCK_MAX_BYTES:
        raise NotOurs
    out = bytearray()
    while words.more():
        tag = words.take(1)[0]
        kind, size = tag & 3, (tag >> 2) + 1
        if kind == 0:
            if size > 60:  # noqa: PLR2004 - then so many bytes more say the length
                size = int.from_bytes(words.take(size - 60), "little") + 1
            out += words.take(size)
        else:
            if kind == 1:
                size = (tag >> 2 & 7) + 4
                back = tag >> 5 << 8 | words.take(1)[0]
            else:
                back = int.from_bytes(words.take(2 if kind == 2 else 4), "little")  # noqa: PLR2004 - a copy's kind
            if not 0 < back <= len(out):
                raise NotOurs
            start = len(out) - back
            again = bytes(out[start : start + size])  # which may go on into what it adds
            out += (again * (size // len(again) + 1))[:size]
        if len(out) > length:
            raise NotOurs
    if len(out) < length:
        raise NotOurs
    return bytes(out)
