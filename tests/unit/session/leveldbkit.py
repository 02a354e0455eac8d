"""Writes small LevelDB folders, as google/leveldb 1.23 lays them out, and knows what is in them."""

from dataclasses import dataclass, field
from pathlib import Path

from supervisor.session.proof.leveldb_format import (
    BLOCK_BYTES,
    FULL,
    HEADER,
    LAST,
    TABLE_MAGIC,
    crc32c,
)

FIRST, MIDDLE = 2, 3


def masked(crc: int) -> int:
    """Return a CRC as it is stored (util/crc32c.h, Mask)."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    """Return util/coding.cc's varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def slice_of(data: bytes) -> bytes:
    """Return bytes with their length before them."""
    return varint(len(data)) + data


def physical(kind: int, body: bytes) -> bytes:
    """Return one record of a block."""
    crc = masked(crc32c(bytes([kind]) + body))
    return HEADER.pack(crc, len(body), kind) + body


def log_of(records: list[bytes]) -> tuple[bytes, list[int]]:
    """Return a log file, and where each of its records ends (db/log_writer.cc)."""
    out = bytearray()
    ends = []
    for record in records:
        rest, begin = record, True
        while begin or rest:
            left = BLOCK_BYTES - len(out) % BLOCK_BYTES
            if left < HEADER.size:
                out += bytes(left)
                continue
            part, rest = rest[: left - HEADER.size], rest[left - HEADER.size :]
            kind = FULL if begin and not rest else FIRST if begin else MIDDLE if rest else LAST
            out += physical(kind, part)
            begin = False
        ends.append(len(out))
    return bytes(out), ends


def table(size: int) -> bytes:
    """Return what looks like a table from its end: handles, padding, the magic number."""
    block = b"restarts" + b"\0"
    block += masked(crc32c(block)).to_bytes(4, "little")
    handles = varint(0) + varint(8) + varint(13) + varint(8)
    end = handles.ljust(40, b"\0") + TABLE_MAGIC.to_bytes(8, "little")
    return (block * 2).ljust(size - 48, b"x") + end


@dataclass(frozen=True)
class Edit:
    """What one record of a manifest says. `new`: (number, size in bytes) of tables."""

    log: int | None = None
    new: tuple[tuple[int, int], ...] = ()
    gone: tuple[int, ...] = ()
    first: bool = False
    # So long that the record is cut at a block's end.
    key: bytes = b"key-0000"

    def encoded(self) -> bytes:
        """Return the record (db/version_edit.cc, EncodeTo)."""
        out = b""
        if self.first:
            out += varint(1) + slice_of(b"leveldb.BytewiseComparator")
        if self.log is not None:
            out += varint(2) + varint(self.log) + varint(9) + varint(0)
        out += varint(3) + varint(900) + varint(4) + varint(77)
        out += varint(5) + varint(1) + slice_of(self.key)
        for number in self.gone:
            out += varint(6) + varint(0) + varint(number)
        for number, size in self.new:
            out += varint(7) + varint(0) + varint(number) + varint(size)
            out += slice_of(b"aaaa") + slice_of(self.key)
        return out


@dataclass
class Set:
    """A LevelDB that went through three memtables and one compaction."""

    edits: list[Edit] = field(
        default_factory=lambda: [
            Edit(log=0, first=True),
            Edit(log=3),
            Edit(log=6, new=((5, 400),)),
            Edit(log=8, new=((7, 300),), key=b"k" * 33_000),
            Edit(new=((9, 650),), gone=(5, 7)),
        ]
    )
    records: list[bytes] = field(
        default_factory=lambda: [b"b" * 30, b"c" * 70_000, b"", b"d" * 900, b"e" * 12]
    )

    def write(self, folder: Path) -> Path:
        """Write what a closed database leaves: the live tables and the newest log alone."""
        folder.mkdir(parents=True, exist_ok=True)
        manifest, self.edit_ends = log_of([edit.encoded() for edit in self.edits])
        self.log, self.record_ends = log_of(self.records)
        (folder / "MANIFEST-000002").write_bytes(manifest)
        (folder / "CURRENT").write_bytes(b"MANIFEST-000002\n")
        (folder / "000009.ldb").write_bytes(table(650))
        (folder / "000008.log").write_bytes(self.log)
        (folder / "LOCK").write_bytes(b"")
        (folder / "LOG").write_bytes(b"2026/11/24 opened\n")
        return folder

    def whole_after(self, edits: int) -> bool:
        """Return whether a manifest of just that many records names what is there."""
        log, tables = 0, set[int]()
        for edit in self.edits[:edits]:
            log = log if edit.log is None else edit.log
            tables = tables - set(edit.gone) | {number for number, _size in edit.new}
        return edits > 0 and log in (0, 8) and tables <= {9}


# --- content: db/write_batch.cc, table/block_builder.cc, table/table_builder.cc -------------


def batch(sequence: int, words: list[tuple[bytes, bytes | None]]) -> bytes:
    """Return a log's record that puts these keys and values; None deletes."""
    out = sequence.to_bytes(8, "little") + len(words).to_bytes(4, "little")
    for key, value in words:
        out += bytes([value is not None]) + slice_of(key)
        out += b"" if value is None else slice_of(value)
    return out


def _block(entries: list[tuple[bytes, bytes]], *, packed: bool = False) -> bytes:
    """Return a block as it lies in a table, with its type and its checksum behind it."""
    out, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        before = key
    out += bytes(4) + (1).to_bytes(4, "little")
    if packed:  # one literal, with two bytes for its length: packed is not the same as short
        out = varint(len(out)) + b"\xf4" + (len(out) - 1).to_bytes(2, "little") + out
    out += bytes([packed])
    return out + masked(crc32c(out)).to_bytes(4, "little")


def table_of(
    entries: list[tuple[bytes, int, bytes]], *, in_block: int = 2, packed: bool = False
) -> bytes:
    """Return a table of (key, sequence number, value), sorted as LevelDB sorts them."""
    full = [
        (key + (sequence << 8 | 1).to_bytes(8, "little"), value) for key, sequence, value in entries
    ]
    out, index = b"", []
    for at in range(0, len(full), in_block):
        part = full[at : at + in_block]
        block = _block(part, packed=packed)
        index.append((part[-1][0], varint(len(out)) + varint(len(block) - 5)))
        out += block
    handles = b""
    for block in (_block([]), _block(index)):
        handles += varint(len(out)) + varint(len(block) - 5)
        out += block
    return out + handles.ljust(40, b"\0") + TABLE_MAGIC.to_bytes(8, "little")
