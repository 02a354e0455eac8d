"""Taking snapshots: capture while it matters, commit afterwards, validate off the path, prune."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from supervisor.session import epochs
from supervisor.session.copying.capture import Capture, Copies, Stored, copy_changes, moved_since
from supervisor.session.copying.hot import consistent_databases, look_through, prepare_haste
from supervisor.session.copying.hot import mapped as mapped_by
from supervisor.session.copying.spool import Spool
from supervisor.session.copying.torn import come_whole, torn
from supervisor.session.copying.writers import open_by_somebody, users
from supervisor.session.failing import snapshot_failing
from supervisor.session.model import (
    DamagedBlob,
    NothingToCopy,
    Snapshot,
    UnreadableBlob,
    since_1970,
    slug,
)
from supervisor.session.proof.profile import unsettled
from supervisor.session.state import Record
from supervisor.session.storage import retention
from supervisor.session.storage.commit import commit, unchanged
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Manifest
from supervisor.session.uncollected import uncollected
from supervisor.session.verdicts import Verdicts

_TOMBSTONES_KEPT = 10


class Snapshots(Verdicts):
    """Everything from the live session to a pruned store."""

    def precapture(
        self,
        session_id: str,
        mapped: Callable[[], frozenset[int]] = frozenset,
        *,
        haste: bool = True,
    ) -> Copies:
        """Copy what differs from the last snapshot while the bot still runs, as a head start.

        `mapped`: tells the inodes of the files that the bot writes without a call (`hot.mapped`).
        `haste`: the bot will be held still for the rest. Raises: SnapshotFailed, SessionBusy.
        """
        with self.owning(session_id), snapshot_failing(session_id):
            record, listing = self._state.read(session_id), self.store.listing(session_id)
            profile, base, _full = self._ground(session_id, record, listing)
            with Spool(self.store.tmp, self.progress) as spool:
                folder = self.folder(session_id)
                with uncollected(f"first copies of {session_id}", when=base is None):
                    copies = copy_changes(
                        folder,
                        profile,
                        base,
                        spool,
                        mapped=mapped,
                        uid=self._uid,
                        names=self.names(session_id),
                    )
                if haste:
                    prepare_haste(profile, copies)
                return copies

    def unprepared(self, session_id: str) -> Copies:
        """Return a head start that has nothing yet: what is known, and no look at the folder.

        Raises: SnapshotFailed, SessionBusy.
        """
        with self.owning(session_id), snapshot_failing(session_id):
            record, listing = self._state.read(session_id), self.store.listing(session_id)
            profile, base, _full = self._ground(session_id, record, listing)
            return Copies(Spool(self.store.tmp, self.progress), profile, 0, "", base)

    def unchanged(self, session_id: str, pre: Copies) -> Snapshot | None:
        """Return the newest snapshot if the session is still that, byte for byte.

        Nothing needs to stand still for that: what was copied while the bot ran is what a whole
        snapshot holds. Raises: SnapshotFailed, SessionBusy.
        """
        with self.owning(session_id), snapshot_failing(session_id):
            record = self._state.read(session_id)
            link = (record.epoch, record.state, record.identity)
            same = unchanged(self.store, session_id, link, pre)
            if same is None or same.manifest.verdict not in ("good", "pending"):
                return None
            return same.manifest.snapshot()

    def capture(
        self,
        session_id: str,
        *,
        reason: str,
        generation: int,
        hot: bool,
        pre: Copies | None = None,
        frozen: bool = True,
        mapped: Callable[[], frozenset[int]] = frozenset,
        most_bytes: int | None = None,
    ) -> Capture:
        """Copy what differs from the last snapshot (and from `pre`). Fast: nothing is synced.

        A head start that was made of other stored files than those of now is not used.
        `hot`: the bot runs; it is taken to be frozen meanwhile, unless `frozen` says otherwise:
        then the snapshot can be no better than fuzzy. Cold: the tree is proved gone.
        `mapped`: as in `precapture`, beside what is said there. `most_bytes`: what is read at most.
        `commit` or `Capture.close` must follow. Raises: SnapshotFailed, SessionBusy; MuchToCopy.
        """
        with self.owning(session_id), snapshot_failing(session_id):
            return self._capture(
                session_id,
                slug(reason),
                generation,
                hot=hot,
                pre=pre,
                seals=not hot,
                doubt="copied while the bot was writing" if hot and not frozen else "",
                mapped=mapped,
                most_bytes=most_bytes,
            )

    def once_more(self, capture: Capture, until: float) -> Copies | None:
        """Wait until what a hot capture caught half written is whole; return a new head start.

        None: it caught nothing of the kind, or that stays so until then, by the monotonic clock.
        Otherwise the capture is of no use any more. Raises: SnapshotFailed, SessionBusy.
        """
        with self.owning(capture.id), snapshot_failing(capture.id):
            folder, copies = self.folder(capture.id), capture.copies
            look_through(copies)
            found: list[str] = []
            with self.store.reader() as reader, suppress(DamagedBlob):
                was_json = partial(self._was_json, for_good=False)
                found = torn(folder, capture.profile, copies, reader.read, was_json)
            if not found or not come_whole(folder, found, until):
                return None
            prepare_haste(capture.profile, copies)
            return copies

    def blur(self, capture: Capture, why: str) -> None:
        """Write into a capture that the bot was not held still to the end, and why.

        Of the databases that may be torn SQLite's own copies are put in. Raises: SnapshotFailed,
        SessionBusy.
        """
        with self.owning(capture.id), snapshot_failing(capture.id):
            look_through(capture.copies)
            capture.copies.doubts.append(why)
            consistent_databases(capture, self.folder(capture.id), self.store.tmp)

    def commit(self, capture: Capture, proof: str = "", *, validate: bool = True) -> Snapshot:
        """Make a capture durable: synced, read back, then listed.

        An unchanged session gives no new snapshot, but the one there is. Without `validate` the
        verdict stays pending, and nothing is pruned: call `validate` later.
        Raises: SnapshotFailed, SessionBusy.
        """
        session_id = capture.id
        try:
            with self.owning(session_id), snapshot_failing(session_id):
                look_through(capture.copies)
                record = self._state.read(session_id)
                with uncollected(f"first commit of {session_id}", when=capture.copies.base is None):
                    done = commit(
                        self.store,
                        capture,
                        counters=record.counters(),
                        tried=tuple(record.tried),
                        proof=proof,
                        after=record.numbered,
                    )
                manifest = done.manifest
                copies = capture.copies
                looked = Stored(
                    manifest.name, manifest.seq, copies.scan_ns, copies.boot, done.entries
                )
                self._keep_entries(session_id, looked)
                if not done.new and epochs.stronger(proof, manifest.proof):
                    manifest = self.store.amend(manifest, proof=proof)
                if capture.seals and not done.new and record.sealed != manifest.seq:
                    self._seal(capture, manifest)
                if not validate:
                    return manifest.snapshot()
                return self._judge(manifest, prune=done.new)
        finally:
            capture.close()

    def validate(self, session_id: str, snapshot: str) -> Snapshot:
        """Open a committed snapshot's copy and give it its verdict; then prune.

        A snapshot that has its verdict keeps it. Raises: SupervisorError when the validator
        can't be run.
        """
        with self.owning(session_id), snapshot_failing(session_id):
            return self._judge(self.store.find(session_id, snapshot), prune=True)

    def _judge(self, manifest: Manifest, *, prune: bool) -> Snapshot:
        if manifest.verdict == "pending":
            with suppress(UnreadableBlob):  # then the verdict waits for who can read it
                manifest = self._validated(manifest)
        if prune:
            self._prune(manifest.id)
        return manifest.snapshot()

    def snapshots(self, session_id: str) -> list[Snapshot]:
        """Return the session's snapshots, oldest first, of all epochs."""
        return [manifest.snapshot() for manifest in self.store.listing(session_id).snapshots]

    def pin(self, session_id: str, snapshot: str) -> str:
        """Keep a snapshot, whatever is pruned, until as many `unpin`. Returns its id.

        Raises: SupervisorError, with the ones there are.
        """
        name = self.store.find(session_id, snapshot).name
        self._pinned.append(name)
        return name

    def unpin(self, snapshot: str) -> None:
        """Let a snapshot go the way of all others again."""
        self._pinned.remove(snapshot)

    def backup(self, session_id: str, reason: str = "manual") -> Snapshot:
        """Take a snapshot now. If somebody is writing the session, the verdict says fuzzy.

        Raises: SnapshotFailed, SessionBusy.
        """
        with self.owning(session_id), snapshot_failing(session_id):
            generation = self._state.read(session_id).last_writer
            folder, names = self.folder(session_id), self.names(session_id)
            capture = self._capture(
                session_id,
                slug(reason),
                generation,
                hot=False,
                seals=False,
                doubt="",
                mapped=lambda: mapped_by(users(folder, names)),
            )
            link = (capture.epoch, capture.state, capture.identity)
            if unchanged(self.store, session_id, link, capture.copies) is None:
                self._doubt(capture)
            return self.commit(capture)

    def cleanup_old_backups(self, session_id: str) -> list[str]:
        """Remove the snapshots and quarantined sessions that need not stay. Returns their ids.

        Raises: SessionBusy, OSError.
        """
        with self.owning(session_id):
            return self._prune(session_id)

    def _doubt(self, capture: Capture) -> None:
        """Write into a capture that somebody may have been writing meanwhile."""
        folder, copies = self.folder(capture.id), capture.copies
        if self.lock_for(capture.id).survivors() or open_by_somebody(folder, copies.names):
            capture.hot = True
            copies.doubts.append("copied while somebody had it open")
        moved = moved_since(folder, capture.profile, copies)
        copies.doubts.extend(f"{path} changed meanwhile" for path in moved)
        if copies.doubts:
            consistent_databases(capture, folder, self.store.tmp)

    # --- the parts -----------------------------------------------------------------------

    def _may_begin(self, session_id: str, record: Record, listing: Listing) -> None:
        """Raise SnapshotFailed where a snapshot would hide what is elsewhere: see `anew`."""

    def _capture(
        self,
        session_id: str,
        reason: str,
        generation: int,
        *,
        hot: bool,
        seals: bool,
        doubt: str,
        pre: Copies | None = None,
        mapped: Callable[[], frozenset[int]] = frozenset,
        most_bytes: int | None = None,
    ) -> Capture:
        begin = time.perf_counter()
        taken_at = self._clock()
        record = self._state.read(session_id)
        listing = self.store.listing(session_id)
        with pre.spool if pre else Spool(self.store.tmp, self.progress) as spool:
            self._may_begin(session_id, record, listing)
            profile, base, full = self._ground(session_id, record, listing, pre)
            if pre and not hot and pre.base is not base:
                pre = None  # what it took for stored may be so no more
            copy = partial(
                copy_changes,
                self.folder(session_id),
                base=base,
                spool=spool,
                mapped=lambda: mapped().union(pre.mapped if pre and hot else ()),
                uid=self._uid,
                names=self.names(session_id),
                most_bytes=most_bytes,
            )
            with uncollected(f"first capture of {session_id}", when=base is None):
                copies = copy(profile, pre=pre)
            if pre and not hot and not copies.as_in(pre):
                # What moved since the head start may have made it one of another kind.
                now = self._profile_of(session_id, self._newest(listing, record))
                if now is not profile:
                    profile, copies = now, copy(now)
            if not any(seen.kind == "file" for seen in copies.seen.values()):
                raise NothingToCopy(
                    f"session {session_id} has no files to take a snapshot of",
                    f"it would lie in {self.folder(session_id)}",
                )
        if record.state == "closed":  # and there is something again
            with self._state.edit(session_id) as record:
                epochs.reopen(record)
        linked_at = since_1970(record.linked_at) if record.linked_at else None
        copies.doubts += filter(None, [doubt, unsettled(profile, linked_at, taken_at)])
        return Capture(
            id=session_id,
            reason=reason,
            generation=generation,
            hot=hot,
            taken_at=taken_at,
            epoch=record.epoch,
            state=record.state,
            identity=record.identity,
            writers=record.writers,
            seals=seals,
            profile=profile,
            copies=copies,
            full=full,
            duration_s=time.perf_counter() - begin,
        )

    def _seal(self, capture: Capture, manifest: Manifest) -> None:
        """Write down that the session at rest is an older snapshot: a new one says so itself.

        Unless somebody got the seat meanwhile.
        """
        with self._state.edit(capture.id) as record:
            if holds(capture, record):
                record.sealed = manifest.seq

    def _prune(self, session_id: str) -> list[str]:
        listing = self.store.listing(session_id)
        if listing.unreadable or self.store.packs_away():
            return []
        record = self._state.read(session_id)
        now = self._clock()
        ends = [m for m in listing.manifests if m.kind == "tombstone"]
        last = max((m.epoch for m in ends), default=-1)
        spare = self._quarantine.prune(
            session_id,
            listing.quarantined,
            now,
            lambda epoch: (
                epoch in (record.epoch, last)
                and not any(m.verdict == "good" for m in listing.of_epoch(epoch))
            ),
            linked=record.epoch if record.state == "linked" else None,
        )
        doomed: list[Manifest] = []
        for epoch in {m.epoch for m in listing.snapshots}:
            own = listing.of_epoch(epoch)
            end = listing.tombstone(epoch)
            if end is None and epoch >= record.epoch:
                stay = retention.kept(own, self.keep)
                # The one that what is live is measured by may be older.
                line = epochs.line(record, own)
                stay.update([m.seq for m in line if m.verdict == "good"][-1:])
            else:
                ended_at = since_1970((end or own[-1]).taken_at)
                stay = retention.kept_after_end(own, ended_at, now, last=epoch == last)
            doomed += [m for m in own if m.seq not in stay and m.name not in self._pinned]
        doomed += [*ends[:-_TOMBSTONES_KEPT], *spare]
        self.store.drop(session_id, doomed)
        return [m.name for m in doomed]


def holds(capture: Capture, record: Record) -> bool:
    """Return whether nobody got the seat since the capture, and the epoch is still the same."""
    return record.writers == capture.writers and record.epoch == capture.epoch
