"""What google/leveldb 1.23 writes, as far as it must be read to prove a set whole. Pure.

`db/log_format.h` and `db/log_reader.cc`: the records of logs and manifests; `db/version_edit.cc`:
what a manifest's record says; `table/format.h`: how a table ends. See `leveldb` for what follows
from it, and for why it imports nothing of ours.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from struct import Struct
from typing import NamedTuple

TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
BLOCK_BYTES = 32 << 10
HEADER = Struct("<IHB")  # crc32c (masked), length, type
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class Damaged(Exception):  # noqa: N818 - reads as what was found
    """What is missing or torn, in words for a person."""


class NotOurs(Exception):  # noqa: N818 - the same
    """Whole as far as it can be told, and written by something that we don't know."""


# --- records: db/log_format.h, db/log_reader.cc --------------------------------------------


class Physical(NamedTuple):
    """One record as it lies in a block. `kind` 0: it is broken, and so is the block's rest."""

    at: int
    kind: int
    body: bytes


def physical(data: bytes, summed_bytes: int) -> Iterator[Physical]:
    """Yield a log's records, and where it is broken. A torn end is its end, as in LevelDB.

    `summed_bytes`: of how many bytes at the beginning the checksums are computed.
    """
    at = 0
    while at + HEADER.size <= len(data):
        block_end = at - at % BLOCK_BYTES + BLOCK_BYTES
        if block_end - at < HEADER.size:
            at = block_end  # a trailer of zeros
            continue
        stored, length, kind = HEADER.unpack_from(data, at)
        end = at + HEADER.size + length
        if kind == 0 and length == 0:
            at = block_end  # space that was reserved and never written
        elif end > min(block_end, len(data)):
            if block_end > len(data):
                return  # the writer died in the middle of writing it
            yield Physical(at, 0, b"")
            at = block_end
        elif at < summed_bytes and unmasked(stored) != crc32c(data[at + 6 : end]):
            yield Physical(at, 0, data[end:block_end])
            at = block_end
        else:
            yield Physical(at, kind, data[at + HEADER.size : end])
            at = end


def manifest_records(data: bytes, name: str, *, deep: bool) -> Iterator[bytes]:
    """Yield what a manifest records. LevelDB opens none that is broken anywhere but at its end.

    Raises: Damaged, NotOurs.
    """
    parts: list[bytes] = []
    for record in physical(data, len(data) if deep else 0):
        if record.kind == 0:
            raise Damaged(f"{name} is torn at byte {record.at}")
        if record.kind > LAST:
            raise NotOurs
        begins = record.kind in (FULL, FIRST)
        if any(parts) if begins else not parts:
            raise Damaged(f"{name} is torn before byte {record.at}")
        if begins:
            parts = []
        parts.append(record.body)
        if record.kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []


# --- what a manifest's record says: db/version_edit.cc -------------------------------------


class Words:
    """Reads varints and length-prefixed bytes (util/coding.cc). Raises: NotOurs at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        """Return whether there is anything left."""
        return self._at < len(self._data)

    def number(self) -> int:
        """Return the next varint, of 64 bits at most."""
        value = 0
        for shift in range(0, 64, 7):
            if not self.more():
                break
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
                return value
        raise NotOurs

    def skip_bytes(self) -> None:
        """Step over bytes that have their length before them."""
        length = self.number()
        self._at += length
        if self._at > len(self._data):
            raise NotOurs

    def skip_pointer(self) -> None:
        """Step over a level and a key."""
        self.number()
        self.skip_bytes()


@dataclass(slots=True)
class State:
    """What a manifest's records add up to. `tables`: size in bytes by number."""

    tables: dict[int, int] = field(default_factory=dict)
    log: int | None = None
    previous_log: int = 0
    next_file: int | None = None
    last_sequence: int | None = None

    def apply(self, record: bytes) -> None:
        """Take one record. Deletions come first (VersionSet::Builder::Apply)."""
        words = Words(record)
        gone: list[int] = []
        new: dict[int, int] = {}
        steps: dict[int, Callable[[], None]] = {
            1: words.skip_bytes,  # kComparator
            2: lambda: setattr(self, "log", words.number()),  # kLogNumber
            3: lambda: setattr(self, "next_file", words.number()),  # kNextFileNumber
            4: lambda: setattr(self, "last_sequence", words.number()),  # kLastSequence
            5: words.skip_pointer,  # kCompactPointer
            6: lambda: gone.append((words.number(), words.number())[1]),  # kDeletedFile
            7: lambda: _new_file(words, new),  # kNewFile
            9: lambda: setattr(self, "previous_log", words.number()),  # kPrevLogNumber
        }
        while words.more():
            step = steps.get(words.number())
            if step is None:
                raise NotOurs  # its checksum is right, so it means something to somebody
            step()
        for number in gone:
            self.tables.pop(number, None)
        self.tables |= new


def _new_file(words: Words, new: dict[int, int]) -> None:
    words.number()  # the level
    number = words.number()
    new[number] = words.number()
    words.skip_bytes()  # the smallest key
    words.skip_bytes()  # the largest


# --- crc32c: util/crc32c.cc, RFC 3720 B.4 --------------------------------------------------

_TABLE = tuple(
    reduce(lambda value, _bit: value >> 1 ^ (0x82F63B78 if value & 1 else 0), range(8), byte)
    for byte in range(256)
)


def crc32c(data: bytes) -> int:
    """Return the CRC of Castagnoli's polynomial."""
    table = _TABLE
    value = 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


def unmasked(value: int) -> int:
    """Return a CRC from how LevelDB stores it (util/crc32c.h, Unmask)."""
    value = value - 0xA282EAD8 & 0xFFFFFFFF
    return (value >> 17 | value << 15) & 0xFFFFFFFF
