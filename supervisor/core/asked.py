"""What persons and saved files ask for."""

from typing import assert_never

from supervisor.core.effects import RefuseOperation
from supervisor.core.events import (
    Asked,
    OperationRequested,
    PauseRequested,
    RestartRequested,
    ResumeRequested,
    SnapshotRequested,
    SourceChanged,
    SourceSettled,
    StartRequested,
    StopRequested,
)
from supervisor.core.limits import CHANGED_MAX
from supervisor.core.state import After, Phase
from supervisor.core.turn import Turn


def handle(turn: Turn, event: Asked) -> None:
    """Decide."""
    match event:
        case StartRequested():
            _start(turn)
        case StopRequested(hurry):
            _stop(turn, hurry=hurry)
        case RestartRequested():
            _restart(turn)
        case PauseRequested():
            if not turn.state.paused:
                turn.set(paused=True)
                turn.report("paused")
        case ResumeRequested():
            _resume(turn)
        case SnapshotRequested(reason):
            if turn.state.phase is Phase.UP and turn.policy.has_session:
                turn.copy(reason)
        case OperationRequested():
            _operate(turn, event)
        case SourceChanged():
            _source_changed(turn, event)
        case SourceSettled(quiet_at):
            _source_settled(turn, quiet_at)
        case _:
            assert_never(event)


def _start(turn: Turn) -> None:
    idle = turn.state.phase in (Phase.DOWN, Phase.FAILED, Phase.BACKOFF, Phase.REFUSED)
    unasked = turn.state.operation is None and not turn.state.leaving
    called_off = turn.prepares and turn.leaves and unasked
    turn.set(wanted_up=True)
    if called_off:  # the stop was: it becomes a restart
        turn.preflight("change" if turn.state.dirty and not turn.state.paused else "manual")
    elif idle:
        _agree(turn)
        turn.set(attempt=0, crashes=())
        turn.begin_record("start")
        turn.claim()


def _agree(turn: Turn) -> None:
    """Take a start or restart after the question about a foreign session for a yes."""
    if turn.state.phase is Phase.FAILED and turn.state.foreign == "asked":
        turn.set(foreign="agreed")


def _stop(turn: Turn, *, hurry: bool) -> None:
    was_wanted = turn.state.wanted_up
    turn.set(wanted_up=False)
    if turn.state.current is not None and hurry:
        turn.kill_standby()
        if turn.state.phase is not Phase.KILLING:
            turn.set(after=After.RESTART, to_seal=None)
            turn.kill("asked to stop at once")
        return
    match turn.state.phase:
        case Phase.REFUSED | Phase.BACKOFF:
            turn.down()
        case Phase.DOWN:
            if was_wanted:
                turn.down()
        case Phase.FAILED:
            if turn.state.current is None and not turn.state.doomed:
                turn.down()
            else:
                turn.kill_again()
        case Phase.STARTING | Phase.VERIFYING | Phase.PAIRING if turn.state.current is not None:
            turn.terminate("asked to stop")
        case Phase.UP | Phase.PREFLIGHT | Phase.STANDBY | Phase.CHECKPOINTING | Phase.SNAPSHOTTING:
            turn.set(restart=None)
            turn.leave()
        case Phase.STOPPING | Phase.KILLING | Phase.SEALING:
            turn.kill_standby()
        case Phase.ACTIVATING:
            # The seat may be written in the standby's name, but the standby was not told.
            turn.forget_jobs()
            turn.at_rest()
        case _:
            pass  # a job is under way; where it ends, `at_rest` sees that nobody wants it up


def _restart(turn: Turn) -> None:
    state = turn.state
    match state.phase:
        case Phase.UP:
            turn.preflight("manual")
        case Phase.PAIRING:
            turn.begin_record("manual")
            turn.terminate("asked to restart")
        case Phase.VERIFYING if state.late:
            turn.begin_record("manual")
            turn.terminate("asked to restart")
        case Phase.DOWN | Phase.FAILED | Phase.BACKOFF | Phase.REFUSED:
            _agree(turn)
            turn.set(wanted_up=True, attempt=0, crashes=())
            turn.begin_record("manual")
            turn.claim()
        case Phase.STARTING | Phase.VERIFYING:
            turn.set(dirty=True)
        case _:
            pass  # it is being restarted already


def _resume(turn: Turn) -> None:
    if not turn.state.paused:
        return
    turn.set(paused=False)
    turn.report("resumed")
    if not turn.state.dirty:
        return
    if turn.state.phase is Phase.UP:
        turn.preflight("change")
    elif turn.state.phase in (Phase.BACKOFF, Phase.FAILED) or _finished(turn):
        turn.claim_changed()


def _operate(turn: Turn, event: OperationRequested) -> None:
    state = turn.state
    if state.operation is not None:
        turn.do(RefuseOperation(event.operation, "another one is waiting to be done"))
        return
    if state.phase is Phase.KILLING and state.killing:
        turn.do(RefuseOperation(event.operation, "the bot cannot be stopped"))
        return
    turn.set(operation=event.operation)
    match state.phase:
        case Phase.DOWN | Phase.FAILED | Phase.BACKOFF | Phase.REFUSED:
            if state.wanted_up:
                turn.begin_record("manual")
            turn.claim()
        case Phase.UP | Phase.PREFLIGHT | Phase.STANDBY | Phase.CHECKPOINTING | Phase.SNAPSHOTTING:
            turn.begin_record("manual")
            turn.leave()
        case Phase.STOPPING | Phase.SEALING:
            turn.kill_standby()
        case Phase.STARTING | Phase.VERIFYING | Phase.PAIRING if state.current is not None:
            turn.begin_record("manual")
            turn.terminate("the session is about to be changed")
        case Phase.ACTIVATING:
            turn.forget_jobs()
            turn.at_rest()
        case _:
            pass  # `at_rest` comes to it


def _source_changed(turn: Turn, event: SourceChanged) -> None:
    state = turn.state
    paths = tuple(dict.fromkeys((*state.changed, *event.paths)))[:CHANGED_MAX]
    # What is collected in a pause is late because a person wanted it so.
    saw = None if state.paused else state.saw or event
    turn.set(dirty=True, changed=paths, saw=saw, settling=event.quiet_at is None)
    turn.report("changed", paths=list(event.paths))
    match state.phase:
        case Phase.UP if not state.paused:
            turn.preflight("change")
        case Phase.PREFLIGHT | Phase.STANDBY | Phase.CHECKPOINTING | Phase.SNAPSHOTTING:
            # A standby never outlives the source that it was started from.
            turn.kill_standby()
            if turn.leaves:
                return
            turn.settle_up() if state.paused else turn.preflight("change")
        case Phase.STOPPING | Phase.KILLING | Phase.SEALING:
            turn.kill_standby()
        case Phase.ACTIVATING:
            turn.kill_standby()
            turn.forget_jobs()
            turn.at_rest()
        case Phase.CHECKING_SESSION | Phase.RESTORING | Phase.OPERATING:
            turn.kill_standby()
        case Phase.VERIFYING if state.late and not state.paused:
            # It does not come up by itself; the new code may be the cure.
            turn.begin_change()
            turn.terminate("not online in time, and the source changed")
        case Phase.BACKOFF | Phase.FAILED if not state.paused:
            turn.begin_change()
            turn.claim()
        case Phase.DOWN if _finished(turn) and not state.paused:
            turn.begin_change()
            turn.claim()
        case _:
            pass  # remembered in `dirty`


def _source_settled(turn: Turn, quiet_at: float) -> None:
    state = turn.state
    if not state.settling:
        return
    turn.set(settling=False)
    if turn.prepares:
        turn.mark(quiet_at=quiet_at)
        # What did not compile may have been read half written.
        again = not state.compiled and state.preflight is None and not turn.leaves
        turn.compile() if again else turn.prepare()


def _finished(turn: Turn) -> bool:
    """Return whether the bot ended by itself, and the policy left it so."""
    return turn.state.phase is Phase.DOWN and turn.state.wanted_up
