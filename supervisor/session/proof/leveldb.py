"""Is a LevelDB folder whole? Reads as much as proves it, opens nothing for writing, takes no lock.

What is written in another dialect than google/leveldb 1.23's, as RocksDB's is, gets no verdict. It
imports `leveldb_format` and nothing else of ours: `validate` runs it in a process of its own.

Of a table only its index is read: tables are never changed once they are written.
"""

import os
import re
from pathlib import Path
from struct import Struct

from supervisor.session.proof.leveldb_format import (
    BLOCK_BYTES,
    FOOTER_BYTES,
    HEADER,
    TABLE_MAGIC,
    Damaged,
    NotOurs,
    State,
    Words,
    crc32c,
    manifest_records,
    physical,
    unmasked,
)

_TRAILER = Struct("<BI")  # what follows a table's block: type, crc32c (masked)
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
    folder: str, there: dict[str, tuple[int, int]], state: State, manifest: str, *, deep: bool
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
