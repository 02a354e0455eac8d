"""Taking snapshots: capture while it matters, commit afterwards, validate off the path, prune."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace

from supervisor.session import checks, epochs, files, retention
from supervisor.session.base import Base
from supervisor.session.capture import Capture, Copies, Stored, copy_changes, moved_since
from supervisor.session.commit import commit, overdue
from supervisor.session.entries import Entry
from supervisor.session.manifest import Manifest
from supervisor.session.model import (
    DamagedBlob,
    NothingToCopy,
    Snapshot,
    SnapshotFailed,
    since_1970,
    slug,
)
from supervisor.session.profile import Profile
from supervisor.session.restore import build, entries_of
from supervisor.session.scan import matches
from supervisor.session.spool import Spool
from supervisor.session.writers import open_by_somebody

_TOMBSTONES_KEPT = 10


class Snapshots(Base):
    """Everything from the live session to a pruned store."""

    # By session: the newest snapshot's entries, as fresh as they were last looked at.
    _looked: Mapping[str, Stored] = {}

    def precapture(self, session_id: str) -> Copies:
        """Copy what differs from the last snapshot while the bot still runs, as a head start.

        Raises: SnapshotFailed, SessionBusy.
        """
        with self.owning(session_id), _Told(session_id):
            profile, base, _full = self._ground(session_id)
            with Spool(self.store.tmp) as spool:
                return copy_changes(self.folder(session_id), profile, base, spool)

    def capture(
        self,
        session_id: str,
        *,
        reason: str,
        generation: int,
        hot: bool,
        pre: Copies | None = None,
        frozen: bool = True,
    ) -> Capture:
        """Copy what differs from the last snapshot (and from `pre`). Fast: nothing is synced.

        `hot`: the bot runs; it is taken to be frozen meanwhile, unless `frozen` says otherwise:
        then the snapshot can be no better than fuzzy. Cold: the tree is proved gone.
        `commit` or `Capture.close` must follow. Raises: SnapshotFailed, SessionBusy.
        """
        with self.owning(session_id), _Told(session_id):
            doubt = "copied while the bot was writing" if hot and not frozen else ""
            return self._capture(
                session_id, slug(reason), generation, hot=hot, pre=pre, seals=not hot, doubt=doubt
            )

    def commit(self, capture: Capture, proof: str = "", *, validate: bool = True) -> Snapshot:
        """Make a capture durable: synced, read back, then listed; and prune.

        An unchanged session gives no new snapshot, but the one there is. Without `validate` the
        verdict stays pending: call `validate` later. Raises: SnapshotFailed, SessionBusy.
        """
        session_id = capture.id
        try:
            with self.owning(session_id), _Told(session_id):
                record = self._state.read(session_id)
                done = commit(
                    self.store,
                    capture,
                    counters=record.counters(),
                    tried=tuple(record.tried),
                    proof=proof,
                )
                manifest = done.manifest
                copies = capture.copies
                looked = Stored(
                    manifest.name, manifest.seq, copies.scan_ns, copies.boot, done.entries
                )
                self._looked = {**self._looked, session_id: looked}
                if not done.new and epochs.stronger(proof, manifest.proof):
                    manifest = self.store.amend(manifest, proof=proof)
                if capture.seals:
                    self._seal(capture, manifest)
                if validate and manifest.verdict == "pending":
                    manifest = self._validated(manifest)
                self._prune(session_id)
                return manifest.snapshot()
        finally:
            capture.close()

    def validate(self, session_id: str, snapshot: str) -> Snapshot:
        """Open a committed snapshot's copy and give it its verdict; one that has it keeps it.

        Raises: SupervisorError when the validator can't be run.
        """
        with self.owning(session_id), _Told(session_id):
            manifest = self.store.find(session_id, snapshot)
            if manifest.verdict == "pending":
                manifest = self._validated(manifest)
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
        with self.owning(session_id), _Told(session_id):
            folder = self.folder(session_id)
            hot = bool(self.lock_for(session_id).survivors()) or open_by_somebody(folder)
            generation = self._state.read(session_id).last_writer
            doubt = "copied while somebody had it open" if hot else ""
            capture = self._capture(
                session_id, slug(reason), generation, hot=hot, seals=False, doubt=doubt
            )
            moved = moved_since(folder, capture.profile, capture.copies)
            capture.copies.doubts.extend(f"{path} changed meanwhile" for path in moved)
            return self.commit(capture)

    def cleanup_old_backups(self, session_id: str) -> list[str]:
        """Remove the snapshots and quarantined sessions that need not stay. Returns their ids.

        Raises: SessionBusy, OSError.
        """
        with self.owning(session_id):
            return self._prune(session_id)

    # --- the parts -----------------------------------------------------------------------

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
    ) -> Capture:
        begin = time.perf_counter()
        taken_at = self._clock()
        record = self._state.read(session_id)
        if record.state == "closed":
            with self._state.edit(session_id) as record:
                epochs.reopen(record)
        profile, base, full = self._ground(session_id)
        with pre.spool if pre else Spool(self.store.tmp) as spool:
            copies = copy_changes(self.folder(session_id), profile, base, spool, pre)
            if not any(seen.kind == "file" for seen in copies.seen.values()):
                raise NothingToCopy(
                    f"session {session_id} has no files to take a snapshot of",
                    f"it would lie in {self.folder(session_id)}",
                )
        if doubt:
            copies.doubts.append(doubt)
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

    def _ground(self, session_id: str) -> tuple[Profile, Stored | None, bool]:
        """Return the profile, what is stored already, and whether to build on none of it."""
        listing = self.store.listing(session_id)
        usable = [m for m in listing.snapshots if m.verdict != "bad"]
        newest = usable[-1] if usable else None
        record = self._state.read(session_id)
        profile = self._profile_of(session_id, self._newest(listing, record))
        return profile, self._stored(newest), overdue(newest)

    def _stored(self, newest: Manifest | None) -> Stored | None:
        """Return of a snapshot's entries those whose bytes can be trusted to be there."""
        looked = self._look(newest) if newest is not None else None
        if newest is None or looked is None:
            return None
        intact = self.store.intact(newest)
        if len(intact) == len(newest.packs) and not self.store.distrusted:
            return looked
        entries = {
            path: entry
            for path, entry in looked.entries.items()
            if intact.issuperset(entry.seqs) and self.store.trusts(entry)
        }
        return replace(looked, entries=entries)

    def _look(self, manifest: Manifest) -> Stored | None:
        """Return a snapshot's entries; None when they can't be read. The newest's are kept."""
        looked = self._looked.get(manifest.id)
        if looked is not None and looked.name == manifest.name:
            return looked
        try:
            entries = entries_of(manifest)
        except DamagedBlob:
            return None
        found = Stored(manifest.name, manifest.seq, manifest.scan_ns, manifest.boot, entries)
        if looked is None or looked.seq < manifest.seq:
            self._looked = {**self._looked, manifest.id: found}
        return found

    def _entries(self, manifest: Manifest | None) -> Mapping[str, Entry]:
        """Return a snapshot's entries by path: none where nothing can be read of it."""
        looked = self._look(manifest) if manifest is not None else None
        return {} if looked is None else looked.entries

    def _seal(self, capture: Capture, manifest: Manifest) -> None:
        """Write down that the session at rest is this snapshot, unless somebody got the seat."""
        with self._state.edit(capture.id) as record:
            if record.writers == capture.writers and record.epoch == capture.epoch:
                record.sealed = manifest.seq

    def _validated(self, manifest: Manifest) -> Manifest:
        problems, at_rest = self._problems(manifest)
        verdict = "bad" if problems else "fuzzy" if manifest.doubts else "good"
        why = "; ".join(problems or manifest.doubts)[:1000]
        return self.store.amend(manifest, verdict=verdict, why=why, at_rest=at_rest)

    def _problems(self, manifest: Manifest) -> tuple[list[str], str | None]:
        """Return what is wrong with a stored copy, and whose device it is. Raises: OSError."""
        profile = self._profile_of(manifest.id, manifest)
        entries = self._entries(manifest)
        if not entries:
            return ["its list of files can't be read"], None
        seen = {path: entry.seen for path, entry in entries.items()}
        before = self._good_before(manifest)
        problems = checks.missing_problems(seen, profile)
        problems += checks.emptied_problems(seen, profile, self._entries(before), at_rest=False)
        with files.scratch(self.store.tmp) as work:
            copy = work / "copy"
            wanted = [path for path in seen if _needs_look(path, entries, profile)]
            try:
                if wanted:
                    build(manifest, copy, self.store, only=wanted)
            except DamagedBlob as error:
                return [*problems, error.message], None
            formats = checks.formats_of(copy, {p: seen[p] for p in wanted}, profile, entries)
            broken = checks.content_problems(copy, seen, formats)
            problems += self._not_always_so(broken, formats, profile, before)
            if not problems:
                broken = checks.deep_problems(copy, formats, None)
                problems = self._not_always_so(broken, formats, profile, before)
            return problems, profile.identity(copy)

    def _good_before(self, manifest: Manifest) -> Manifest | None:
        """Return the newest good snapshot of the same epoch that is older."""
        own = self.store.listing(manifest.id).of_epoch(manifest.epoch)
        good = (m for m in reversed(own) if m.verdict == "good" and m.seq < manifest.seq)
        return next(good, None)

    def _not_always_so(
        self,
        problems: list[checks.Problem],
        formats: Mapping[str, str],
        profile: Profile,
        before: Manifest | None,
    ) -> list[str]:
        """Return the problems' texts, without those that are none: a name alone promises nothing.

        A file that is called .json, but has never been seen to hold JSON, is the bot's own affair.
        """
        return [
            text
            for path, text in problems
            if formats[path] != "json"
            or matches(path, profile.required)
            or self._was_json(before, path)
        ]

    def _was_json(self, manifest: Manifest | None, path: str) -> bool:
        entry = self._entries(manifest).get(path)
        if entry is None:
            return False
        try:
            with self.store.reader() as reader:
                json.loads(b"".join(reader.read(blob) for blob in entry.blobs))
        except (DamagedBlob, ValueError, RecursionError):
            return False
        return True

    def _prune(self, session_id: str) -> list[str]:
        listing = self.store.listing(session_id)
        record = self._state.read(session_id)
        now = self._clock()
        self._quarantine.prune(
            session_id,
            now,
            lambda epoch: (
                epoch == record.epoch
                and not any(m.verdict == "good" for m in listing.of_epoch(epoch))
            ),
        )
        if listing.unreadable:
            return []
        doomed: list[Manifest] = []
        for epoch in {m.epoch for m in listing.snapshots}:
            own = listing.of_epoch(epoch)
            end = listing.tombstone(epoch)
            if end is None and epoch >= record.epoch:
                stay = retention.kept(own, self.keep)
            else:
                ended_at = since_1970((end or own[-1]).taken_at)
                stay = retention.kept_after_end(own, ended_at, now)
            doomed += [m for m in own if m.seq not in stay and m.name not in self._pinned]
        ends = [m for m in listing.manifests if m.kind == "tombstone"]
        doomed += ends[:-_TOMBSTONES_KEPT]
        self.store.drop(session_id, doomed)
        return [m.name for m in doomed]


def _needs_look(path: str, entries: Mapping[str, Entry], profile: Profile) -> bool:
    """Return whether validation opens this file, or SQLite needs it to open another."""
    if entries[path].seen.kind != "file":
        return False
    for end in checks.COMPANIONS:
        if path.endswith(end) and path.removesuffix(end) in entries:
            return True
    globs = tuple(glob for glob, _form in profile.formats) + profile.required
    return bool(entries[path].format) or matches(path, globs)


class _Told:
    """Turns what the system says into what a person can use. Raises: SnapshotFailed."""

    def __init__(self, session_id: str) -> None:
        self._id = session_id

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            where = f" ({error.filename})" if error.filename else ""
            raise SnapshotFailed(
                f"no snapshot of session {self._id}: {error.strerror or error}{where}",
                "nothing was lost; make room or mend the disk, then: stillhere session backup",
            ) from error
        if isinstance(error, DamagedBlob):
            raise SnapshotFailed(
                f"no snapshot of session {self._id}: {error.message}",
                "the disk does not give back what was written to it: check it",
            ) from error
