"""What comes back when the live session is not whole? Never crosses an epoch.

The live session that passes its check is used as it is. Otherwise the newest good snapshot of the
epoch comes back, after it was read, rebuilt beside the live folder and validated there.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from supervisor.core.errors import SupervisorError
from supervisor.session import epochs
from supervisor.session.checked import Live
from supervisor.session.model import (
    DamagedBlob,
    NothingToRestore,
    Restored,
    Unjudged,
    UnreadableBlob,
    check_id,
    not_restored,
    since_1970,
)
from supervisor.session.restores import Because, Restores
from supervisor.session.restoring.restore import candidates, of_device, why_none
from supervisor.session.state import Record
from supervisor.session.storage.listing import Listing
from supervisor.session.storage.manifest import Manifest


@dataclass(slots=True)
class _Waiting:
    """What may be whole, and can't be told now. `seq`: of the newest such; `why`: of the first."""

    seq: int = 0
    why: SupervisorError | None = None

    def wait(self, seq: int, why: SupervisorError) -> None:
        self.seq = max(self.seq, seq)
        self.why = self.why or why


class Ladder(Restores):
    """Restores where the check says so, one snapshot after the other."""

    def can_restore(self, session_id: str) -> bool:
        """Return whether the session is whole, or a snapshot can make it so."""
        return not self._why_not(session_id)

    def _why_not(self, session_id: str) -> str:
        check_id(session_id)
        try:
            check = self._check(session_id, "quick")
        except (UnreadableBlob, Unjudged) as error:
            return error.message  # it is not known, and the other sessions are to be listed
        if check.verdict == "passed":
            return ""
        record = self._state.read(session_id)
        listing = self.store.listing(session_id)
        options = self._options(listing, record) if record.state != "closed" else []
        unread = listing.unread_since(options[0].seq if options else 0)
        unread = unread or self._away(record, listing)
        if options:
            unread = unread or self.store.packs_away()
        if record.state != "closed" and unread:
            return f"{check.why}; {unread}"
        return "" if options else f"{check.why}; {self._why_none(listing, record)}"

    def _options(self, listing: Listing, record: Record) -> list[Manifest]:
        own = of_device(listing.of_epoch(record.epoch), record.identity)
        older, torn = self.older == "auto", listing.torn
        # Who went back to an older one has chosen it: that one comes first.
        chosen = candidates(epochs.line(record, own), older=older, torn=torn)
        return chosen + [m for m in candidates(own, older=older, torn=torn) if m not in chosen]

    @staticmethod
    def _why_none(listing: Listing, record: Record) -> str:
        own = listing.of_epoch(record.epoch)
        torn = listing.torn if not own or own[-1].seq < listing.torn else 0
        return why_none(record, own, listing, torn)

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
        is tried once. `force_from`: that snapshot, whatever the live session is. Where one can't
        be read or judged now, nothing older comes back unasked: it may be whole.
        Raises: NothingToRestore, SessionBusy; SupervisorError, also where what there is could not
        be read now.
        """
        begin = time.perf_counter()
        with self.owning(session_id, alone=True):
            check = live = None
            if because == "damaged" and force_from is None:
                check, live = self._looked_at(session_id, "full")
                if check.verdict == "passed":
                    return Restored(action="kept", duration_s=time.perf_counter() - begin)
            record = self._state.read(session_id)
            waiting = _Waiting()
            for option in self._in_turn(session_id, record, force_from, because, waiting):
                try:
                    restored = self._restore(option, because, begin, live)
                except (UnreadableBlob, Unjudged) as error:
                    waiting.wait(option.seq, error)
                    continue
                if restored:
                    return restored
            if waiting.why is not None:
                raise self._not_now(session_id, waiting.why) from waiting.why
            if check is not None and self._lived_with(session_id, record, check.why):
                took_s = time.perf_counter() - begin
                return Restored(action="kept", duration_s=took_s, flaw=check.why)
            raise self._nothing(session_id, record, because)

    def _in_turn(
        self,
        session_id: str,
        record: Record,
        force_from: str | None,
        because: Because,
        waiting: "_Waiting",
    ) -> Iterator[Manifest]:
        """Yield what may be restored, the best first: each failure may change what comes next.

        Raises: NothingToRestore, where that is not what was asked for.
        """
        tried: set[str] = set()
        while True:
            if force_from is not None:
                options = [self._consented(session_id, record, force_from)]
            else:
                options = self._allowed(session_id, record, because)
                self._wait_for_unread(waiting, session_id, record)
            if self._judged_first(options, waiting):
                continue  # which may be another now
            options = [option for option in options if option.name not in tried]
            if self.older != "auto" and force_from is None:
                options = [option for option in options if option.seq > waiting.seq]
            if not options:
                return
            tried.add(options[0].name)
            yield options[0]

    def _judged_first(self, options: list[Manifest], waiting: "_Waiting") -> bool:
        """Give the best one its verdict, if it has none: a fuzzy one does not come before a good.

        Returns whether it was given.
        """
        best = next((m for m in options if m.seq > waiting.seq or self.older == "auto"), None)
        if best is None or best.verdict != "pending":
            return False
        try:
            self._validated(best)
        except (UnreadableBlob, Unjudged) as error:
            waiting.wait(best.seq, error)
            return False
        return True

    def _wait_for_unread(self, waiting: "_Waiting", session_id: str, record: Record) -> None:
        """Wait for the manifests that can't be read now, if the link has not ended anyway.

        And for those that are away: none of what is there may be the newest then.
        """
        listing = self.store.listing(session_id)
        try:
            self._wait_for_store(session_id, record, listing)
        except UnreadableBlob as error:
            waiting.wait(epochs.newest_taken(record, listing), error)
        unread = listing.unread_since()
        if unread and record.state != "closed":
            waiting.wait(listing.newest_unread, UnreadableBlob(unread))

    def _lived_with(self, session_id: str, record: Record, why: str) -> bool:
        """Return whether a proved device ran with exactly this flaw.

        A database whose check always complained would cost the link: nothing else is whole, and
        to end the epoch is worse than to try what worked. What is missing, empty or torn is no
        such flaw: a seal that was taken after that has its generation's proof of before.
        """
        own = self.store.listing(session_id).of_epoch(record.epoch)
        newest = own[-1] if own and record.state == "linked" else None
        if newest is None or newest.proof not in ("identity", "roundtrip"):
            return False
        if newest.sick or newest.why != why or not why:
            return False
        return self._check(session_id, "quick").verdict == "passed"

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

        Not what was tried before, nor what was copied of the refused session itself, be it after
        it was refused or by hand before; and once something was tried, only what a later
        generation has proved.
        """
        own = [
            m
            for m in of_device(listing.of_epoch(record.epoch), record.identity)
            if m.proof or m.generation < record.last_writer or not record.last_writer
        ]
        proved = max((m.seq for m in own if m.proof), default=0)
        own = [m for m in own if m.proof or m.seq < proved or not proved]
        last_tried = max((m.seq for m in own if m.name in record.tried), default=0)
        options = candidates(own, older=self.older == "auto", torn=listing.torn)
        return [
            m
            for m in options
            if m.name not in record.tried
            and (not record.tried or self.older == "auto" or (m.seq > last_tried and m.proof))
        ]

    def _restore(
        self, manifest: Manifest, because: Because, begin: float, live: Live | None
    ) -> Restored | None:
        """Restore one snapshot; None when it turns out not to be whole. `live`: see `_replace`.

        Raises: OSError; UnreadableBlob, Unjudged: it may be whole, and the next try may tell.
        """
        if manifest.verdict == "pending":
            manifest = self._validated(manifest)
            if manifest.verdict == "bad":
                return None
        try:
            quarantined = self._replace(manifest, because, live)
        except UnreadableBlob:
            raise
        except DamagedBlob as error:
            self.store.amend(manifest, **manifest.sickened(error.message))
            return None
        self._prune(manifest.id)
        return Restored(
            action="restored",
            snapshot=manifest.snapshot(),
            quarantined=quarantined,
            age_s=max(0.0, self._clock() - since_1970(manifest.taken_at)),
            duration_s=time.perf_counter() - begin,
        )

    @staticmethod
    def _not_now(session_id: str, why: SupervisorError) -> SupervisorError:
        """Return what is no NothingToRestore: that would end the link for a passing error."""
        return SupervisorError(
            f"session {session_id} can't be restored now: {why.message}",
            why.hint
            or "nothing was changed, and its snapshots may be whole: mend the disk, then"
            " do it again",
        )

    @staticmethod
    def _lost_all(session_id: str, why: str) -> SupervisorError:
        """Return what is no NothingToRestore, too: whoever has the lost bytes may put them back."""
        return SupervisorError(
            f"session {session_id} can't be restored: its snapshots can't be read any more: {why}",
            "nothing was changed: put back what is lost, then: stillhere session check"
            f" {session_id}. Is it lost for good? An exported copy can come in: stillhere session"
            f" import; or stillhere session clear {session_id}, and link it again",
        )

    def _nothing(self, session_id: str, record: Record, because: Because) -> SupervisorError:
        """Return why nothing comes back. A NothingToRestore with nothing older ends the link.

        What was tried because the session asked to pair, and was refused as well, is no choice.
        """
        listing = self.store.listing(session_id)
        own = of_device(listing.of_epoch(record.epoch), record.identity)
        own = own if record.state != "closed" else []
        if because == "pairing":
            own = [m for m in own if m.name not in record.tried]
        older = tuple(m.name for m in own if m.verdict != "bad")
        lost = [m.why for m in own if m.sick]
        ended = max((m.seq for m in listing.manifests if m.epoch < record.epoch), default=0)
        if record.state != "closed" and listing.torn > ended:
            lost.append(f"the manifest of snapshot {listing.torn} is damaged")
        if lost and not older:
            return self._lost_all(session_id, lost[-1])
        hint = "link the bot again: stillhere link shows the QR code"
        if older:
            seq = next(m.seq for m in reversed(own) if m.name in older)
            hint = (
                "an older snapshot is there, and chats that moved on since may show Bad MAC:"
                f" stillhere session restore {session_id} --snapshot {seq}"
            )
        why = self._why_none(listing, record)
        return NothingToRestore(not_restored(session_id, why), hint, older=older)
