"""The snapshots of one bot: hot while it runs, sealed at its end, judged when there is time.

Methods with a `ticket` run in the session's thread and return the event that answers it.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Unpack

from supervisor.config import BotConfig, Config
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.loop.owner import Given, Owner
from supervisor.process.freezer import frozen
from supervisor.session.copying.capture import Capture, Copies, MuchToCopy
from supervisor.session.copying.hot import mapped
from supervisor.session.epochs import stronger
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToCopy, Snapshot
from supervisor.session.scan import Scan

# In less time than this nobody is frozen once more.
_LEAST_S = 0.02
# So much is read in a few milliseconds: a full -wal, as SQLite keeps it, and some more.
_AT_ONCE_BYTES = 5 << 20


class Copier(Owner):
    """Takes the snapshots, and knows which of them still wait for something."""

    def __init__(
        self, config: Config, bot: BotConfig, manager: SessionManager, **given: Unpack[Given]
    ) -> None:
        super().__init__(config, bot, manager, **given)
        self._seals: list[Capture] = []
        # The head start of the seal that is to come, and whether what it found is whole.
        self._head: tuple[Copies, bool] | None = None
        self._unvalidated: list[tuple[str, bool]] = []  # and whether it was copied hot
        # Gets each hot snapshot that has its verdict, in the loop's thread.
        self.judged: Callable[[Snapshot], None] | None = None
        # Is called there when a running bot has nothing yet that could be copied.
        self.unseen: Callable[[], None] | None = None
        self._proofs: dict[int, str] = {}
        self._copied_bytes = math.inf  # for the last hot snapshot

    def backup(self, generation: int | None) -> dict[str, Any]:
        """Take a snapshot now, hot if `generation` runs. Raises: SupervisorError."""
        if generation is not None and self._members(generation):
            return self._hot("manual", generation, validate=True)
        with self.locked():
            return self._manager.backup(self.id).as_json()

    def prune(self) -> dict[str, Any]:
        """Remove the snapshots that need not stay. Raises: SupervisorError."""
        with self.locked():
            return {"removed": self._manager.cleanup_old_backups(self.id)}

    def snapshot(self, ticket: int, *, reason: str, generation: int) -> ev.Event | None:
        """Copy the session of a running bot.

        A bot that keeps nothing is restarted all the same, and one whose files have vanished gets
        them back at its next start. Only who was just linked must have some.
        """
        try:
            self._hot(reason, generation, validate=False)
        except NothingToCopy:
            if reason == "linked":
                raise
            if self.unseen is not None:
                self._jobs.soon(self.unseen)
            if reason == "first":
                self._report(
                    "session_unseen", where=str(self.folder), names=self._bot.session_files
                )
        if reason == "stop":
            self._manager.may_change_hands(self.id)
        return ev.SnapshotTaken(ticket) if ticket else None

    def _hot(self, reason: str, generation: int, *, validate: bool) -> dict[str, Any]:
        self._tell_away()
        if reason == "stop" and self._copied_bytes <= _AT_ONCE_BYTES:
            # It is about to be stopped anyway: to be held still a little longer does no harm, and
            # one walk through its session less is sooner done.
            with suppress(MuchToCopy):
                before = self._manager.unprepared(self.id)
                most = _AT_ONCE_BYTES
                return self._held_still(reason, generation, before, most, validate=validate)
        members = partial(self._members, generation)
        before = self._manager.precapture(self.id, lambda: mapped(members()))
        same = self._manager.unchanged(self.id, before)
        proof = self._proofs.get(generation, "")
        if same is not None and same.verdict == "good" and not stronger(proof, same.proof):
            before.spool.close()
            return self._tell_taken(same, frozen_s=0.0)
        return self._held_still(reason, generation, before, validate=validate)

    def _held_still(
        self,
        reason: str,
        generation: int,
        before: Copies,
        most_bytes: int | None = None,
        *,
        validate: bool,
    ) -> dict[str, Any]:
        """Take it of a bot that is held still for what `before` lacks. Raises: MuchToCopy."""
        members = partial(self._members, generation)
        limit_s = self._bot.snapshots.freeze_timeout_ms / 1000
        until, frozen_s = time.monotonic() + limit_s, 0.0
        while True:
            with frozen(members, limit_s) as freeze:
                capture = self._manager.capture(
                    self.id,
                    reason=reason,
                    generation=generation,
                    hot=True,
                    pre=before,
                    frozen=freeze.whole,
                    mapped=lambda: mapped(members()),
                    most_bytes=most_bytes,
                )
            frozen_s += freeze.frozen_s
            if not freeze.whole:
                self._manager.blur(capture, f"the bot was not held still: {freeze.why}")
                break
            # The bot may have been writing a file in place: then it is given the time to end that.
            again = self._manager.once_more(capture, until - _LEAST_S)
            limit_s = until - time.monotonic()
            if again is None or limit_s < _LEAST_S:
                break
            before = again
        seen = capture.copies.seen
        self._copied_bytes = sum(seen[path].size for path in capture.copies.copied)
        return self._commit(capture, validate=validate, frozen_s=round(frozen_s, 6))

    def _commit(
        self, capture: Capture, *, validate: bool = False, **measured: float
    ) -> dict[str, Any]:
        proof = self._proofs.get(capture.generation, "")
        snapshot = self._manager.commit(capture, proof, validate=validate)
        if snapshot.verdict == "pending":
            self._unvalidated.append((snapshot.id, capture.hot))
        if not capture.hot:
            self._report("sealed", snapshot=snapshot.as_json())
            return snapshot.as_json()
        return self._tell_taken(snapshot, **measured)

    def _tell_taken(self, snapshot: Snapshot, **measured: float) -> dict[str, Any]:
        self._report("snapshot_taken", snapshot=snapshot.as_json(), **measured)
        return snapshot.as_json()

    def _tell_away(self) -> None:
        """Say that the store is away, before a new one is begun in its place."""
        if away := self._manager.snapshots_away(self.id):
            self._report("snapshots_away", why=away)

    def begin_seal(self, *, generation: int) -> None:
        """Copy and check what changed since the last snapshot while the bot stops.

        The seal has less to do then. What goes wrong here the seal tells, if it does so again.
        """
        self._forget_head()
        if self.id:
            with suppress(SupervisorError):
                copies = self._manager.precapture(
                    self.id, lambda: mapped(self._members(generation)), haste=False
                )
                self._head = copies, False
                self._head = copies, self._passes(copies.found)

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head[0].spool.close()
            self._head = None

    def seal(self, ticket: int, *, generation: int) -> ev.Event:
        """Capture the session at rest, and see whether anything of it is missing or torn."""
        (head, passed), self._head = self._head or (None, False), None
        found = None
        with suppress(NothingToCopy):
            capture = self._manager.capture(
                self.id, reason="sealed", generation=generation, hot=False, pre=head
            )
            self._seals.append(capture)
            found = capture.copies.found
            if head and passed and capture.copies.as_in(head):
                return ev.Sealed(ticket, intact=True)
        return ev.Sealed(ticket, intact=self._passes(found))

    def _passes(self, found: Scan | None) -> bool:
        """Return whether a short look finds nothing wrong with the session that a walk `found`.

        Another device's session is not handed over unseen: the full check is to tell of it.
        """
        check = self._manager.check(self.id, quick=True, found=found)
        return check.verdict == "passed" and not check.foreign

    def commit_seals(self) -> None:
        """Commit what was captured: it is safe in a copy, so this may wait for the hand-over.

        What was begun for a seal that did not come is forgotten.
        """
        self._forget_head()
        while self._seals:
            capture = self._seals.pop(0)
            try:
                self._commit(capture)
            except SupervisorError as error:
                self._report("snapshot_failed", why=error.message, hint=error.hint)

    def validate(self) -> None:
        """Give the snapshots of the last hand-over their verdicts."""
        while self._unvalidated:
            name, hot = self._unvalidated.pop(0)
            if all(there.id != name for there in self._manager.snapshots(self.id)):
                continue  # pruned meanwhile
            try:
                snapshot = self._manager.validate(self.id, name)
            except SupervisorError as error:
                self._report("snapshot_unjudged", snapshot=name, why=error.message, hint=error.hint)
                continue
            if snapshot.verdict != "good":
                self._report("snapshot_judged", snapshot=snapshot.as_json())
            if hot and self.judged is not None:
                self._jobs.soon(self.judged, snapshot)

    def fold(self) -> None:
        """Store what lies in quarantine as plain folders: there is time once the bot is back."""
        for name in self._manager.fold_quarantine(self.id):
            self._report("quarantine_folded", name=name)

    # What it is worth.

    def carry(self) -> dict[int, str]:
        """Return what each generation has proved."""
        return dict(self._proofs)

    def adopt(self, proofs: Mapping[int, str]) -> None:
        """Go on from what `carry` returned."""
        self._proofs = dict(proofs)

    def note_verified(self, generation: int, identity: str, proof: str, seconds: float) -> None:
        """A start was verified; its generation's snapshots are worth as much."""
        self._proofs = {generation: proof}
        self._manager.note_verified(self.id, identity or None, proof, seconds)
        self._manager.mark_proof(self.id, generation, proof)

    def note_proof(self, generation: int, proof: str) -> None:
        """A better proof came later."""
        self._proofs = {generation: proof}
        self._manager.mark_proof(self.id, generation, proof)
