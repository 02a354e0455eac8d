"""What the core and persons order about one bot's session: check, bring back, change, note.

Methods with a `ticket` run in the session's thread and return the event that answers it.
"""

import asyncio
import time
from dataclasses import asdict
from typing import Any, Literal, Unpack

from supervisor.config import BotConfig, Config
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.loop.copier import Copier
from supervisor.loop.owner import Given
from supervisor.session.leftovers import clear_leftovers
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore, Restored
from supervisor.session.state import Record

# A file that is written in place is whole again within milliseconds.
_ASKED_AGAIN_S = 0.25
_LOOK_S = 0.01


class SessionWork(Copier):
    """One bot's session; of a companion only the lock. See Owner for the arguments."""

    def __init__(
        self, config: Config, bot: BotConfig, manager: SessionManager, **given: Unpack[Given]
    ) -> None:
        super().__init__(config, bot, manager, **given)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._asks = 0

    # Check and restore.

    def check(self, ticket: int, *, full: bool) -> ev.Event:
        """Look at the live session; nobody has it now, so what a browser left locked is freed."""
        if cleared := [] if self._names else clear_leftovers(self.folder):
            self._report("leftovers_cleared", what=cleared)
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
        if full and check.verdict == "passed":
            self._tell_away()
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
        self._report_restored(restored)
        return ev.SessionRestored(ticket)

    def whose(self) -> str:
        """Return whose device the live session is by its files; "" where they do not say.

        Its bot runs, and may be about to write the very file that says it: where that was said
        before, it is asked again for a moment.
        """
        if not self.id:
            return ""
        until = time.monotonic() + _ASKED_AGAIN_S
        while not (identity := self._manager.identity_at_rest(self.id)):
            known = self._manager.record(self.id).identity
            if not known or time.monotonic() > until:
                break
            time.sleep(_LOOK_S)
        return identity or ""

    def _report_restored(self, restored: Restored) -> None:
        if restored.flaw:
            self._report("session_flawed", why=restored.flaw)
            return
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
            self._manager.make_folder(self.id)

    def record(self) -> Record | None:
        """Return the session's durable record; None for a companion."""
        return self._manager.record(self.id) if self.id else None
