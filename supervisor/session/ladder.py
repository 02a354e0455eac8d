"""Is the live session whole, and if not, what comes back? Never crosses an epoch.

The live session that passes its check is used as it is. Otherwise the newest good snapshot of the
epoch comes back, after it was read, rebuilt beside the live folder and validated there.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.copying.writers import writers
from supervisor.session.lock import boot_id
from supervisor.session.model import (
    Check,
    DamagedBlob,
    NothingToRestore,
    Restored,
    UnreadableBlob,
    check_id,
    since_1970,
)
from supervisor.session.proof import checks
from supervisor.session.proof.profile import Profile, expected_identity, identity_problems
from supervisor.session.restores import Because, Restores
from supervisor.session.restoring import swap
from supervisor.session.restoring.restore import candidates, why_none
from supervisor.session.scan import Scan, Seen, scan
from supervisor.session.state import Record
from supervisor.session.storage.entries import Entry
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.store import Listing


class Ladder(Restores):
    """Check and restore."""

    # --- check ---------------------------------------------------------------------------

    def check(self, session_id: str, *, full: bool = True, quick: bool = False) -> Check:
        """Look at the live session; never writes into it.

        Not `full`: a session whose files are, by stat, those of its seal passes at once.
        `quick`: no database is opened; what is missing, empty or torn is seen all the same.
        Raises: SupervisorError, OSError.
        """
        self.store.prepare()
        if self._owned or session_id in self._held:
            self.recover(session_id)
        elif next(writers(self.folder(session_id)), None) is not None:
            quick = True  # a raw copy of a database that is being written looks torn
        return self._check(session_id, "quick" if quick else "full" if full else "cheap")

    def _check(self, session_id: str, depth: Literal["quick", "cheap", "full"]) -> Check:
        folder = self.folder(session_id)
        record = self._state.read(session_id)
        listing = self.store.listing(session_id)
        newest = self._newest(listing, record)
        profile = self._profile_of(session_id, newest)
        found = scan(folder, profile.excludes, self._entries(newest))
        linked = record.state == "linked"
        if not self._owned and swap.read_intent(self.store.root, session_id):
            half = "a restore or clear was interrupted; the next start finishes it"
            return Check(verdict="damaged", why=half, linked=linked)
        if not found.files:
            there = "is empty" if folder.exists() else "does not exist"
            return Check(verdict="absent", why=f"{folder} {there}", linked=linked)
        identity = profile.identity(folder)
        then = newest.at_rest if newest else None
        expected = expected_identity(profile, then, record.identity)
        foreign = bool(linked and identity and expected and identity != expected)
        sealed = newest if newest and not foreign and record.sealed == newest.seq else None
        why: list[str] = []
        if not (depth == "cheap" and sealed and self._untouched(sealed, found)):
            base = None if foreign else newest
            why = checks.missing_problems(found.seen, profile)
            why += checks.emptied_problems(
                found.seen, profile, self._entries(base), at_rest=record.seat is None
            )
            if sealed and record.seat is None:
                gone = checks.seal_problems(found.seen, profile, self._entries(sealed))
                why += [problem for problem in gone if problem not in why]
            formats = checks.formats_of(folder, found.seen, profile, self._entries(base))
            # What changed is looked at first: that is where damage is, as a rule.
            trusted = self._proved(base, found)
            broken = checks.content_problems(folder, found.seen, formats, trusted=trusted)
            why += self._not_always_so(broken, formats, profile, self._entries(base))
            why += identity_problems(identity, then if linked else None)
            if not why and depth != "quick":
                rest = {path: form for path, form in formats.items() if path in trusted}
                broken = checks.content_problems(folder, found.seen, rest)
                why = self._not_always_so(broken, formats, profile, self._entries(base))
            if not why and depth != "quick":
                with files.scratch(self.store.tmp) as work:
                    broken = checks.deep_problems(folder, formats, work)
                why = self._not_always_so(broken, formats, profile, self._entries(base))
        return Check(
            verdict="damaged" if why else "passed",
            why="; ".join(dict.fromkeys(why)),
            identity=identity,
            files=found.files,
            size_bytes=found.size_bytes,
            linked=linked,
            foreign=foreign and not why,
        )

    def _proved(self, newest: Manifest | None, found: Scan) -> frozenset[str]:
        """Return the files that are, by stat, those of a snapshot that was validated."""
        stored = self._stored(newest) if newest is not None and newest.verdict == "good" else None
        if stored is None or stored.boot != boot_id():
            return frozenset()
        return frozenset(p for p, seen in found.seen.items() if stored.same(p, seen))

    def _untouched(self, sealed: Manifest, found: Scan) -> bool:
        stored = self._stored(sealed)
        if stored is None or sealed.verdict not in ("good", "pending"):
            return False
        live = {path: seen for path, seen in found.seen.items() if seen.kind != "dir"}
        then = {p: e.seen for p, e in stored.entries.items() if e.seen.kind != "dir"}
        return live == then

    def can_restore(self, session_id: str) -> bool:
        """Return whether the session is whole, or a snapshot can make it so."""
        return not self._why_not(session_id)

    def _why_not(self, session_id: str) -> str:
        check_id(session_id)
        check = self._check(session_id, "quick")
        if check.verdict == "passed":
            return ""
        record = self._state.read(session_id)
        listing = self.store.listing(session_id)
        if record.state != "closed" and self._options(listing, record):
            return ""
        return f"{check.why}; {self._why_none(listing, record)}"

    def _options(self, listing: Listing, record: Record) -> list[Manifest]:
        return candidates(listing.of_epoch(record.epoch), older=self.older == "auto")

    @staticmethod
    def _why_none(listing: Listing, record: Record) -> str:
        own = listing.of_epoch(record.epoch)
        return why_none(record, own, len(listing.snapshots))

    # --- restore -------------------------------------------------------------------------

    def restore(
        self,
        session_id: str,
        force_from: str | None = None,
        because: Because = "damaged",
    ) -> Restored:
        """Make the session whole: a live one that passes its check is kept as it is.

        Otherwise the newest snapshot of this epoch comes back; the old folder goes to
        quarantine. `because="pairing"`: the live one looks whole, but was refused; each snapshot
        is tried once. `force_from`: that snapshot, whatever the live session is.
        Raises: NothingToRestore, SessionBusy; SupervisorError, also where what there is could not
        be read now.
        """
        begin = time.perf_counter()
        with self.owning(session_id, alone=True):
            check = None
            if because == "damaged" and force_from is None:
                check = self._check(session_id, "full")
                if check.verdict == "passed":
                    return Restored(action="kept", duration_s=time.perf_counter() - begin)
            record = self._state.read(session_id)
            failed: set[str] = set()
            unread: UnreadableBlob | None = None
            while True:
                if force_from is not None:
                    options = [self._consented(session_id, record, force_from)]
                else:
                    options = self._allowed(session_id, record, because)
                options = [option for option in options if option.name not in failed]
                if not options:
                    if check is not None and self._lived_with(session_id, record, check.why):
                        took_s = time.perf_counter() - begin
                        return Restored(action="kept", duration_s=took_s, flaw=check.why)
                    if unread is not None:
                        raise self._not_now(session_id, unread) from unread
                    raise self._nothing(session_id, record)
                try:
                    restored = self._restore(session_id, options[0], because, begin)
                except UnreadableBlob as error:
                    restored, unread = None, error
                if restored:
                    return restored
                # It turned out not to be whole, which may change what comes next.
                failed.add(options[0].name)

    def _lived_with(self, session_id: str, record: Record, why: str) -> bool:
        """Return whether a proved device ran with exactly this flaw.

        A database whose check always complained would cost the link: nothing else is whole, and
        to end the epoch is worse than to try what worked.
        """
        own = self.store.listing(session_id).of_epoch(record.epoch)
        newest = own[-1] if own and record.state == "linked" else None
        proved = newest is not None and newest.proof in ("identity", "roundtrip")
        return proved and newest is not None and not newest.sick and newest.why == why != ""

    def restore_from_backup(self, session_id: str, snapshot: str | None = None) -> Restored:
        """Put a snapshot of this epoch in the live session's place, whatever state that is in.

        None: the newest that may be restored unasked. Raises: as `restore`.
        """
        return self.restore(session_id, snapshot, "asked")

    def _allowed(self, session_id: str, record: Record, because: str) -> list[Manifest]:
        listing = self.store.listing(session_id)
        if record.state == "closed" or (because == "pairing" and record.state != "linked"):
            return []
        if because == "pairing":
            return self._not_refused(listing, record)
        return self._options(listing, record)

    def _consented(self, session_id: str, record: Record, snapshot: str) -> Manifest:
        manifest = self.store.find(session_id, snapshot)
        if record.state == "closed" or manifest.epoch != record.epoch:
            raise NothingToRestore(
                f"snapshot {manifest.seq} is of an earlier link of session {session_id}",
                "the network may not know that device any more. If you mean it: stillhere session"
                f" export {session_id} FOLDER --snapshot {manifest.seq}, then session import",
            )
        if manifest.verdict == "bad":
            raise NothingToRestore(
                f"snapshot {manifest.seq} of session {session_id} is not whole: {manifest.why}",
                f"see the others: stillhere session snapshots {session_id}",
            )
        return manifest

    def _not_refused(self, listing: Listing, record: Record) -> list[Manifest]:
        """Return what may be tried after the live session asked to pair.

        Not what was tried before, nor what was copied of the refused session itself; and once
        something was tried, only what a later generation has proved.
        """
        own = [
            m
            for m in listing.of_epoch(record.epoch)
            if m.proof or m.generation < record.last_writer or not record.last_writer
        ]
        last_tried = max((m.seq for m in own if m.name in record.tried), default=0)
        options = candidates(own, older=self.older == "auto")
        return [
            m
            for m in options
            if m.name not in record.tried
            and (not record.tried or self.older == "auto" or (m.seq > last_tried and m.proof))
        ]

    def _restore(
        self, session_id: str, manifest: Manifest, because: Because, begin: float
    ) -> Restored | None:
        """Restore one snapshot; None when it turns out not to be whole.

        Raises: OSError; UnreadableBlob: it may be whole, and the next try may read it.
        """
        if manifest.verdict == "pending":
            manifest = self._validated(manifest)
            if manifest.verdict == "bad":
                return None
        try:
            quarantined = self._replace(manifest, because)
        except UnreadableBlob:
            raise
        except DamagedBlob as error:
            sick = manifest.sick or manifest.verdict in ("good", "fuzzy")
            self.store.amend(manifest, verdict="bad", why=error.message, sick=sick)
            return None
        self._prune(session_id)
        return Restored(
            action="restored",
            snapshot=manifest.snapshot(),
            quarantined=quarantined,
            age_s=max(0.0, self._clock() - since_1970(manifest.taken_at)),
            duration_s=time.perf_counter() - begin,
        )

    def _tree_problems(
        self, root: Path, seen: Mapping[str, Seen], profile: Profile, known: Mapping[str, Entry]
    ) -> tuple[list[checks.Problem], dict[str, str]]:
        """Return what is wrong in a tree of ours that is not live yet, and its files' formats."""
        formats = checks.formats_of(root, seen, profile, known)
        problems = checks.content_problems(root, seen, formats)
        sound = {path: form for path, form in formats.items() if path not in dict(problems)}
        with files.scratch(self.store.tmp) as work:
            return problems + checks.deep_problems(root, sound, work), formats

    @staticmethod
    def _not_now(session_id: str, unread: UnreadableBlob) -> SupervisorError:
        """Return what is no NothingToRestore: that would end the link for a passing error."""
        return SupervisorError(
            f"session {session_id} can't be restored now: {unread.message}",
            "nothing was changed, and its snapshots may be whole: mend the disk, then do it again",
        )

    def _nothing(self, session_id: str, record: Record) -> NothingToRestore:
        listing = self.store.listing(session_id)
        own = listing.of_epoch(record.epoch) if record.state != "closed" else ()
        older = tuple(m.name for m in own if m.verdict in ("good", "fuzzy"))
        hint = "link the bot again: stillhere link shows the QR code"
        if older:
            seq = next(m.seq for m in reversed(own) if m.name in older)
            hint = (
                "an older snapshot is there, and chats that moved on since may show Bad MAC:"
                f" stillhere session restore {session_id} --snapshot {seq}"
            )
        why = self._why_none(listing, record)
        message = f"session {session_id} can't be restored: {why}"
        return NothingToRestore(message, hint, older=older)
