"""Which snapshot may come back, and how it becomes a folder again. Touches no live session."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from supervisor.session import files
from supervisor.session.entries import Entry
from supervisor.session.manifest import Manifest
from supervisor.session.packs import BlobReader
from supervisor.session.state import Record
from supervisor.session.store import Store

_HOLE_BYTES = 4096


def candidates(snapshots: Sequence[Manifest], *, older: bool) -> list[Manifest]:
    """Return the snapshots of one epoch that may be restored unasked, the best first.

    The newest good one, then the newest that was taken while the bot ran. All others are older
    than those: keys have moved on since, so a person must consent (`older`). When the newest
    good one can't be read any more, the next one does not become it.
    """
    ordered = sorted(snapshots, key=lambda m: -m.seq)
    usable = [m for m in ordered if m.verdict != "bad"]
    # A pending one is validated before it is used, and becomes one or the other then.
    firm = [m for m in usable if m.verdict in ("good", "pending")]
    if older:
        return firm + [m for m in usable if m.verdict == "fuzzy"]
    newest = [m for m in ordered if m in firm or m.sick][:1]
    first = [m for m in newest if not m.sick]
    return first + [m for m in [m for m in usable if m.hot][:1] if m not in first]


def why_none(record: Record, snapshots: Sequence[Manifest], all_snapshots: int) -> str:
    """Return why there is nothing to restore, in words for a person."""
    if record.state == "closed":
        return "it was cleared or logged out, so it must be linked again"
    if not snapshots:
        if all_snapshots:
            return "its snapshots are of an earlier link"
        return "it has no snapshot"
    if all(m.verdict == "bad" for m in snapshots):
        return "none of its snapshots is whole"
    return "what may be restored without asking was tried already or can't be read"


def build(manifest: Manifest, target: Path, store: Store, *, only: Iterable[str] = ()) -> None:
    """Write a snapshot's files into the new folder `target`, each blob proved by its hash.

    `only`: just these files. Everything is on the disk afterwards, private, with the times it
    had. Raises: DamagedBlob, OSError; what was written is left for the caller to remove.
    """
    wanted = frozenset(only)
    files.make_private(target)
    folders: list[Entry] = []
    with store.reader() as reader:
        for entry in manifest.files:
            path = target / entry.path
            if wanted and entry.path not in wanted:
                continue
            if wanted:
                files.make_private(path.parent)
            if entry.seen.kind == "dir":
                path.mkdir(0o700)
                path.chmod(0o700)
                folders.append(entry)
            elif entry.seen.kind == "link":
                path.symlink_to(entry.seen.target)
            else:
                _write(entry, path, reader)
    for entry in reversed(folders):
        times = (entry.seen.mtime_ns, entry.seen.mtime_ns)
        os.utime(target / entry.path, ns=times)
    if not wanted:
        # All at the end: the first sync takes most of the others' work along.
        files.sync_tree(target)
        files.sync_dir(target.parent)


def read_back(manifest: Manifest, store: Store) -> None:
    """Read every blob of a snapshot from the disk. Raises: DamagedBlob."""
    with store.reader() as reader:
        for pack in {blob.pack for blob in manifest.blobs()}:
            reader.drop_cache(pack)
        for blob in manifest.blobs():
            reader.read(blob)


def _write(entry: Entry, path: Path, reader: BlobReader) -> None:
    # Group and others get nothing: a session is a credential.
    fd = files.create(path)
    try:
        for blob in entry.blobs:
            data = reader.read(blob)
            if blob.raw >= _HOLE_BYTES and not data.strip(b"\0"):
                os.lseek(fd, blob.raw, os.SEEK_CUR)  # a hole, as it may have been
            else:
                files.write_all(fd, data)
        os.ftruncate(fd, entry.seen.size)
        os.fchmod(fd, entry.seen.mode & 0o700)
        os.utime(fd, ns=(entry.seen.mtime_ns, entry.seen.mtime_ns))
    finally:
        os.close(fd)


def entries_of(manifest: Manifest | None) -> Mapping[str, Entry]:
    """Return a snapshot's entries by path."""
    return {entry.path: entry for entry in manifest.files} if manifest else {}
