"""What the core orders about the session, its lock and its snapshots: each a job's work.

Methods with a `ticket` run in the session's thread and return the event that answers it.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from supervisor.config import BotConfig, Config
from supervisor.core import events as ev
from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.loop.jobs import Jobs
from supervisor.process import survivors
from supervisor.process.freezer import frozen
from supervisor.session.copying.capture import Capture
from supervisor.session.copying.hot import mapped
from supervisor.session.epochs import stronger
from supervisor.session.lock import OwnerLock
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToCopy, NothingToRestore, Restored, Snapshot
from supervisor.session.state import Record


class SessionWork:
    """One bot's session; of a companion only the lock. `members(generation)`: its live pids."""

    def __init__(
        self,
        config: Config,
        bot: BotConfig,
        manager: SessionManager,
        *,
        control: str,
        jobs: Jobs,
        report: Callable[..., None],
        members: Callable[[int], list[int]],
    ) -> None:
        self.id = bot.session or ""
        self._manager = manager
        self._control = control
        self._jobs = jobs
        self._tell = report
        self._members = members
        self._freeze_s = bot.snapshots.freeze_timeout_ms / 1000
        if self.id:
            self.folder = manager.folder(self.id)
            self.lock = manager.lock_for(self.id)
        else:
            self.folder = bot.cwd
            self.lock = OwnerLock(config.sessions, f"companion-{bot.name}")
        place = str(self.lock.path.absolute()).encode()
        self.token_prefix = blake2b(place, digest_size=8).hexdigest()
        self._seals: list[Capture] = []
        self._unvalidated: list[str] = []
        self._proofs: dict[int, str] = {}
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._asks = 0

    # The lock, and who else may be there.

    def claim(self, ticket: int) -> ev.Event:
        """Take byte 0."""
        try:
            self.lock.acquire(control=self._control)
        except SessionBusy as error:
            return ev.OwnerBusy(ticket, error.pid)
        newest = self._manager.record(self.id).generation if self.id else 0
        return ev.OwnerTaken(ticket, max(newest, *self.lock.survivors(), 0))

    def release(self) -> None:
        """Write down that nobody has the seat, and give byte 0 back."""
        if self.lock.held:
            if self.id:
                self._manager.set_seat(self.id, None)
            self.lock.release()

    def find_survivors(self, ticket: int) -> ev.Event:
        """Look for what an earlier supervisor left: by the lock's bytes and by the token."""
        pids, generations = self._survivors()
        if pids:
            alive = [pid for pid in pids if pid]
            self._report("survivors_found", pids=alive, generations=generations)
        return ev.SurvivorsFound(ticket, tuple(pids))

    def report_conflict(self, **fields: Any) -> None:
        """Say that another copy of the device is online, and who on this machine it may be."""
        self._report("conflict", pids=survivors.copies(self.folder), **fields)

    async def evict(
        self, ticket: int, post: Callable[[ev.Event], None], *, within_s: float, kill: bool
    ) -> None:
        """End them; after `within_s` the core has given up, and nobody looks for them any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await survivors.evict(lambda: self._survivors()[0], kill=kill)
            self._tell("survivors_gone")
            post(ev.SurvivorsGone(ticket))

    def _survivors(self) -> tuple[list[int], list[int]]:
        """Return pids and generations. A held byte with nobody to be seen counts as pid 0."""
        held = list(self.lock.survivors())
        pids = survivors.find(self.token_prefix, held, self.lock.path)
        return (pids or [0] * len(held)), held

    # Check and restore.

    def check(self, ticket: int, *, full: bool) -> ev.Event:
        """Look at the live session."""
        check = self._manager.check(self.id, full=full)
        record = self._manager.record(self.id)
        self._report(
            "session_checked",
            verdict=check.verdict,
            why=check.why,
            identity=check.identity,
            files=check.files,
            size_bytes=check.size_bytes,
            epoch=record.epoch,
            linked=check.linked,
            snapshots=len(self._manager.snapshots(self.id)) if full else None,
        )
        return ev.SessionChecked(
            ticket,
            check.verdict,
            linked=check.linked,
            foreign=check.foreign,
            identity=record.identity or "",
            why=check.why,
        )

    def restore(self, ticket: int, *, because: Literal["damaged", "pairing"]) -> ev.Event:
        """Bring a proven snapshot back."""
        try:
            restored = self._manager.restore(self.id, because=because)
        except NothingToRestore as error:
            older = list(error.older)
            self._report("nothing_to_restore", why=error.message, hint=error.hint, older=older)
            return ev.NothingToRestore(ticket, error.message, older=bool(older))
        if restored.flaw:
            self._report("session_flawed", why=restored.flaw)
        else:
            self._report_restored(restored)
        return ev.SessionRestored(ticket)

    def _report_restored(self, restored: Restored) -> None:
        snapshot = restored.snapshot
        self._report(
            "session_restored",
            action=restored.action,
            snapshot=None if snapshot is None else snapshot.id,
            age_s=restored.age_s,
            duration_s=restored.duration_s,
            quarantined=restored.quarantined,
        )

    # What persons ask for.

    def ask(
        self, kind: Literal["clear", "restore"], snapshot: str | None
    ) -> tuple[ev.Operation, asyncio.Future[Any]]:
        """Return an operation to post, and what will hold its outcome."""
        self._asks += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[self._asks] = future
        return ev.Operation(kind, self._asks, snapshot), future

    def pin(self, name: str) -> str:
        """Keep a snapshot until the operation on it is settled: the stop before takes new ones.

        Returns its id. Raises: SupervisorError, with the ones there are.
        """
        return self._manager.pin(self.id, name)

    def settle(self, operation: ev.Operation, outcome: Any) -> None:
        """Tell who asked for the operation what came of it."""
        if operation.snapshot is not None:
            self._manager.unpin(operation.snapshot)
        future = self._asked.pop(operation.id, None)
        if future is None or future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def operate(self, ticket: int, *, operation: ev.Operation) -> ev.Event:
        """Change the session at rest. A refusal is told to who asked, and ends there."""
        try:
            outcome: Any = self._change(operation)
        except Exception as error:
            self._jobs.soon(self.settle, operation, error)  # else who asked would wait for ever
            if operation.id and isinstance(error, SupervisorError):
                return ev.OperationDone(ticket)
            raise
        self._jobs.soon(self.settle, operation, outcome)
        return ev.OperationDone(ticket)

    def _change(self, operation: ev.Operation) -> dict[str, Any]:
        if operation.kind == "restore":
            # What a person named; else only if the live session does not pass its check.
            if operation.snapshot is None:
                restored = self._manager.restore(self.id)
            else:
                restored = self._manager.restore_from_backup(self.id, operation.snapshot)
            self._report_restored(restored)
            return asdict(restored)
        if operation.kind == "clear":
            cleared = {"quarantined": self._manager.clear(self.id)}
            self._report("session_cleared", **cleared)
            return cleared
        quarantined = self._manager.close_epoch(self.id, operation.why)
        self._report("epoch_closed", why=operation.why, quarantined=quarantined)
        return {"quarantined": quarantined}

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

    def locked(self) -> AbstractContextManager[object]:
        """Hold byte 0 meanwhile: the bot may be down, or the session another process's."""
        return nullcontext() if self.lock.held else self.lock

    def record(self) -> Record | None:
        """Return the session's durable record; None for a companion."""
        return self._manager.record(self.id) if self.id else None

    # Snapshots.

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
        return ev.SnapshotTaken(ticket) if ticket else None

    def _hot(self, reason: str, generation: int, *, validate: bool) -> dict[str, Any]:
        members = partial(self._members, generation)
        before = self._manager.precapture(self.id, mapped(members()))
        same = self._manager.unchanged(self.id, before)
        proof = self._proofs.get(generation, "")
        if same is not None and same.verdict == "good" and not stronger(proof, same.proof):
            before.spool.close()
            return self._tell_taken(same, frozen_s=0.0)
        with frozen(members, self._freeze_s) as freeze:
            capture = self._manager.capture(
                self.id,
                reason=reason,
                generation=generation,
                hot=True,
                pre=before,
                frozen=freeze.whole,
            )
        if not freeze.whole:
            self._manager.blur(capture, f"the bot was not held still: {freeze.why}")
        return self._commit(capture, validate=validate, frozen_s=round(freeze.frozen_s, 6))

    def _commit(
        self, capture: Capture, *, validate: bool = False, **measured: float
    ) -> dict[str, Any]:
        proof = self._proofs.get(capture.generation, "")
        snapshot = self._manager.commit(capture, proof, validate=validate)
        if snapshot.verdict == "pending":
            self._unvalidated.append(snapshot.id)
        if not capture.hot:
            self._report("sealed", snapshot=snapshot.as_json())
            return snapshot.as_json()
        return self._tell_taken(snapshot, **measured)

    def _tell_taken(self, snapshot: Snapshot, **measured: float) -> dict[str, Any]:
        self._report("snapshot_taken", snapshot=snapshot.as_json(), **measured)
        return snapshot.as_json()

    def seal(self, ticket: int, *, generation: int) -> ev.Event:
        """Capture the session at rest, and see whether anything of it is missing or torn."""
        with suppress(NothingToCopy):
            self._seals.append(
                self._manager.capture(self.id, reason="sealed", generation=generation, hot=False)
            )
        check = self._manager.check(self.id, quick=True)
        return ev.Sealed(ticket, intact=check.verdict == "passed")

    def commit_seals(self) -> None:
        """Commit what was captured: it is safe in a copy, so this may wait for the hand-over."""
        while self._seals:
            capture = self._seals.pop(0)
            try:
                self._commit(capture)
            except SupervisorError as error:
                self._report("snapshot_failed", why=error.message, hint=error.hint)

    def validate(self) -> None:
        """Give the snapshots of the last hand-over their verdicts."""
        while self._unvalidated:
            name = self._unvalidated.pop(0)
            if all(there.id != name for there in self._manager.snapshots(self.id)):
                continue  # pruned meanwhile
            try:
                snapshot = self._manager.validate(self.id, name)
            except SupervisorError as error:
                self._report("snapshot_unjudged", snapshot=name, why=error.message, hint=error.hint)
                continue
            if snapshot.verdict != "good":
                self._report("snapshot_judged", snapshot=snapshot.as_json())

    def fold(self) -> None:
        """Store what lies in quarantine as plain folders: there is time once the bot is back."""
        for name in self._manager.fold_quarantine(self.id):
            self._report("quarantine_folded", name=name)

    # Notes.

    def commit_seat(self, ticket: int, *, generation: int) -> ev.Event:
        """Write down who may write the session from now on."""
        if self.id:
            self._manager.set_seat(self.id, generation)
            for aside in self._manager.kept_aside():
                self._report("state_rebuilt", aside=str(aside))
        return ev.SeatCommitted(ticket)

    def note_linked(self, identity: str) -> None:
        """A device was paired."""
        self._manager.note_linked(self.id, identity or None)

    def note_verified(self, generation: int, identity: str, proof: str, seconds: float) -> None:
        """A start was verified; its generation's snapshots are worth as much."""
        self._proofs = {generation: proof}
        self._manager.note_verified(self.id, identity or None, proof, seconds)
        self._manager.mark_proof(self.id, generation, proof)

    def note_proof(self, generation: int, proof: str) -> None:
        """A better proof came later."""
        self._proofs = {generation: proof}
        self._manager.mark_proof(self.id, generation, proof)

    def note_state(self, state: str) -> None:
        """Keep the bot's last word about its session."""
        if self.id:
            self._manager.note_state(self.id, state)

    def note_qr(self) -> None:
        """A QR code was shown."""
        self._manager.note_qr(self.id)

    def prepare_folder(self) -> None:
        """Make the session's folder, for nobody else to look into."""
        if self.id:
            Path(self.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            Path(self.folder).chmod(0o700)

    def _report(self, event: str, **fields: Any) -> None:
        self._jobs.soon(self._tell, event, **fields)
