"""The store's folder: manifests, packs, quarantine, scratch. Decides nothing about restores.

    session-<id>.<seq>.<UTC>.<reason>.json   one snapshot each; its rename is the commit
    packs/       the bytes; immutable
    quarantine/  sessions that were replaced: whole folders, or manifests as above
    tmp/         work in progress

What can't be read stops pruning: a manifest that we do not understand may need any pack. And of
what the disk does not give back now nothing is concluded: it may be the newest.
"""

import errno
import operator
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.model import (
    AWAY,
    MEND,
    DamagedBlob,
    Malformed,
    UnreadableBlob,
    parse_name,
)
from supervisor.session.storage.entries import Blob, Entry
from supervisor.session.storage.listing import MANIFEST_MAX_BYTES, InFile, Listing
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.manifest_json import UNKNOWN, dump, parse_head, split
from supervisor.session.storage.packs import BlobReader
from supervisor.session.storage.readme import README

_SEQ = operator.attrgetter("seq")
# What a link, a folder or a pipe in a manifest's place gives: that is no disk's passing error.
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)


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
        """Create what is missing, but the packs' folder while manifests need what was in it.

        Raises: OSError.
        """
        above = [] if files.there(self.root) else [self.root, *self.root.parents]
        missing = [folder for folder in above if not files.there(folder)]
        for folder in (self.root, self.packs, self.quarantine, self.tmp):
            if folder != self.packs or files.there(folder) or not self.packs_away():
                files.keep_private(folder)
        for folder in missing:  # its name is in the folder above, and is no sooner durable
            files.sync_dir(folder.parent)
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
        malformed: list[str] = []
        unread: dict[Path, dict[str, str]] = {self.root: {}, self.quarantine: {}}
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
                except (ValueError, Malformed):
                    malformed.append(name)
                except OSError as error:
                    if error.errno in _NO_FILE:
                        malformed.append(name)
                    else:
                        unread[folder][name] = error.strerror or str(error)
        return Listing(
            tuple(sorted(found, key=_SEQ)),
            tuple(sorted(malformed)),
            *(dict(sorted(names.items())) for names in unread.values()),
        )

    def find(self, session_id: str, snapshot: str) -> Manifest:
        """Return the snapshot called `snapshot`: its id, or just its number.

        What lies in quarantine is found as well. Raises: SupervisorError, with the ones there are;
        UnreadableBlob where it is there, and the disk does not give it back.
        """
        listing = self.listing(session_id)
        wanted = snapshot.removesuffix(".json")
        for manifest in (*listing.snapshots, *listing.quarantined):
            if wanted == manifest.name or wanted.lstrip("0") == str(manifest.seq):
                return manifest
        for name, why in {**listing.unread, **listing.unread_aside}.items():
            parsed = parse_name(name)
            if wanted == name.removesuffix(".json") or (parsed and wanted == str(parsed[1])):
                raise UnreadableBlob(
                    f"snapshot {snapshot} of session {session_id} can't be read now: {why}", MEND
                )
        known = ", ".join(str(m.seq) for m in listing.snapshots)
        raise SupervisorError(
            f"session {session_id} has no snapshot {snapshot!r}",
            f"there are: {known}" if known else "there is none yet: stillhere session backup",
        )

    def reader(self) -> BlobReader:
        """Return a reader of the packs, to be used as a context manager."""
        return BlobReader(self.packs, self.distrusted, self.packs_away)

    def pack_names(self) -> list[str]:
        """Return the names of all that lies in the packs' folder."""
        return _names(self.packs)

    def packs_away(self) -> str:
        """Return what is said where the packs as a whole are not there, though needed; or "".

        Their disk is not mounted, or they were moved: which condemns nothing, stops pruning, and
        stops new snapshots too, since what is written at a mount point is hidden once the disk
        is mounted. A folder that lacks the only pack there ever was has lost that one.
        """
        gone = not self.packs.is_dir()
        if any(name.endswith(".pack") for name in _names(self.packs)):
            return ""
        names = map(parse_name, (*_names(self.root), *_names(self.quarantine)))
        ids = {name[0] for name in names if name}
        manifests = (m for session_id in ids for m in self.listing(session_id).manifests)
        needed = {pack.name for manifest in manifests for pack in manifest.packs.values()}
        if len(needed) + gone <= 1:
            return ""
        state = "is not there" if gone else "is empty"
        packs = "pack is" if len(needed) == 1 else "packs are"
        return f"{self.packs} {state}, and {len(needed)} {packs} to be in it"

    def require_packs(self) -> None:
        """Raise UnreadableBlob where the packs as a whole are not there, though needed."""
        if away := self.packs_away():
            raise UnreadableBlob(away, AWAY)

    def next_seq(self, session_id: str, after: int = 0) -> int:
        """Return a seq higher than any that has ever been seen, unreadable files included.

        `after`: one that is known to have been here, whatever is here now.
        """
        names = (*_names(self.root), *_names(self.packs), *_names(self.quarantine))
        found = [name[1] for name in map(parse_name, names) if name and name[0] == session_id]
        return max((after, *found)) + 1

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
        head, _lines = split(files.read_file(path, MANIFEST_MAX_BYTES), name)
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
