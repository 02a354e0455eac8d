"""The machine: `step(state, event, now, policy) -> (state, effects)`.

Every decision about restarts, backoff, timeouts, verification and the ladder is made below this
function. It is pure and total: no I/O, no clock, and an event that means nothing in a phase
changes nothing. A test searches all its reachable states against invariants written as literals.
"""

from typing import assert_never

from supervisor.core import asked, deadlines, generations, results, unwell
from supervisor.core.effects import Effect
from supervisor.core.events import (
    BotReady,
    CapsDeclared,
    Checkpointed,
    DeadlinePassed,
    Event,
    Exited,
    Extended,
    Hung,
    JobFailed,
    LimitExceeded,
    NothingToRestore,
    OperationDone,
    OperationRequested,
    OwnerBusy,
    OwnerTaken,
    PauseRequested,
    PreflightFailed,
    PreflightPassed,
    ProofGiven,
    Released,
    RestartRequested,
    ResumeRequested,
    Sealed,
    SeatCommitted,
    SessionChecked,
    SessionReported,
    SessionRestored,
    SnapshotRequested,
    SnapshotTaken,
    SourceChanged,
    SourceSettled,
    Spawned,
    SpawnFailed,
    StandbyReached,
    StartRequested,
    StopRequested,
    SurvivorsFound,
    SurvivorsGone,
    TreeGone,
    TurnGiven,
    UndecryptableSeen,
)
from supervisor.core.policy import Policy
from supervisor.core.state import State
from supervisor.core.turn import Turn


def step(
    state: State, event: Event, now: float, policy: Policy
) -> tuple[State, tuple[Effect, ...]]:
    """Return the next state and what is to be done. `now`: seconds of the monotonic clock."""
    if _stale(state, event):
        return state, ()
    turn = Turn(state, now, policy)
    match event:
        case (
            StartRequested()
            | StopRequested()
            | RestartRequested()
            | PauseRequested()
            | ResumeRequested()
            | SnapshotRequested()
            | OperationRequested()
            | SourceChanged()
            | SourceSettled()
        ):
            asked.handle(turn, event)
        case (
            OwnerTaken()
            | OwnerBusy()
            | SurvivorsFound()
            | SurvivorsGone()
            | SessionChecked()
            | SessionRestored()
            | NothingToRestore()
            | OperationDone()
            | SeatCommitted()
            | PreflightPassed()
            | PreflightFailed()
            | TurnGiven()
            | SnapshotTaken()
            | Sealed()
            | JobFailed()
        ):
            results.handle(turn, event)
        case (
            Spawned()
            | SpawnFailed()
            | CapsDeclared()
            | StandbyReached()
            | SessionReported()
            | BotReady()
            | ProofGiven()
            | UndecryptableSeen()
            | Checkpointed()
            | Released()
            | Exited()
            | TreeGone()
        ):
            generations.handle(turn, event)
        case Hung() | LimitExceeded() | Extended():
            unwell.handle(turn, event)
        case DeadlinePassed():
            deadlines.handle(turn)
        case _:
            assert_never(event)
    return turn.state, tuple(turn.effects)


def _stale(state: State, event: Event) -> bool:
    """Return whether the event speaks of a job or a generation that nobody waits for."""
    ticket = getattr(event, "ticket", None)
    if ticket is not None:
        return ticket not in {state.job, state.preflight, state.copying}
    generation = getattr(event, "generation", None)
    if generation is None:
        return False
    known = {state.current, state.standby}
    if isinstance(event, (SpawnFailed, TreeGone)):
        known |= state.doomed
    return generation not in known
