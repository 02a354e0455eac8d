"""What came of the jobs. A result arrives only while its job is the one waited for."""

from supervisor.core.effects import Activate, EvictSurvivors, SpawnCold
from supervisor.core.events import (
    JobFailed,
    NothingToRestore,
    Operation,
    OperationDone,
    OwnerBusy,
    OwnerTaken,
    PreflightFailed,
    PreflightPassed,
    Result,
    Sealed,
    SeatCommitted,
    SessionChecked,
    SessionRestored,
    SnapshotTaken,
    SurvivorsFound,
    SurvivorsGone,
    TurnGiven,
)
from supervisor.core.limits import HELD_RETRY_S, NO_SNAPSHOT
from supervisor.core.state import After, Caps, Phase
from supervisor.core.turn import Turn


def handle(turn: Turn, event: Result) -> None:
    """Decide."""
    phase = turn.state.phase
    match event:
        case TurnGiven():
            if turn.state.turn == "asked":
                turn.set(turn="given")
                turn.prepare()
        case PreflightPassed():
            turn.set(preflight=None, compiled=True)
            turn.mark(preflight_at=turn.now)
            turn.prepare()
        case PreflightFailed(errors=errors):
            turn.set(preflight=None)
            if not turn.state.settling:  # else it may be half written, and is looked at again
                turn.report("preflight_failed", errors=list(errors))
                turn.hold("it does not compile")
        case SnapshotTaken():
            turn.set(copying=None, copied_at=turn.now)
            turn.mark(snapshot_at=turn.now)
            turn.prepare()
        case JobFailed(ticket=ticket, why=why) if ticket == turn.state.preflight:
            turn.hold(why)
        case JobFailed(ticket=ticket, why=why) if ticket == turn.state.copying:
            turn.set(copying=None)
            snapshot_failed(turn, why)
        case _:
            turn.set(job=None)
            _of_the_phase(turn, event, phase)


def _of_the_phase(turn: Turn, event: Result, phase: Phase) -> None:
    """Decide what comes of the job that the phase waits for."""
    match event:
        case OwnerTaken(generation=generation) if phase is Phase.CLAIMING:
            turn.set(generation=max(generation, turn.state.generation))
            turn.report("claimed")
            turn.sweep()
        case OwnerBusy(pid=pid) if phase is Phase.CLAIMING:
            turn.report("refused", pid=pid)
            turn.set(why=f"the session is in use by pid {pid}")
            turn.drop_operation(turn.state.why)
            turn.go(Phase.REFUSED) if turn.state.wanted_up else turn.down()
        case SurvivorsFound(pids=pids) if phase is Phase.SWEEPING:
            if pids:
                turn.go(Phase.EVICTING, turn.policy.stop_timeout_s)
                turn.do(EvictSurvivors(turn.new_ticket(), turn.policy.stop_timeout_s))
            else:
                turn.at_rest()
        case SurvivorsGone() if phase is Phase.EVICTING:
            turn.set(killing=False)
            turn.at_rest()
        case SessionChecked() if phase is Phase.CHECKING_SESSION:
            _checked(turn, event)
        case SessionRestored() if phase is Phase.RESTORING:
            turn.set(stranger=False)
            _ready_to_start(turn)
        case NothingToRestore(why=why, older=True) if phase is Phase.RESTORING:
            turn.give_up(why)
        case NothingToRestore(why=why) if phase is Phase.RESTORING:
            # The link is lost for good; the damaged session is kept aside, not overwritten.
            turn.set(linked=False, known_identity="", stranger=False)
            turn.operate(Operation("close", why=why))
        case OperationDone() if phase is Phase.OPERATING:
            turn.at_rest()
        case SeatCommitted() if phase in (Phase.STARTING, Phase.ACTIVATING):
            _seated(turn)
        case Sealed(intact=intact) if phase is Phase.SEALING:
            turn.mark(sealed_at=turn.now)
            turn.set(clean=intact)
            idle = turn.state.standby is not None and not turn.state.standby_waits
            if intact and not idle and _hands_over(turn):
                turn.start()
            else:
                turn.at_rest()
        case JobFailed(why=why):
            _failed(turn, why)
        case _:
            pass


def _hands_over(turn: Turn) -> bool:
    state = turn.state
    calm = state.operation is None and state.wanted_up and not state.doomed
    return calm and state.after is After.RESTART


def _checked(turn: Turn, event: SessionChecked) -> None:
    turn.set(linked=event.linked, known_identity=event.identity, stranger=event.foreign)
    if event.foreign:
        asks = turn.policy.on_change and turn.state.foreign != "agreed"
        turn.report("foreign_session", instead_of=event.identity, asks=asks)
        if asks:
            turn.set(foreign="asked")
            turn.give_up("the session is another device's than before")
            return
    if event.verdict == "damaged" or (event.verdict == "absent" and event.linked):
        turn.kill_standby()
        calm = turn.state.wanted_up and turn.state.operation is None
        if calm and not turn.state.doomed:
            turn.restore("damaged")
        else:
            turn.set(clean=False)
            turn.at_rest()
    else:
        _ready_to_start(turn)


def _ready_to_start(turn: Turn) -> None:
    if turn.state.wanted_up and turn.state.operation is None and not turn.state.doomed:
        turn.start()
    else:
        turn.at_rest()


def _seated(turn: Turn) -> None:
    state = turn.state
    if state.phase is Phase.ACTIVATING:
        assert state.standby is not None  # noqa: S101 - the machine's own promise
        turn.set(
            current=state.standby,
            seat=state.standby,
            caps=state.standby_caps,
            standby=None,
            standby_waits=False,
            standby_caps=Caps(),
            changed=(),
            saw=None,
        )
        turn.do(Activate(state.standby))
        turn.report("activated", generation=state.standby)
        turn.mark(activated_at=turn.now, mode="standby", generation=state.standby)
        turn.go(Phase.VERIFYING, turn.policy.restore_timeout_s)
        return
    if not state.wanted_up or state.operation is not None:
        turn.at_rest()
        return
    turn.set(current=state.generation, seat=state.generation)
    turn.set(dirty=False, settling=False, changed=(), saw=None)
    turn.mark(mode="cold", generation=state.generation)
    turn.go(Phase.STARTING, turn.policy.start_timeout_s)
    turn.do(SpawnCold(state.generation, state.changed))


def _failed(turn: Turn, why: str) -> None:
    state = turn.state
    match state.phase:
        case Phase.CLAIMING | Phase.SWEEPING:
            turn.try_later(why)
        case Phase.EVICTING:
            turn.fail(why)
        case Phase.CHECKING_SESSION | Phase.RESTORING:
            turn.set_back(why)
        case Phase.OPERATING:
            turn.report("operation_failed", why=why)
            turn.set_back(why)
        case Phase.STARTING | Phase.ACTIVATING:
            turn.kill_standby()
            turn.set(why=why, after=After.BACKOFF)
            turn.at_rest()
        case Phase.SEALING:
            turn.report("snapshot_failed", why=why)
            turn.at_rest()
        case _:
            pass


def snapshot_failed(turn: Turn, why: str) -> None:
    """Without a snapshot no restart; but who wants to stop may stop."""
    turn.report("snapshot_failed", why=why)
    if not turn.leaves:
        turn.hold(NO_SNAPSHOT)
        if turn.state.phase is Phase.UP:
            turn.go(Phase.UP, HELD_RETRY_S)
    else:
        turn.terminate()
