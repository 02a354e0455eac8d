"""The store's folder: manifests, packs, quarantine, scratch. Decides nothing about restores.

    session-<id>.<seq>.<UTC>.<reason>.json   one snapshot each; its rename is the commit
    packs/       the bytes; immutable
    quarantine/  sessions that were replaced: whole folders, or manifests as above
    tmp/         work in progress

What can't be read stops pruning: a manifest that we do not understand may need any pack.
"""

import operator
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.model import DamagedBlob, Malformed, UnreadableBlob, parse_name
from supervisor.session.storage.entries import Blob, Entry
from supervisor.session.storage.manifest import Held, Manifest
from supervisor.session.storage.manifest_json import UNKNOWN, dump, parse_entries, parse_head, split
from supervisor.session.storage.packs import BlobReader
from supervisor.session.storage.readme import README

_MANIFEST_MAX_BYTES = 1 << 30
_SEQ = operator.attrgetter("seq")


@dataclass(frozen=True, slots=True)
class InFile:
    """A manifest's entries in its file. A damaged one has none that could be believed."""

    path: Path

    def entries(self) -> tuple[Entry, ...]:
        """Read and return them. Raises: DamagedBlob."""
        try:
            head, lines = self._split()
            manifest = parse_head(head, Held(), self.path.name)
            return parse_entries(lines, manifest.packs, self.path.name)
        except Malformed as error:
            raise DamagedBlob(error.message) from error

    def lines(self) -> bytes:
        """Read and return them as they are written. Raises: DamagedBlob."""
        return self._split()[1]

    def _split(self) -> tuple[dict[str, Any], bytes]:
        try:
            return split(files.read_file(self.path, _MANIFEST_MAX_BYTES), self.path.name)
        except FileNotFoundError as error:
            raise DamagedBlob(f"{self.path.name} is gone") from error
        except OSError as error:
            raise UnreadableBlob(f"{self.path.name} can't be read: {error.strerror}") from error
        except (Malformed, ValueError) as error:
            raise DamagedBlob(str(error)) from error


@dataclass(frozen=True, slots=True)
class Listing:
    """A session's manifests, oldest first, and the files that should be some but can't be read."""

    manifests: tuple[Manifest, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def snapshots(self) -> tuple[Manifest, ...]:
        """Without the tombstones."""
        return tuple(m for m in self.manifests if m.kind == "snapshot")

    @property
    def quarantined(self) -> tuple[Manifest, ...]:
        """The sessions that were replaced."""
        return tuple(m for m in self.manifests if m.kind == "quarantine")

    def of_epoch(self, epoch: int) -> tuple[Manifest, ...]:
        """Return the snapshots of one epoch, oldest first."""
        return tuple(m for m in self.snapshots if m.epoch == epoch)

    def tombstone(self, epoch: int) -> Manifest | None:
        """Return what says that `epoch` has ended, if it has."""
        ends = (m for m in self.manifests if m.kind == "tombstone" and m.epoch == epoch)
        return next(ends, None)


class Store:
    """One `.session-cache/`, for all sessions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packs = root / "packs"
        self.quarantine = root / "quarantine"
        self.tmp = root / "tmp"
        # Blobs that failed a reading: never reused, so that the next snapshot heals them.
        self.distrusted: set[Blob] = set()
        self._explained = False
        self._parsed: dict[str, tuple[tuple[int, int, int], Manifest]] = {}

    def prepare(self) -> None:
        """Create what is missing. Raises: OSError."""
        for folder in (self.root, self.packs, self.quarantine, self.tmp):
            files.keep_private(folder)
        self._explain()

    def _explain(self) -> None:
        """Write the README, also over one that an older version left: its command would fail."""
        if self._explained:
            return
        path, text = self.root / "README", README.encode()
        if not path.exists() or path.read_bytes() != text:
            files.replace_synced(path, text, self.tmp)
        self._explained = True

    def ids(self) -> set[str]:
        """Return the sessions that have a manifest, readable or not."""
        return {name[0] for name in map(parse_name, _names(self.root)) if name}

    def listing(self, session_id: str) -> Listing:
        """Read all manifests of a session. Files that did not change are not read again."""
        found: list[Manifest] = []
        unreadable: list[str] = []
        start = f"session-{session_id}."
        for folder in (self.root, self.quarantine):
            for name in _names(folder):
                if not name.startswith(start):
                    continue
                parsed = parse_name(name)
                if parsed is None or parsed[0] != session_id:
                    continue
                try:
                    found.append(self._load(f"{folder}/{name}", name))
                except FileNotFoundError:
                    continue  # pruned meanwhile
                except (OSError, ValueError, Malformed):
                    unreadable.append(name)
        return Listing(tuple(sorted(found, key=_SEQ)), tuple(sorted(unreadable)))

    def find(self, session_id: str, snapshot: str) -> Manifest:
        """Return the snapshot called `snapshot`: its id, or just its number.

        What lies in quarantine is found as well. Raises: SupervisorError, with the ones there are.
        """
        listing = self.listing(session_id)
        wanted = snapshot.removesuffix(".json")
        for manifest in (*listing.snapshots, *listing.quarantined):
            if wanted == manifest.name or (wanted.isdigit() and int(wanted) == manifest.seq):
                return manifest
        known = ", ".join(str(m.seq) for m in listing.snapshots)
        raise SupervisorError(
            f"session {session_id} has no snapshot {snapshot!r}",
            f"there are: {known}" if known else "there is none yet: stillhere session backup",
        )

    def reader(self) -> BlobReader:
        """Return a reader of the packs, to be used as a context manager."""
        return BlobReader(self.packs, self.distrusted)

    def next_seq(self, session_id: str) -> int:
        """Return a seq higher than any that has ever been seen, unreadable files included."""
        names = (*_names(self.root), *_names(self.packs), *_names(self.quarantine))
        found = [name[1] for name in map(parse_name, names) if name and name[0] == session_id]
        return max(found, default=0) + 1

    def place(self, manifest: Manifest) -> Path:
        """Return where a manifest lies."""
        folder = self.quarantine if manifest.kind == "quarantine" else self.root
        return folder / f"{manifest.name}.json"

    def put(self, manifest: Manifest) -> Manifest:
        """Write a manifest, new or rewritten: after this it is on the disk.

        Returns it with its entries in the file, no more in memory. Raises: OSError; DamagedBlob
        when the entries of a rewritten one can't be read.
        """
        path = self.place(manifest)
        files.replace_synced(path, dump(manifest), self.tmp)
        stored = replace(manifest, body=InFile(path))
        self._parsed[str(path)] = (_key(str(path)), stored)
        return stored

    def amend(self, manifest: Manifest, **changes: Any) -> Manifest:
        """Rewrite a manifest with other fields, if they are others. Raises: OSError.

        One whose entries can't be read stays as it is, and is read as damaged from then on.
        """
        amended = replace(manifest, **changes)
        if amended == manifest:
            return manifest
        try:
            return self.put(amended)
        except DamagedBlob:
            self._parsed.pop(str(self.place(manifest)), None)
            return amended

    def pack_bytes(self, name: str) -> int:
        """Return how large a pack is; 0 for one that is not there."""
        try:
            return (self.packs / name).lstat().st_size
        except OSError:
            return 0

    def intact(self, manifest: Manifest) -> set[int]:
        """Return which packs of a manifest, by their seq, are there and as long as they were."""
        return {
            seq
            for seq, (name, size_bytes) in manifest.packs.items()
            if size_bytes != UNKNOWN and self.pack_bytes(name) == size_bytes
        }

    def trusts(self, entry: Entry) -> bool:
        """Return whether no blob of a file has failed a reading."""
        return not self.distrusted or self.distrusted.isdisjoint(entry.blobs)

    def drop(self, session_id: str, doomed: Iterable[Manifest]) -> None:
        """Remove manifests, then the packs that none needs any more. Raises: OSError.

        The manifests' end is on the disk before a pack goes.
        """
        folders = {self.root}
        for manifest in doomed:
            path = self.place(manifest)
            with suppress(FileNotFoundError):
                path.unlink()
            self._parsed.pop(str(path), None)
            folders.add(path.parent)
        listing = self.listing(session_id)
        if listing.unreadable:
            return
        needed = {pack.name for manifest in listing.manifests for pack in manifest.packs.values()}
        orphans = [
            name
            for name in _names(self.packs)
            if (parsed := parse_name(name)) and parsed[0] == session_id and name not in needed
        ]
        if orphans:
            for folder in folders:
                files.sync_dir(folder)
        for name in orphans:
            with suppress(FileNotFoundError):
                (self.packs / name).unlink()

    def _load(self, place: str, name: str) -> Manifest:
        key = _key(place)
        cached = self._parsed.get(place)
        if cached and cached[0] == key:
            return cached[1]
        path = Path(place)
        head, _lines = split(files.read_file(path, _MANIFEST_MAX_BYTES), name)
        manifest = parse_head(head, InFile(path), name)
        if self.place(manifest) != path:
            raise Malformed(f"{name} says that it is {manifest.name}")
        self._parsed[place] = (key, manifest)
        return manifest


def _key(place: str) -> tuple[int, int, int]:
    status = os.lstat(place)
    return status.st_mtime_ns, status.st_ino, status.st_size


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SupervisorError(
            f"{folder} can't be listed: {error.strerror}",
            "nothing was changed; mend the disk or its rights, and do it again",
        ) from error
