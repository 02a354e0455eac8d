"""One thing in a session, and where its bytes are: as objects, and as a manifest's line. No I/O.

A line is kept as it was written. A file that did not change has its old line in the new manifest,
so that a snapshot costs what changed, not what is there.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, get_args

from supervisor.session.model import Malformed, parse_name
from supervisor.session.scan import Kind, Seen

FORMATS = ("", "sqlite", "leveldb", "json")
# What a reader accepts: more than any version writes, and still a bound on its memory.
BLOB_MAX_BYTES = 16 << 20
_PATCHES_MAX = 4096
# Some filesystems keep seconds in 64 bits, and files say what somebody set: the year 3000 too.
_TIME_MAX_NS = 2**94
_HASH = re.compile(r"[0-9a-f]{64}")


class Patch(NamedTuple):
    """Bytes that lie over a blob from `at` on: a zstd frame, as for a Blob."""

    at: int
    pack: str
    offset: int
    stored: int
    raw: int


class Blob(NamedTuple):
    """`raw` bytes in a pack: a zstd frame of `stored` bytes at `offset`, and what lies over it.

    `hash`: BLAKE3 of the bytes as they are read, patches included. `base_bytes`: what the frame
    holds, where that is not `raw`.
    """

    hash: str
    pack: str
    offset: int
    stored: int
    raw: int
    patches: tuple[Patch, ...] = ()
    base_bytes: int = 0


class Entry:
    """One thing in the session: what stat saw, and for a file the blobs of its content.

    `format`: what the content says that it is ("sqlite"), where it says so. `line`: all of it, as
    the manifest has it. `seqs`: the packs that it needs.
    """

    __slots__ = ("_names", "format", "line", "path", "seen", "seqs")

    def __init__(
        self,
        path: str,
        seen: Seen,
        line: bytes,
        names: Mapping[int, str],
        seqs: tuple[int, ...] = (),
        form: str = "",
    ) -> None:
        self.path: Final = path
        self.seen: Final = seen
        self.line: Final = line
        self.seqs: Final = seqs
        self.format: Final = form
        self._names = names

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The file's content, in order; parsed anew each time."""
        if not self.seqs:
            return ()
        return tuple(_blob(item, self._names) for item in json.loads(self.line)["blobs"])

    def pack(self, seq: int) -> str:
        """Return the name of the pack that the line calls `seq`."""
        return self._names[seq]

    def content(self) -> tuple[object, ...]:
        """Return what makes two entries the same to a restore: all but times and the inode."""
        seen = self.seen
        blobs = tuple(blob.hash for blob in self.blobs)
        return self.path, seen.kind, seen.mode, seen.size, seen.target, blobs

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entry):
            return NotImplemented
        same = (self.path, self.seen, self.format) == (other.path, other.seen, other.format)
        return same and self.blobs == other.blobs

    def __hash__(self) -> int:
        return hash((self.path, self.seen))

    def __repr__(self) -> str:
        return f"Entry({self.line.decode()})"


def made(path: str, seen: Seen, blobs: Sequence[Blob] = (), form: str = "") -> Entry:
    """Return a new entry. Raises: Malformed when a blob's pack is not named as packs are."""
    line: dict[str, Any] = {**_text("path", path), "kind": seen.kind, "mode": seen.mode}
    line |= {"mtime_ns": seen.mtime_ns, "ctime_ns": seen.ctime_ns, "inode": seen.inode}
    if seen.kind == "link":
        line |= _text("target", seen.target)
    packs = frozenset(pack for blob in blobs for pack in packs_of(blob))
    names, places = _names(packs)
    if seen.kind == "file":
        line["size"] = seen.size
        if form:
            line["format"] = form
        line["blobs"] = [_blob_json(blob, places) for blob in blobs]
    return Entry(path, seen, json.dumps(line).encode("ascii"), names, tuple(names), form)


# Few: the entries of one snapshot are made one after the other, and name the same packs again.
@lru_cache(maxsize=16)
def _names(packs: frozenset[str]) -> tuple[Mapping[int, str], Mapping[str, int]]:
    """Return the packs by their seq, in order, and the seqs by pack: one for many entries."""
    found: dict[int, str] = {}
    for pack in packs:
        name = parse_name(pack)
        if name is None:
            raise Malformed(f"{pack!r} is no pack's name")
        found[name[1]] = pack
    ordered = dict(sorted(found.items()))
    return ordered, {pack: seq for seq, pack in ordered.items()}


def packs_of(blob: Blob) -> Iterable[str]:
    """Yield the packs that a blob needs."""
    yield blob.pack
    for patch in blob.patches:
        yield patch.pack


def _text(key: str, name: str) -> dict[str, str]:
    """File names are bytes: what is no UTF-8 goes as hex, under another key."""
    raw = os.fsencode(name)
    try:
        return {key: raw.decode()}
    except UnicodeDecodeError:
        return {f"{key}_hex": raw.hex()}


def _blob_json(blob: Blob, place: Mapping[str, int]) -> list[Any]:
    head = [blob.hash, place[blob.pack], blob.offset, blob.stored, blob.raw]
    if not blob.patches:
        return head
    over = [[p.at, place[p.pack], p.offset, p.stored, p.raw] for p in blob.patches]
    return [*head, blob.base_bytes, over]


def _blob(item: list[Any], names: Mapping[int, str]) -> Blob:
    digest, pack, offset, stored, raw, *over = item
    if not over:
        return Blob(digest, names[pack], offset, stored, raw)
    base_bytes, patches = over
    found = tuple(
        Patch(at, names[seq], start, size, held) for at, seq, start, size, held in patches
    )
    return Blob(digest, names[pack], offset, stored, raw, found, base_bytes)


class EntryReader:
    """Reads a manifest's lines as if an enemy had written them. `names`: packs by seq."""

    def __init__(self, source: str, names: Mapping[int, str]) -> None:
        self._source = source
        self._names = names
        self._folders = {""}
        self._paths: set[str] = set()
        self._seqs: dict[tuple[int, ...], tuple[int, ...]] = {}

    def entry(self, line: bytes) -> Entry:
        """Return the next entry. Every path stays inside, every parent is a folder.

        Raises: Malformed for anything that `made` does not write.
        """
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"{self._source} has a line that is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise self._bad("files", value)
        path = self._file_name(value, "path")
        if (
            not safe_path(path)
            or path in self._paths
            or path.rpartition("/")[0] not in self._folders
        ):
            raise self._bad("path", path)
        self._paths.add(path)
        seen = self._stat(value)
        if seen.kind == "dir":
            self._folders.add(path)
        form = value.get("format", "")
        if form not in FORMATS:
            raise self._bad("format", form)
        seqs = self._packs(value, seen.size) if seen.kind == "file" else ()
        return Entry(path, seen, line, self._names, self._seqs.setdefault(seqs, seqs), form)

    def met(self, entry: Entry) -> None:
        """Take an entry that was read before as the next one."""
        self._paths.add(entry.path)
        if entry.seen.kind == "dir":
            self._folders.add(entry.path)

    def _stat(self, line: dict[str, Any]) -> Seen:
        kind: Kind = line.get("kind")  # type: ignore[assignment] # looked at in the next line
        if kind not in get_args(Kind):
            raise self._bad("kind", kind)
        size = self._int(line, "size") if kind == "file" else 0
        target = self._file_name(line, "target") if kind == "link" else ""
        if kind == "link" and (not target or "\0" in target):
            raise self._bad("target", target)
        mode = self._int(line, "mode")
        if mode > 0o7777:  # noqa: PLR2004 - all the bits that a mode has
            raise self._bad("mode", mode)
        times = (
            self._int(line, "mtime_ns", -_TIME_MAX_NS, _TIME_MAX_NS),
            self._int(line, "ctime_ns", -_TIME_MAX_NS, _TIME_MAX_NS),
        )
        return Seen(kind, mode, size, *times, self._int(line, "inode"), target)

    def _packs(self, line: dict[str, Any], size: int) -> tuple[int, ...]:
        items = line.get("blobs")
        if not isinstance(items, list):
            raise self._bad("blobs", items)
        seqs: set[int] = set()
        total = 0
        for item in items:
            total += self._blob(item, seqs)
        if total != size:
            raise self._bad("size", size)
        return tuple(sorted(seqs))

    def _blob(self, item: object, seqs: set[int]) -> int:
        """Check one blob, and return its length in bytes."""
        patches: list[object]
        match item:
            case [str(digest), pack, offset, stored, raw]:
                held, patches = raw, []
            case [str(digest), pack, offset, stored, raw, held, [*patches]]:
                pass
            case _:
                raise self._bad("blobs", item)
        if _HASH.fullmatch(digest) is None or len(patches) > _PATCHES_MAX:
            raise self._bad("blobs", item)
        if not (type(raw) is int and 0 < raw <= BLOB_MAX_BYTES):
            raise self._bad("blobs", item)
        self._frame(pack, offset, stored, held, seqs)
        for patch in patches:
            match patch:
                case [int(at), seq, start, size, int(over)]:
                    self._frame(seq, start, size, over, seqs)
                    if not 0 <= at <= at + over <= raw:
                        raise self._bad("blobs", patch)
                case _:
                    raise self._bad("blobs", patch)
        return raw

    def _frame(
        self, pack: object, offset: object, stored: object, raw: object, to: set[int]
    ) -> None:
        if (
            type(pack) is int
            and pack in self._names
            and type(offset) is int
            and 0 <= offset < 2**63
            and type(stored) is int
            and 0 < stored <= 2 * BLOB_MAX_BYTES
            and type(raw) is int
            and 0 < raw <= BLOB_MAX_BYTES
        ):
            to.add(pack)
            return
        raise self._bad("blobs", [pack, offset, stored, raw])

    def _int(self, line: dict[str, Any], key: str, low: int = 0, high: int = 2**64) -> int:
        value = line.get(key)
        if type(value) is not int or not low <= value < high:
            raise self._bad(key, value)
        return value

    def _file_name(self, line: dict[str, Any], key: str) -> str:
        text, hexed = line.get(key), line.get(f"{key}_hex")
        try:
            if isinstance(text, str) and hexed is None:
                return os.fsdecode(text.encode())
            if isinstance(hexed, str) and text is None:
                return os.fsdecode(bytes.fromhex(hexed))
        except ValueError as error:
            raise self._bad(key, text or hexed) from error
        raise self._bad(key, text)

    def _bad(self, key: str, value: object) -> Malformed:
        return Malformed(f"{self._source}: {key} can't be {str(value)[:80]!r}")


def safe_path(path: str) -> bool:
    """Return whether `path` is relative, and stays inside the folder it is joined to."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False  # half a character, which no file's name can be
    return "\0" not in path and all(part not in ("", ".", "..") for part in path.split("/"))
