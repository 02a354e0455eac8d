"""The store's folder: manifests, packs, quarantine, scratch. Decides nothing about restores.

    session-<id>.<seq>.<UTC>.<reason>.json   one snapshot each; its rename is the commit
    packs/       the bytes; immutable
    quarantine/  sessions that were replaced, whole
    tmp/         work in progress

What can't be read stops pruning: a manifest that we do not understand may need any pack.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.manifest import Blob, Manifest, parse_name
from supervisor.session.manifest_json import dump, parse
from supervisor.session.model import Malformed
from supervisor.session.packs import BlobReader
from supervisor.session.readme import README

_MANIFEST_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Listing:
    """A session's manifests, oldest first, and the files that should be some but can't be read."""

    manifests: tuple[Manifest, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def snapshots(self) -> tuple[Manifest, ...]:
        """Without the tombstones."""
        return tuple(m for m in self.manifests if m.kind == "snapshot")

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
        self.distrusted: set[str] = set()
        self._parsed: dict[str, tuple[tuple[int, int, int], Manifest]] = {}

    def prepare(self) -> None:
        """Create what is missing. Raises: OSError."""
        for folder in (self.root, self.packs, self.quarantine, self.tmp):
            files.keep_private(folder)
        if not (self.root / "README").exists():
            with suppress(FileExistsError):
                files.write_synced(self.root / "README", README.encode())

    def ids(self) -> set[str]:
        """Return the sessions that have a manifest, readable or not."""
        return {name[0] for name in map(parse_name, self._names(self.root)) if name}

    def listing(self, session_id: str) -> Listing:
        """Read all manifests of a session. Files that did not change are not read again."""
        found: list[Manifest] = []
        unreadable: list[str] = []
        for name in self._names(self.root):
            parsed = parse_name(name)
            if parsed is None or parsed[0] != session_id:
                continue
            try:
                manifest = self._load(name)
            except FileNotFoundError:
                continue  # pruned meanwhile
            except (OSError, ValueError, Malformed):
                unreadable.append(name)
                continue
            found.append(manifest)
        return Listing(tuple(sorted(found, key=lambda m: m.seq)), tuple(sorted(unreadable)))

    def find(self, session_id: str, snapshot: str) -> Manifest:
        """Return the snapshot called `snapshot`: its id, or just its number.

        Raises: SupervisorError, with the ones there are.
        """
        snapshots = self.listing(session_id).snapshots
        wanted = snapshot.removesuffix(".json")
        for manifest in snapshots:
            if wanted == manifest.name or (wanted.isdigit() and int(wanted) == manifest.seq):
                return manifest
        known = ", ".join(str(m.seq) for m in snapshots)
        raise SupervisorError(
            f"session {session_id} has no snapshot {snapshot!r}",
            f"there are: {known}" if known else "there is none yet: stillhere session backup",
        )

    def reader(self) -> BlobReader:
        """Return a reader of the packs, to be used as a context manager."""
        return BlobReader(self.packs, self.distrusted)

    def next_seq(self, session_id: str) -> int:
        """Return a seq higher than any that has ever been seen, unreadable files included."""
        names = [*self._names(self.root), *self._names(self.packs)]
        found = [name[1] for name in map(parse_name, names) if name and name[0] == session_id]
        return max(found, default=0) + 1

    def put(self, manifest: Manifest) -> None:
        """Write a manifest, new or rewritten: after this it is on the disk. Raises: OSError."""
        files.replace_synced(self.root / f"{manifest.name}.json", dump(manifest), self.tmp)

    def amend(self, manifest: Manifest, **changes: Any) -> Manifest:
        """Rewrite a manifest with other fields, if they are others. Raises: OSError."""
        amended = replace(manifest, **changes)
        if amended != manifest:
            self.put(amended)
        return amended

    def usable(self, manifests: Iterable[Manifest]) -> dict[str, Blob]:
        """Return the stored blobs by hash: in packs that are there and long enough."""
        sizes: dict[str, int] = {}
        known: dict[str, Blob] = {}
        for manifest in manifests:
            for blob in manifest.blobs():
                if blob.hash in known or blob.hash in self.distrusted:
                    continue
                if blob.pack not in sizes:
                    sizes[blob.pack] = self._size(blob.pack)
                if blob.offset + blob.stored <= sizes[blob.pack]:
                    known[blob.hash] = blob
        return known

    def drop(self, session_id: str, doomed: Iterable[Manifest]) -> None:
        """Remove manifests, then the packs that none needs any more. Raises: OSError.

        The manifests' end is on the disk before a pack goes.
        """
        names = [manifest.name for manifest in doomed]
        for name in names:
            with suppress(FileNotFoundError):
                (self.root / f"{name}.json").unlink()
            self._parsed.pop(f"{name}.json", None)
        listing = self.listing(session_id)
        if listing.unreadable:
            return
        needed = {blob.pack for manifest in listing.manifests for blob in manifest.blobs()}
        orphans = [
            name
            for name in self._names(self.packs)
            if (parsed := parse_name(name)) and parsed[0] == session_id and name not in needed
        ]
        if orphans:
            files.sync_dir(self.root)
        for name in orphans:
            with suppress(FileNotFoundError):
                (self.packs / name).unlink()

    def _load(self, name: str) -> Manifest:
        path = self.root / name
        status = path.lstat()
        key = (status.st_mtime_ns, status.st_ino, status.st_size)
        cached = self._parsed.get(name)
        if cached and cached[0] == key:
            return cached[1]
        manifest = parse(files.read_file(path, _MANIFEST_MAX_BYTES), name)
        if f"{manifest.name}.json" != name:
            raise Malformed(f"{name} says that it is {manifest.name}")
        self._parsed[name] = (key, manifest)
        return manifest

    def _size(self, pack: str) -> int:
        try:
            return (self.packs / pack).lstat().st_size
        except OSError:
            return 0

    @staticmethod
    def _names(folder: Path) -> list[str]:
        try:
            return [path.name for path in folder.iterdir()]
        except FileNotFoundError:
            return []
