"""What a step collects: changes of the state, and the effects so far. The turn builds on it."""

from dataclasses import replace
from typing import Any

from supervisor.core.effects import Effect, Report, RequestCheckpoint, TakeSnapshot
from supervisor.core.policy import Policy
from supervisor.core.records import Reason, Restart
from supervisor.core.state import PREPARING, Phase, State

# Phases in which a bot may still answer what it was asked for while UP.
_ONLINE = (Phase.UP, Phase.PREFLIGHT, Phase.STANDBY)
# What was prepared for a stop, outside of the phases that prepare one.
_UNPREPARED: dict[str, Any] = {
    "preflight": None,
    "copying": None,
    "compiled": False,
    "turn": "",
    "flush": "",
    "copied_at": None,
}


class Orders:
    """The state as it becomes, and the effects so far."""

    def __init__(self, state: State, now: float, policy: Policy) -> None:
        self.state = state
        self.now = now
        self.policy = policy
        self.effects: list[Effect] = []

    def set(self, **changes: Any) -> None:
        """Change the state."""
        self.state = self.state.but(**changes)

    def do(self, *effects: Effect) -> None:
        """Give orders."""
        self.effects.extend(effects)

    def report(self, event: str, **fields: Any) -> None:
        """Write a line of the journal."""
        self.do(Report(event, tuple(fields.items())))

    def go(self, phase: Phase, within_s: float | None = None) -> None:
        """Be in `phase`, with a deadline if `within_s` is given."""
        if phase not in PREPARING:
            self.set(**_UNPREPARED)
        if phase not in _ONLINE:
            self.set(flushing=())
        if phase is Phase.UP and self.state.flushing:
            within_s = self.policy.checkpoint_timeout_s
        self.set(phase=phase, deadline=None if within_s is None else self.now + within_s)

    def new_ticket(self) -> int:
        """Return the number of the job that the phase waits for from now on."""
        ticket = self.side_ticket()
        self.set(job=ticket)
        return ticket

    def side_ticket(self) -> int:
        """Return the number of a job that runs beside what the phase waits for."""
        self.set(ticket=self.state.ticket + 1)
        return self.state.ticket

    def forget_jobs(self) -> None:
        """Whatever jobs are under way, nobody waits for their results."""
        self.set(job=None, preflight=None, copying=None)

    def mark(self, **instants: Any) -> None:
        """Write into the record of the restart that is under way, if one is."""
        if self.state.restart is not None:
            self.set(restart=replace(self.state.restart, **instants))

    def begin_record(self, reason: Reason, **known: Any) -> None:
        """Open a new record; a gap that is open goes on in it."""
        old = self.state.restart
        since = None if old is None or self.state.ready else old.terminated_at
        self.set(restart=Restart(reason=reason, begun_at=self.now, terminated_at=since, **known))

    def goes_offline(self) -> None:
        """Mark where the gap begins: at the first stop after somebody was online."""
        old = self.state.restart
        if old is None or old.terminated_at is None or self.state.ready:
            self.mark(terminated_at=self.now)

    # Copies of a bot that stays.

    def copy(self, reason: str) -> None:
        """Copy the session of a bot that is online, once it has flushed, if it can do that.

        `reason` "": who asked for it does the rest, once `flushing` is empty. Not asked is a bot
        whose restart waits for a snapshot: that one asks.
        """
        state = self.state
        assert state.current is not None  # noqa: S101 - the machine's own promise
        busy = state.phase is Phase.UP and state.deadline is not None
        if state.flushing:
            self.set(flushing=tuple(dict.fromkeys((*state.flushing, reason))))
        elif state.caps.checkpoint and not busy:
            self.set(flushing=(reason,))
            self.do(RequestCheckpoint(state.current))
            if state.phase is Phase.UP:
                self.go(Phase.UP)
        elif reason:
            self.do(TakeSnapshot(0, reason, state.current))

    def flushed(self) -> None:
        """It has answered, or has had its time: copy what was waited for."""
        state = self.state
        self.set(flushing=())
        if state.phase is Phase.UP:
            self.go(Phase.UP)
        if state.current is not None:
            self.do(
                *(TakeSnapshot(0, reason, state.current) for reason in state.flushing if reason)
            )
