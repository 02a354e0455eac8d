"""What is done when a phase's time is over.

A timeout is never taken for success, and never for a damaged session.
"""

from supervisor.core.effects import EvictSurvivors, Terminate
from supervisor.core.generations import judge
from supervisor.core.limits import KILL_TIMEOUT_S
from supervisor.core.results import snapshot_failed
from supervisor.core.state import After, Phase
from supervisor.core.turn import Turn


def handle(turn: Turn) -> None:
    """Decide."""
    state = turn.state
    if state.deadline is None or turn.now < state.deadline:
        return
    if _extended(turn):
        return
    match state.phase:
        case Phase.CLAIMING | Phase.SWEEPING:
            turn.forget_jobs()
            turn.try_later(f"{state.phase.value} took too long")
        case Phase.CHECKING_SESSION | Phase.RESTORING | Phase.OPERATING:
            turn.set_back(f"{state.phase.value} took too long")
        case Phase.EVICTING if not state.killing:
            turn.set(killing=True)
            turn.go(Phase.EVICTING, KILL_TIMEOUT_S)
            turn.do(EvictSurvivors(turn.new_ticket(), KILL_TIMEOUT_S, kill=True))
        case Phase.EVICTING:
            turn.fail("processes of an earlier supervisor cannot be killed")
        case Phase.STARTING if state.current is not None:
            turn.set(after=After.BACKOFF, why="the process could not be started in time")
            turn.terminate(turn.state.why)
        case Phase.STARTING | Phase.ACTIVATING:
            turn.kill_standby()
            turn.forget_jobs()
            turn.set(after=After.BACKOFF, why="the seat could not be written in time")
            turn.at_rest()
        case Phase.VERIFYING:
            _late(turn)
        case Phase.UP if state.flushing:
            turn.report("checkpoint_missed", generation=state.current)
            turn.flushed()
        case Phase.UP:
            turn.go(Phase.UP)
            if state.held and state.wanted_up:  # a pause keeps it for later
                turn.set(dirty=True) if state.paused else turn.preflight("change")
        case Phase.PREFLIGHT:
            _preflight_late(turn)
        case Phase.STANDBY:
            turn.report("standby_failed", generation=state.standby, why="not ready to take over")
            turn.hold(f"the new code was not ready in {turn.policy.start_timeout_s:g} s")
        case Phase.CHECKPOINTING:
            turn.report("checkpoint_missed", generation=state.current)
            turn.set(flush="done")
            turn.prepare()
        case Phase.SNAPSHOTTING:
            turn.set(copying=None)
            snapshot_failed(turn, "the snapshot took too long")
        case Phase.STOPPING if state.dumping and state.current is not None:
            turn.set(dumping=False)
            turn.go(Phase.STOPPING, turn.policy.stop_timeout_s)
            turn.do(Terminate(state.current))
        case Phase.STOPPING if state.current is not None:
            turn.kill(f"it did not stop in {turn.policy.stop_timeout_s:g} s")
        case Phase.STOPPING:
            turn.kill_again()
        case Phase.KILLING if not state.killing:
            turn.set(killing=True)
            turn.kill_again()
        case Phase.KILLING:
            turn.fail("its processes cannot be killed: they hang in the kernel")
        case Phase.SEALING:
            turn.forget_jobs()
            turn.report("snapshot_failed", why="the seal took too long")
            turn.at_rest()
        case Phase.BACKOFF:
            turn.claim()
        case Phase.REFUSED | Phase.PAIRING | Phase.FAILED | Phase.DOWN:
            turn.go(state.phase)


def _extended(turn: Turn) -> bool:
    """Give a bot the time that it asked for: to start once it is late, and to stop."""
    state = turn.state
    starts = state.phase is Phase.VERIFYING and state.late
    stops = state.phase is Phase.STOPPING and state.current is not None and not state.dumping
    if state.extended_until is None or state.extended_until <= turn.now or not (starts or stops):
        return False
    turn.set(deadline=state.extended_until)
    return True


def _preflight_late(turn: Turn) -> None:
    state = turn.state
    if state.preflight is not None:
        turn.hold("the preflight took too long")
        return
    # Whoever was to say that the source has settled, or that it is our turn, is not heard from.
    turn.set(settling=False)
    if state.compiled:
        turn.set(turn="given")
        turn.prepare()
    else:
        turn.compile()


def _late(turn: Turn) -> None:
    state = turn.state
    if not state.late:
        turn.set(late=True)
        judge(turn, out_of_time=True)
        if turn.state.phase is not Phase.VERIFYING:
            return
        turn.report("late", generation=state.current)
        rest_s = turn.policy.start_timeout_s - turn.policy.restore_timeout_s
        turn.go(Phase.VERIFYING, max(rest_s, 0.0))
        if state.dirty and not state.paused:
            turn.begin_change()
            turn.terminate("not online in time, and the source changed")
    elif state.reported == "offline":
        # The network is to blame, not the bot: it goes on trying, and so do we.
        turn.go(Phase.VERIFYING, turn.policy.start_timeout_s)
    else:
        turn.set(after=After.BACKOFF, why=f"not ready in {turn.policy.start_timeout_s:g} s")
        turn.begin_record("hang")
        turn.terminate(turn.state.why)
