"""What comes before a stop in good order. All of it can be called off; the stop can't.

For a restart the new code is compiled first. Then its standby starts, the old generation flushes
and the session is copied, side by side and while the last save may still be going on. The phase
says what is waited for, in this order: the code (PREFLIGHT), the standby (STANDBY), the flush
(CHECKPOINTING), the copy (SNAPSHOTTING). Once nothing is, the old generation is told to stop.
"""

from typing import Literal

from supervisor.core.effects import (
    RequestCheckpoint,
    RunPreflight,
    SpawnStandby,
    TakeSnapshot,
    TakeTurn,
)
from supervisor.core.limits import COPY_FRESH_S, JOB_TIMEOUT_S
from supervisor.core.state import PREPARING, Caps, Phase
from supervisor.core.stopping import Stopping


class Preparing(Stopping):
    """Prepares the stop of a generation that is up."""

    # Beginning.

    def preflight(self, reason: Literal["change", "manual", "limit"]) -> None:
        """Begin a restart: first see whether the new code can start at all.

        For a change that came during one: what is not about the code stays done.
        """
        if reason == "change":
            self.begin_change()
        else:
            self.begin_record(reason, changed=self.state.changed, detected_at=self.now)
        self.set(dirty=False, held="")
        self.compile()

    def begin_change(self) -> None:
        """Open the record of a change: from its first save that nothing runs yet."""
        saw = self.state.saw
        known = (
            {"detected_at": self.now}
            if saw is None
            else {
                "saved_at": saw.saved_at,
                "detected_at": saw.detected_at,
                "quiet_at": saw.quiet_at,
            }
        )
        self.begin_record("change", changed=self.state.changed, **known)

    def compile(self) -> None:
        """Look at the code as it is now."""
        self.go(Phase.PREFLIGHT, JOB_TIMEOUT_S)
        self.set(compiled=False, preflight=self.side_ticket())
        self.do(RunPreflight(self.state.ticket, self.state.changed))

    def leave(self) -> None:
        """Begin to stop a generation that is up, in good order, or go on with it."""
        self.kill_standby()
        self.set(preflight=None)
        self.prepare()

    # Going on.

    def prepare(self) -> None:
        """Begin what can begin now, and see what is still to come."""
        if self.leaves or self._has_turn():
            # First what takes the bot a moment and us none; last what takes all our time.
            self._flush()
            if not self.leaves:
                self._stand_by()
            self._copy()
        missing = self._missing()
        if missing is None:
            self.terminate()
        elif missing[0] is not self.state.phase:
            self.go(*missing)

    @property
    def leaves(self) -> bool:
        """Whether it stops without a successor being ready."""
        state = self.state
        return not state.wanted_up or state.operation is not None or bool(state.leaving)

    def _has_turn(self) -> bool:
        if self.state.compiled and not self.state.turn:
            self.set(turn="asked")
            self.do(TakeTurn())
        return self.state.compiled and self.state.turn == "given"

    @property
    def stands_by(self) -> bool:
        """Whether the new generation of this restart is to wait beside the old one."""
        state = self.state
        able = state.caps.standby and state.verified and self.policy.standby in ("auto", "bot")
        return able and not state.cold_once

    def _stand_by(self) -> None:
        """Start the new generation beside the old one: never a third beside two."""
        state = self.state
        if self.stands_by and state.standby is None and not state.doomed:
            generation = state.generation + 1
            self.set(generation=generation, standby=generation)
            self.set(standby_waits=False, standby_caps=Caps())
            self.do(SpawnStandby(generation, state.changed))

    def _flush(self) -> None:
        """Ask the old generation to flush, if it can."""
        state = self.state
        stale = state.copied_at is not None and self.now - state.copied_at > COPY_FRESH_S
        if stale and state.copying is None:
            self.set(flush="", copied_at=None)  # much was waited for since: once more
        if self.state.flush:
            return
        assert state.current is not None  # noqa: S101 - the machine's own promise
        if state.caps.checkpoint and state.verified and state.leaving != "hang":
            self.set(flush="asked", flushing=())  # who waits for a copy gets this one
            self.do(RequestCheckpoint(state.current))
        else:
            self.set(flush="done")

    def _copy(self) -> None:
        """Copy the session while the old generation still runs, if it is worth it."""
        state = self.state
        if state.flush != "done" or state.copying is not None or state.copied_at is not None:
            return
        assert state.current is not None  # noqa: S101 - the machine's own promise
        if self.policy.has_session and state.verified:
            self.set(copying=self.side_ticket())
            self.do(TakeSnapshot(self.state.ticket, "stop", state.current))
        else:
            self.set(copied_at=self.now)

    def _missing(self) -> tuple[Phase, float] | None:
        """Return what has to come before the stop, and how long it may take."""
        state = self.state
        if not self.leaves:
            if not state.compiled or state.settling or state.turn != "given":
                return Phase.PREFLIGHT, JOB_TIMEOUT_S
            if self.stands_by and not state.standby_waits:
                return Phase.STANDBY, self.policy.start_timeout_s
        if state.flush != "done":
            return Phase.CHECKPOINTING, self.policy.checkpoint_timeout_s
        if state.copied_at is None:
            return Phase.SNAPSHOTTING, self.policy.snapshot_timeout_s
        return None

    @property
    def prepares(self) -> bool:
        """Whether a stop is being prepared."""
        return self.state.phase in PREPARING
