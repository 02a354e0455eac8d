"""What was replaced goes into the packs: at once, or later from the folder it was moved to."""

import errno
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from supervisor.session import files
from supervisor.session.copying.capture import Capture, Copies, copy_changes
from supervisor.session.copying.pieces import Piece
from supervisor.session.copying.spool import Spool
from supervisor.session.model import DamagedBlob, since_1970
from supervisor.session.proof.fitting import kind_of
from supervisor.session.proof.profile import Profile, profile_for
from supervisor.session.restoring.mounted import mounts_below
from supervisor.session.restoring.quarantine import Held
from supervisor.session.snapshots import Snapshots
from supervisor.session.storage.commit import commit
from supervisor.session.storage.entries import Blob, Entry
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.manifest_json import entries_beside
from supervisor.session.storage.reading import read_back

# With a damaged blob among what is stored already, the second try stores it anew.
_TRIES = 2
# A disk that is full now may have room another time.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# So long the same session, replaced again, needs no second copy.
_REPEATED_S = 86_400.0


class Put(NamedTuple):
    """A session in quarantine. `new`: it was not there before. `pack`: the new one, if any."""

    manifest: Manifest
    entries: Mapping[str, Entry]
    new: bool = False
    pack: str = ""


class Quarantined(Snapshots):
    """Stores sessions that are live no more."""

    # Folders that can't be stored as they are; they are not tried again by this process.
    _unfolded: frozenset[str] = frozenset()

    def fold_quarantine(self, session_id: str) -> list[str]:
        """Store the session's quarantined folders in the packs. Returns the new names.

        Each folder goes only after all of it was read back from the disk. What can't be read, or
        stored, stays as it is, and so does one that came with a mount in it.
        Call it when there is time. Raises: SessionBusy, OSError.
        """
        with self.owning(session_id):
            found = self._quarantine.folders(session_id)
            todo = (h for h in found if h.name not in self._unfolded and not mounts_below(h.path))
            return [name for held in todo if (name := self._folded(session_id, held))]

    def _folded(self, session_id: str, held: Held) -> str | None:
        for _try in range(_TRIES):
            try:
                manifest = self._fold(session_id, held)
            except DamagedBlob:
                continue
            except OSError as error:
                if error.errno in NO_ROOM:
                    return None
                break
            if manifest is None:
                break
            # Gone at once, not file by file: a part of it would be taken for a session.
            if held.path.parent == self.store.quarantine:
                with files.scratch(self.store.tmp) as work:
                    held.path.rename(work / "folder")
                    files.sync_dir(held.path.parent)
            else:
                gone = self._rebuild_folder(session_id)
                gone = gone.with_name(f"{gone.name}.gone")  # which recovery removes as well
                held.path.rename(gone)
                files.sync_dir(gone.parent)
                files.remove_tree(gone)
            return manifest.name
        self._unfolded |= {held.name}
        return None

    def _fold(self, session_id: str, held: Held) -> Manifest | None:
        """Store one folder and read it back. Returns None when something in it can't be read."""
        usable = [m for m in self.store.listing(session_id).snapshots if m.verdict != "bad"]
        newest = usable[-1] if usable else None
        profile = self._held_profile(session_id, held, usable)
        spool = Spool(self.store.tmp)
        try:
            copies = copy_changes(held.path, profile, self._stored(newest), spool, uid=self._uid)
            if copies.doubts:
                return None
            done = self._put(session_id, copies, profile, held.why, held.epoch, held.at)
        finally:
            spool.close()
        try:
            read_back(done.manifest, self.store)
        except DamagedBlob:
            self.store.drop(session_id, [done.manifest])
            raise
        return done.manifest

    def _held_profile(self, session_id: str, held: Held, usable: Sequence[Manifest]) -> Profile:
        """Return the kind of a folder, as its own link had it: the live session may be another."""
        own = [manifest for manifest in usable if manifest.epoch == held.epoch]
        if not own:
            return kind_of(held.path)
        given = self._given_profile(session_id)
        if given is not None and given.name == own[-1].profile:
            return given
        return profile_for(held.path, own[-1].profile)

    def _keep(
        self,
        session_id: str,
        copies: Copies,
        profile: Profile,
        why: str,
        lost: Collection[str],
        proved: Collection[str],
    ) -> Put | None:
        """Store what is live, and prove that what will be `lost` can be read.

        `proved`: the hashes of blobs that were read just now. None: it can't be stored, or read;
        what can't be read is distrusted from then on.
        """
        epoch = self._state.read(session_id).epoch
        try:
            done = self._put(session_id, copies, profile, why, epoch, self._clock())
        except (OSError, DamagedBlob):
            return None
        entries = (done.entries[path] for path in lost if path in done.entries)
        # The new pack was read back when it was sealed.
        blobs = [blob for e in entries for blob in e.blobs if blob.pack != done.pack]
        if self._all_read(blob for blob in blobs if blob.hash not in proved):
            return done
        self.store.drop(session_id, [done.manifest])
        return None

    def _all_read(self, blobs: Iterable[Blob]) -> bool:
        """Return whether all of these can be read; those that can't are distrusted."""
        whole = True
        with self.store.reader() as reader:
            for blob in blobs:
                try:
                    reader.read(blob)
                except DamagedBlob:
                    whole = False
        return whole

    def _put(
        self,
        session_id: str,
        copies: Copies,
        profile: Profile,
        why: str,
        epoch: int,
        at: float,
    ) -> Put:
        """Store it, unless it lies in quarantine already. Raises: OSError, DamagedBlob."""
        # A crash may have come between the storing and what was to follow.
        listing = self.store.listing(session_id)
        for manifest in listing.quarantined:
            newest = manifest.seq == listing.manifests[-1].seq
            age_s = abs(at - since_1970(manifest.taken_at))
            if manifest.epoch == epoch and (age_s < 1 or (newest and age_s < _REPEATED_S)):
                entries = self._equal(manifest, copies)
                if entries is not None:
                    return Put(manifest, entries)
        record = self._state.read(session_id)
        capture = Capture(
            id=session_id,
            reason=why,
            generation=record.last_writer,
            hot=False,
            taken_at=at,
            epoch=epoch,
            state=record.state,
            identity=record.identity,
            writers=record.writers,
            seals=False,
            profile=profile,
            copies=copies,
            full=False,
            duration_s=0.0,
        )
        counters, tried = record.counters(), tuple(record.tried)
        done = commit(
            self.store,
            capture,
            counters=counters,
            tried=tried,
            proof="",
            kind="quarantine",
            after=record.numbered,
        )
        new = done.manifest.packs.get(done.manifest.seq)
        return Put(done.manifest, done.entries, new=True, pack=new.name if new is not None else "")

    def _equal(self, manifest: Manifest, copies: Copies) -> Mapping[str, Entry] | None:
        """Return the entries of `manifest` if it is what was copied, and still whole."""
        size_bytes = sum(seen.size for seen in copies.seen.values())
        if manifest.size_bytes != size_bytes or len(self.store.intact(manifest)) < len(
            manifest.packs
        ):
            return None
        try:
            base = copies.base.entries if copies.base is not None else {}
            entries = entries_beside(manifest, base)
        except DamagedBlob:
            return None
        if entries.keys() != copies.seen.keys():
            return None
        same = all(_same(entry, copies) and self.store.trusts(entry) for entry in entries.values())
        return entries if same else None


def _same(entry: Entry, copies: Copies) -> bool:
    seen, then = copies.seen[entry.path], entry.seen
    if (seen.kind, seen.size, seen.target) != (then.kind, then.size, then.target):
        return False
    reused, copied = copies.reused.get(entry.path), copies.copied.get(entry.path)
    if reused is not None and reused.line == entry.line:
        return True
    if reused is not None:
        pieces: Iterable[Piece] = reused.blobs
    else:
        pieces = copied.pieces if copied is not None else ()
    return [piece.hash for piece in pieces] == [blob.hash for blob in entry.blobs]
