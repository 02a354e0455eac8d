"""What must change in a live folder so that it is a snapshot again. Decides; changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from supervisor.session.copying.capture import Copies
from supervisor.session.copying.pieces import GROUP_BYTES
from supervisor.session.proof.sqlite_files import COMPANIONS
from supervisor.session.scan import Scan, Seen
from supervisor.session.storage.entries import Blob, Entry

# Less than this is changed in place however large a part of the session it is.
SMALL_BYTES = 1 << 20
# Of a file larger than that, at most this part is changed where it lies.
_PART = 1 / 4
_OWNER = 0o700


# Where in a file which bytes come.
Parts = tuple[tuple[int, Blob], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """`drop`: paths to take away, first. `folders`, `put`: what to place, parents first.

    `modes`: (path, mode) of what only lacks a right of its owner. `lost`: the paths whose old
    content is in the folder no more afterwards. `parts`: of large files among `put`, all that
    differs, where that is little.
    """

    drop: tuple[str, ...]
    folders: tuple[Entry, ...]
    put: tuple[Entry, ...]
    modes: tuple[tuple[str, int], ...]
    lost: tuple[str, ...]
    parts: Mapping[str, Parts]


def surely_much(entries: Mapping[str, Entry], found: Scan) -> bool:
    """Return whether names alone tell that most of it is missing, or strange."""
    missing = sum(entry.seen.size for path, entry in entries.items() if path not in found.seen)
    strange = sum(seen.size for path, seen in found.seen.items() if path not in entries)
    return is_much(max(missing, strange), entries)


def is_much(count: int, entries: Mapping[str, Entry]) -> bool:
    """Return whether that many bytes are about half of a snapshot.

    If so many would have to be stored first, it is faster to put the whole folder aside.
    """
    total = sum(entry.seen.size for entry in entries.values())
    return count > max(total // 2, SMALL_BYTES)


def compare(entries: Mapping[str, Entry], found: Scan, copies: Copies) -> Plan:
    """Return how a folder becomes `entries`. `copies`: what a walk and a reading of it gave.

    `found`: the walk alone, which also knows what is never copied.
    """
    live = copies.seen
    drop = dict.fromkeys(path for path in (*live, *found.excluded) if path not in entries)
    folders: list[Entry] = []
    put: list[Entry] = []
    modes: list[tuple[str, int]] = []
    for path, entry in entries.items():
        now = live.get(path)
        if now is not None and _kind_changed(entry.seen, now):
            drop[path] = None
            now = None
        if now is None or not _same(entry, now, copies):
            (folders if entry.seen.kind == "dir" else put).append(entry)
        elif lacking := _mode(entry.seen, now):
            modes.append((path, lacking))
    replaced = {entry.path for entry in put if entry.path in live}
    for path in sorted(replaced):
        # The old journal goes before the new database comes, even where a new one follows.
        drop.update((path + end, None) for end in COMPANIONS if path + end in replaced)
    lost = tuple(sorted({*drop, *replaced}))
    found_parts = ((e, _parts(e, copies)) for e in put if e.path in replaced and e.path not in drop)
    parts = {entry.path: some for entry, some in found_parts if some}
    return Plan(tuple(_topmost(drop)), tuple(folders), tuple(put), tuple(modes), lost, parts)


def _parts(entry: Entry, copies: Copies) -> Parts:
    """Return what to write over a large file so that it is `entry`; () if that would be much.

    It never grows by that: to write over what is there needs no room, as a rule.
    """
    then, now = entry.seen, copies.seen[entry.path]
    copied = copies.copied.get(entry.path)
    if copied is None or then.size <= SMALL_BYTES or now.size < then.size or now.kind != "file":
        return ()
    old = {}
    at = 0
    for piece in copied.pieces:
        old[at] = piece.hash
        at += piece.raw if isinstance(piece, Blob) else piece.length
        if at % GROUP_BYTES and at != now.size:
            return ()  # an older program has cut it in another way
    parts: list[tuple[int, Blob]] = []
    at = 0
    for blob in entry.blobs:
        if old.get(at) != blob.hash:
            parts.append((at, blob))
        at += blob.raw
    much = sum(blob.raw for _at, blob in parts) > then.size * _PART
    return () if much else tuple(parts)


def _kind_changed(then: Seen, now: Seen) -> bool:
    """Return whether one is a folder and the other is none: then no rename does it."""
    return (then.kind == "dir") != (now.kind == "dir")


def _same(entry: Entry, now: Seen, copies: Copies) -> bool:
    then = entry.seen
    if then.kind != now.kind or (then.kind == "link" and then.target != now.target):
        return False
    if then.kind != "file":
        return True
    reused = copies.reused.get(entry.path)
    if reused is not None:
        return reused is entry or reused.content()[3:] == entry.content()[3:]
    copied = copies.copied.get(entry.path)
    if copied is None or now.size != then.size:
        return False
    return [piece.hash for piece in copied.pieces] == [blob.hash for blob in entry.blobs]


def _mode(then: Seen, now: Seen) -> int:
    """Return the mode to set; 0 where the owner can do all that he could. Never asks for more."""
    wanted = _OWNER if then.kind == "dir" else then.mode & _OWNER
    if then.kind == "link" or now.mode & _OWNER == wanted:
        return 0
    return wanted


def _topmost(paths: Mapping[str, None]) -> Iterator[str]:
    """Yield, in order, the paths that lie in none of the others."""
    for path in sorted(paths):
        if not any(parent in paths for parent in parents(path)):
            yield path


def parents(path: str) -> Iterator[str]:
    """Yield the folders that a relative path lies in, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
