"""What is written down of a session while its bot runs: links, proofs, the seat, the rounds."""

import json
from contextlib import suppress
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.session import epochs
from supervisor.session.base import Base
from supervisor.session.failing import snapshot_failing
from supervisor.session.model import PROOFS, rfc3339
from supervisor.session.names import shown
from supervisor.session.proof.fitting import kind_of
from supervisor.session.proof.profile import identity_of
from supervisor.session.scan import scan
from supervisor.session.state import Record


class Ledger(Base):
    """The durable notes. Each is on the disk when its method returns. Raises: SessionBusy."""

    def next_generation(self, session_id: str) -> int:
        """Return a number that no generation of this session ever had."""
        with self.owning(session_id), self._state.edit(session_id) as record:
            record.generation += 1
            return record.generation

    def set_seat(self, session_id: str, generation: int | None) -> None:
        """Write down who may write the session: from here on no seal holds. None: nobody."""
        with self.owning(session_id), self._state.edit(session_id) as record:
            record.seat = generation
            if generation is not None:
                record.writers += 1
                record.last_writer = generation
                record.generation = max(record.generation, generation)
                record.sealed = None

    def may_change_hands(self, session_id: str) -> None:
        """See whether the next seat could be written down. Raises: SnapshotFailed, if not.

        A bot that works is not stopped where its successor could not begin.
        """
        with self.owning(session_id), snapshot_failing(session_id):
            self._state.rehearse()

    def note_state(self, session_id: str, state: str) -> None:
        """Write down the bot's last word about its session."""
        with self.owning(session_id), self._state.edit(session_id) as record:
            record.reported = state

    def note_qr(self, session_id: str) -> None:
        """A QR code was shown."""
        with self.owning(session_id), self._state.edit(session_id) as record:
            record.qr_count += 1

    def note_linked(self, session_id: str, identity: str | None) -> int:
        """A device was linked: a new epoch, unless it is the one that is linked already.

        The old epoch's end goes into the store first. Returns the epoch.
        """
        with self.owning(session_id), self._state.edit(session_id) as record:
            if record.state == "linked" and identity in (None, record.identity):
                return record.epoch
            if record.state == "linked" and record.identity is None and not record.adopted:
                record.identity = identity
                return record.epoch
            self._bury(session_id, record, "relinked")
            self._begin_link(session_id, record, identity, adopted=False)
            record.linked_at = rfc3339(self._clock())
            record.link_count += 1
            return record.epoch

    def note_verified(
        self, session_id: str, identity: str | None, proof: str, seconds: float
    ) -> None:
        """A generation is back: counted as a restore if it has the identity it had.

        The first one of a session that came from elsewhere adopts it: that is the epoch's
        baseline, and no restore. Another identity than the epoch's opens a new epoch. Of a bot
        that keeps no file and names no device nothing is linked.
        """
        if proof not in PROOFS:
            raise SupervisorError(f"{proof!r} is no proof", f"one of {', '.join(PROOFS[1:])}")
        with self.owning(session_id), self._state.edit(session_id) as record:
            known = record.identity
            if record.state != "linked":
                if identity is not None or self._keeps_something(session_id, record):
                    self._begin_link(session_id, record, identity, adopted=True)
            elif identity is not None and known is not None and identity != known:
                self._bury(session_id, record, "relinked")
                self._begin_link(session_id, record, identity, adopted=True)
            else:
                record.identity = known if identity is None else identity
                record.restore_count += 1
                record.last_restore_s = round(seconds, 6)

    def _begin_link(
        self, session_id: str, record: Record, identity: str | None, *, adopted: bool
    ) -> None:
        """Begin an epoch, and keep in mind what kind of session that is.

        Until it has a snapshot only that tells what must be there.
        """
        epochs.begin(record, identity, adopted=adopted)
        folder, names = self.folder(session_id), self.names(session_id)
        with suppress(OSError, SupervisorError):
            kind = self._given_profile(session_id) or kind_of(folder, names)
            if not record.profile and kind.tells_device and identity_of(kind, shown(folder, names)):
                record.profile = kind.name

    def _keeps_something(self, session_id: str, record: Record) -> bool:
        """Return whether a session has a file, or had one: its absence would be a loss."""
        listing = self.store.listing(session_id)
        if listing.of_epoch(record.epoch) or listing.unread:
            return True
        excludes = self._profile_of(session_id, None).excludes
        found = scan(self.folder(session_id), excludes, names=self.names(session_id))
        return bool(found.files or found.missed)

    def mark_proof(self, session_id: str, generation: int, proof: str) -> None:
        """Write into that generation's snapshots what it has proved. Raises: OSError."""
        with self.owning(session_id):
            for manifest in self.store.listing(session_id).snapshots:
                if manifest.generation == generation and epochs.stronger(proof, manifest.proof):
                    self.store.amend(manifest, proof=proof)

    def note_round(self, session_id: str, *, checked: bool = False, drilled: bool = False) -> None:
        """Write down that now is when it was checked or drilled last, or seen first.

        Raises: SessionBusy, SupervisorError, OSError.
        """
        with self.owning(session_id), self._state.edit(session_id) as record:
            now = rfc3339(self._clock())
            record.checked_at = now if checked else record.checked_at
            record.drilled_at = now if drilled else record.drilled_at

    def save_state(self, session_id: str, **fields: Any) -> None:
        """Keep fields of your own beside the session's record; None removes one.

        Raises: SupervisorError for what is no JSON.
        """
        with self.owning(session_id), self._state.edit(session_id) as record:
            kept = {**record.fields, **fields}
            record.fields = {key: value for key, value in kept.items() if value is not None}
            try:
                json.dumps(record.fields)
            except (TypeError, ValueError) as error:
                raise SupervisorError(f"this can't be kept as JSON: {error}") from error
