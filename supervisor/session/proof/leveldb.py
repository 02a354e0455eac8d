"""Is a LevelDB folder whole? Reads as much as proves it, opens nothing for writing, takes no lock.

The formats are those of google/leveldb 1.23: `db/log_format.h` and `db/log_reader.cc` (records of
logs and manifests), `db/version_edit.cc` (what a manifest's record says), `table/format.h` (a
table's last 48 bytes), `db/filename.cc` (names). What is written in another dialect, as RocksDB's
is, gets no verdict. It imports nothing of ours: `validate` runs it in a process of its own.

Of a table only its index is read: tables are never changed once they are written.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from struct import Struct
from typing import NamedTuple

TABLE_MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES = 48
BLOCK_BYTES = 32 << 10
HEADER = Struct("<IHB")  # crc32c (masked), length, type
_TRAILER = Struct("<BI")  # what follows a table's block: type, crc32c (masked)
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
# How much is read of one file, and of how much of a log the checksums are computed: 12 MB/s.
_READ_MAX_BYTES = 64 << 20
_SUMMED_MAX_BYTES = 4 << 20
_TRIES = 3
# Chromium opens these alone with `paranoid_checks`, and deletes one that does not pass.
_STRICT = ".indexeddb.leveldb"

_MANIFEST = re.compile(r"MANIFEST-\d{6,}")
_DATA = re.compile(r"\d{6,}\.(ldb|sst|log)")
# RocksDB has these beside names that are like LevelDB's.
_FOREIGN = re.compile(r"OPTIONS-\d+|IDENTITY")


def is_ours(names: set[str]) -> bool:
    """Return whether a folder with these names is a LevelDB, though perhaps a part of it is lost.

    Two of the three must be there: CURRENT, a manifest, a table or log.
    """
    if any(_FOREIGN.fullmatch(name) for name in names):
        return False
    manifest = any(_MANIFEST.fullmatch(name) for name in names)
    data = any(_DATA.fullmatch(name) for name in names)
    return ("CURRENT" in names) + manifest + data > 1


def is_member(name: str) -> bool:
    """Return whether a LevelDB needs a file of this name."""
    return name == "CURRENT" or bool(_MANIFEST.fullmatch(name) or _DATA.fullmatch(name))


def is_manifest(name: str) -> bool:
    """Return whether a file of this name says which tables and logs there are: it only grows."""
    return bool(_MANIFEST.fullmatch(name))


def is_log(name: str) -> bool:
    """Return whether this is a log of records: it grows and goes, and never shrinks."""
    return name.endswith(".log") and bool(_DATA.fullmatch(name))


def problem(folder: str, *, deep: bool = True) -> str:
    """Return why the LevelDB in `folder` is not whole, or "". Not `deep`: without checksums.

    A set that moves while it is read is read again, and gets no verdict if it goes on moving.
    Raises: OSError.
    """
    found = ""
    for _try in range(_TRIES):
        before = look(folder)
        try:
            _prove(folder, before, deep=deep)
        except NotOurs:
            return ""
        except Damaged as error:
            found = str(error)
        except FileNotFoundError as error:
            found = f"{Path(str(error.filename)).name} is missing"
        else:
            return ""
        if look(folder) == before:
            return found
    return ""


class Damaged(Exception):  # noqa: N818 - reads as what was found
    """What is missing or torn, in words for a person."""


class NotOurs(Exception):  # noqa: N818 - the same
    """Whole as far as it can be told, and written by something that we don't know."""


def look(folder: str) -> dict[str, tuple[int, int]]:
    """Return size in bytes and mtime in ns of what a LevelDB needs, by name. Raises: OSError."""
    found: dict[str, tuple[int, int]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_member(entry.name) and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found[entry.name] = (status.st_size, status.st_mtime_ns)
    return found


def _prove(folder: str, there: dict[str, tuple[int, int]], *, deep: bool) -> None:
    name = named_by_current(folder, there)
    state = State()
    for record in manifest_records(read(folder, name), name, deep=deep):
        state.apply(record)
    # db/version_set.cc, Recover: without these three LevelDB does not open it.
    if None in (state.next_file, state.log, state.last_sequence):
        raise Damaged(f"{name} is torn: it says no whole state")
    for number, size in state.tables.items():
        _prove_table(folder, there, number, size, deep=deep)
    _prove_logs(folder, there, state, name, deep=deep)


def named_by_current(folder: str, there: dict[str, tuple[int, int]]) -> str:
    """Return the manifest's name. Raises: Damaged, NotOurs, OSError."""
    if "CURRENT" not in there:
        raise Damaged("CURRENT is missing")
    if not there["CURRENT"][0]:
        raise Damaged("CURRENT is empty")
    text = read(folder, "CURRENT", 256)
    name = text.removesuffix(b"\n").decode("ascii", "replace")
    if not text.endswith(b"\n") or not _MANIFEST.fullmatch(name):
        raise Damaged("CURRENT is torn: it names no manifest")
    if name not in there:
        raise Damaged(f"{name} is missing, which CURRENT names")
    if not there[name][0]:
        raise Damaged(f"{name} is empty")
    if there[name][0] > _READ_MAX_BYTES:
        raise NotOurs
    return name


def _prove_table(
    folder: str, there: dict[str, tuple[int, int]], number: int, size: int, *, deep: bool
) -> None:
    # Until 1.14 a table's name ended in .sst (db/filename.cc, SSTTableFileName).
    name = next((n for n in (f"{number:06}.ldb", f"{number:06}.sst") if n in there), None)
    if name is None:
        raise Damaged(f"table {number:06}.ldb is missing")
    if there[name][0] < size:
        raise Damaged(f"{name} is torn: {there[name][0]} bytes instead of {size}")
    footer = read(folder, name, FOOTER_BYTES, max(0, size - FOOTER_BYTES))
    if len(footer) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != TABLE_MAGIC:
        raise Damaged(f"{name} does not end as a table does")
    words = Words(footer[:-8])
    try:
        places = [(words.number(), words.number()) for _handle in ("metaindex", "index")]
    except NotOurs as error:
        raise Damaged(f"{name} does not end as a table does") from error
    for offset, length in places:
        if offset + length > size - FOOTER_BYTES - _TRAILER.size:
            raise Damaged(f"{name} ends in an index that can't be in it")
        if deep and length <= _SUMMED_MAX_BYTES:
            block = read(folder, name, length + _TRAILER.size, offset)
            _type, stored = _TRAILER.unpack_from(block, length)
            if unmasked(stored) != crc32c(block[: length + 1]):
                raise Damaged(f"{name} has a broken index")


def _prove_logs(
    folder: str, there: dict[str, tuple[int, int]], state: "State", manifest: str, *, deep: bool
) -> None:
    """Check the logs that LevelDB would replay: from the manifest's number on.

    The log of that number is made before a manifest names it, and stays until a later record
    names another (db/db_impl.cc, MakeRoomForWrite, CompactMemTable, RemoveObsoleteFiles). So
    without it the manifest has lost its end, or the log itself is lost.
    """
    first = state.log or 0
    if first and f"{first:06}.log" not in there:
        raise Damaged(f"{first:06}.log is missing, which {manifest} needs")
    if not deep:
        return
    for name in sorted(filter(is_log, there)):
        number = int(name.removesuffix(".log"))
        if number >= first or number == state.previous_log:
            where = lost_in_the_middle(read(folder, name), strict=folder.endswith(_STRICT))
            if where is not None:
                raise Damaged(f"{name} is torn at byte {where}, and goes on after it")


def read(folder: str, name: str, length: int = _READ_MAX_BYTES, offset: int = 0) -> bytes:
    """Return a part of a file, fewer bytes at its end. Raises: OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(f"{folder}/{name}", flags)
    try:
        parts: list[bytes] = []
        while length > 0 and (part := os.pread(fd, min(length, 1 << 20), offset)):
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)


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


def lost_in_the_middle(data: bytes, *, strict: bool = False) -> int | None:
    """Return where a log is broken though whole records come later, or None.

    LevelDB drops what is broken; at the end, that is no more than what a crash may leave. Broken
    in the middle, it loses what it had, or refuses to open (`strict`: with `paranoid_checks`).
    What was written behind a torn end (`reuse_logs`) it drops up to the block's end each time.
    """
    broken: int | None = None
    for record in physical(data, _SUMMED_MAX_BYTES):
        if record.kind:
            if broken is not None:
                return broken
        elif broken is None and (strict or not _taken_up_again(data, record.at)):
            broken = record.at
            if strict or any(later.kind for later in physical(record.body, BLOCK_BYTES)):
                return broken
    return None


def _taken_up_again(data: bytes, at: int) -> bool:
    """Return whether the record at `at` was never finished, and another begins in its place.

    With the right checksum up to there it was finished: then its length has changed since.
    """
    stored, length, _kind = HEADER.unpack_from(data, at)
    block_end = at - at % BLOCK_BYTES + BLOCK_BYTES
    for start in range(at + 1, min(at + HEADER.size + length, block_end)):
        if data[start + 6 : start + 7] in (b"\1", b"\2"):  # FULL or FIRST
            following = next(physical(data[start:block_end], BLOCK_BYTES), None)
            if following and following.kind:
                return unmasked(stored) != crc32c(data[at + 6 : start])
    return False


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
