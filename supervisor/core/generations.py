"""What the processes did and said: the standby's facts, the seat holder's facts, and ends."""

from dataclasses import replace
from typing import assert_never

from supervisor.core.effects import (
    Kill,
    NoteLinked,
    NoteProof,
    NoteQr,
    NoteState,
    Terminate,
)
from supervisor.core.events import (
    BotReady,
    CapsDeclared,
    Checkpointed,
    Exited,
    ProofGiven,
    Released,
    SessionReported,
    Spawned,
    SpawnFailed,
    StandbyReached,
    TreeGone,
    UndecryptableSeen,
)
from supervisor.core.state import PREPARING, After, Caps, Phase
from supervisor.core.turn import Turn

Fact = (
    Spawned
    | SpawnFailed
    | CapsDeclared
    | StandbyReached
    | SessionReported
    | BotReady
    | ProofGiven
    | UndecryptableSeen
    | Checkpointed
    | Released
    | Exited
    | TreeGone
)

# The phases in which the seat's holder runs and nobody has told it to stop.
RUNNING = (
    Phase.STARTING,
    Phase.VERIFYING,
    Phase.PAIRING,
    Phase.UP,
    *PREPARING,
)


def handle(turn: Turn, event: Fact) -> None:
    """Decide."""
    is_standby = event.generation == turn.state.standby
    ends = isinstance(event, (Exited, TreeGone, Released, SpawnFailed))
    if not ends and not is_standby and turn.state.phase not in RUNNING:
        return  # it is on its way out: what it says now decides nothing
    match event:
        case TreeGone():
            _tree_gone(turn, event.generation)
        case Spawned(spare=spare):
            if is_standby:
                turn.mark(spare=spare)
            elif turn.state.phase is Phase.STARTING:
                turn.mark(activated_at=turn.now, mode="warm" if spare else "cold", spare=spare)
                turn.go(Phase.VERIFYING, turn.policy.restore_timeout_s)
        case SpawnFailed(why=why):
            if is_standby:
                turn.forget_standby()  # no process, so none to kill and none whose end would come
                _standby_failed(turn, event.generation, why)
            elif event.generation in turn.state.doomed:
                _tree_gone(turn, event.generation)
            else:
                _spawn_failed(turn, why)
        case CapsDeclared():
            caps = Caps(event.standby, event.checkpoint, event.roundtrip)
            turn.set(standby_caps=caps) if is_standby else turn.set(caps=caps)
        case StandbyReached():
            if is_standby and turn.prepares and not turn.state.standby_waits:
                turn.set(standby_waits=True)
                turn.mark(standby_at=turn.now)
                turn.report("standby_waiting", generation=event.generation)
                turn.prepare()
        case SessionReported():
            _trespass(turn, event.state) if is_standby else _session(turn, event)
        case BotReady():
            _trespass(turn, "ready") if is_standby else _ready(turn)
        case ProofGiven():
            _trespass(turn, "proof") if is_standby else _proof(turn, event.proof)
        case UndecryptableSeen():
            if not is_standby and event.count > 0:
                # It heard what it cannot open: a round trip will not come.
                turn.set(caps=replace(turn.state.caps, roundtrip=False))
                turn.report("undecryptable", generation=event.generation, count=event.count)
                judge(turn)
        case Checkpointed():
            if turn.state.flush == "asked" and not is_standby:
                turn.mark(checkpoint_at=turn.now)
                turn.set(flush="done")
                turn.prepare()
            elif turn.state.flushing and not is_standby:
                turn.flushed()
        case Released():
            if turn.state.phase is Phase.STOPPING and not is_standby:
                turn.do(Kill(event.generation))
        case Exited():
            _standby_exited(turn, event) if is_standby else _exited(turn, event.status)
        case _:
            assert_never(event)


# The standby.


def _standby_exited(turn: Turn, event: Exited) -> None:
    ending = _ending(event.status)
    why = f"the new generation ended before its activation ({ending})"
    _standby_failed(turn, event.generation, why)


def _standby_failed(turn: Turn, generation: int, why: str) -> None:
    phase = turn.state.phase
    turn.kill_standby()
    turn.report("standby_failed", generation=generation, why=why)
    if phase in PREPARING:
        if not turn.leaves:
            turn.hold("the new code does not start")
    elif phase is Phase.ACTIVATING:
        turn.forget_jobs()
        turn.at_rest()


def _trespass(turn: Turn, did: str) -> None:
    """A standby touched the network or the session before it was told to: never again."""
    generation = turn.state.standby
    phase = turn.state.phase
    turn.kill_standby()
    turn.set(cold_once=True)
    turn.report("trespass", generation=generation, did=did)
    if phase in PREPARING:
        turn.prepare()
    elif phase is Phase.ACTIVATING:
        turn.forget_jobs()
        turn.at_rest()


# The seat's holder.


def _spawn_failed(turn: Turn, why: str) -> None:
    turn.set(current=None, seat=None)
    turn.report("spawn_failed", why=why)
    if turn.policy.on_change:
        turn.set(after=After.FAIL, why=why)
    else:
        turn.set(after=After.BACKOFF, why=why)
    turn.at_rest()


def _ready(turn: Turn) -> None:
    if not turn.state.ready:
        turn.set(ready=True)
        turn.mark(ready_at=turn.now)
        turn.report("ready", generation=turn.state.current)
    judge(turn)


def _proof(turn: Turn, proof: str) -> None:
    late = turn.state.verified and turn.state.proof != proof
    turn.set(proof=proof)
    if late and turn.state.current is not None and turn.policy.has_session:
        turn.do(NoteProof(turn.state.current, proof))
    judge(turn)


def judge(turn: Turn, *, out_of_time: bool = False) -> None:
    """Verify: ready, the identity it had, no QR, and the best proof that this bot can give."""
    state = turn.state
    if state.phase is not Phase.VERIFYING or not state.ready:
        return
    if state.proof:
        turn.up(state.proof)
    elif not state.reported or not state.identity:
        turn.up("ready")
    elif state.reported in ("restored", "linked") and (out_of_time or not state.caps.roundtrip):
        turn.up("identity")


def _session(turn: Turn, event: SessionReported) -> None:
    state = turn.state
    if not turn.policy.has_session:
        return
    if event.state != state.reported or (event.identity and event.identity != state.identity):
        turn.report(
            "session_state",
            generation=event.generation,
            state=event.state,
            identity=event.identity,
            reason=event.reason,
        )
    turn.set(reported=event.state, identity=event.identity or state.identity)
    turn.do(NoteState(event.state))
    match event.state:
        case "restored" | "linked":
            _online(turn, event)
        case "pairing":
            _pairing(turn)
        case "lost":
            _lost(turn, event.reason)
        case "conflict":
            _conflict(turn, event.reason)
        case "offline":
            turn.report("offline", generation=event.generation)
        case "connecting":
            pass
        case _:
            assert_never(event.state)


def _online(turn: Turn, event: SessionReported) -> None:
    state = turn.state
    if state.verified:
        return  # said again; who it is was settled when it was verified
    identity = state.identity
    known = state.known_identity if state.linked else ""
    if event.state == "linked" and state.fresh_link != "paired":
        turn.do(NoteLinked(identity))
        turn.report("linked", generation=event.generation, identity=identity)
        turn.set(fresh_link="paired", stranger=False)
    elif not state.fresh_link and (not state.linked or (known and identity not in ("", known))):
        # A session that came from elsewhere: this is its baseline, and no restore.
        turn.report("adopted", identity=identity, instead_of=known)
        turn.set(fresh_link="adopted")
    turn.set(linked=True, known_identity=identity or known)
    if state.phase is Phase.PAIRING:  # what a person took to scan is not what the start took
        turn.mark(begun_at=turn.now, activated_at=turn.now)
        turn.go(Phase.VERIFYING, turn.policy.restore_timeout_s)
    judge(turn)


def _pairing(turn: Turn) -> None:
    if turn.state.linked:
        # It was linked, and nobody ended that: stop it before it overwrites the session.
        turn.report("session_refused", state="pairing", reason="")
        _refuse(turn, After.RESTORE, "it asks for a new link")
    elif turn.state.phase is not Phase.PAIRING:
        turn.do(NoteQr())
        turn.report("pairing", generation=turn.state.current)
        turn.kill_standby()
        # A restart that was under way is not forgotten: it waits for the link.
        dirty = turn.state.dirty or turn.prepares
        turn.forget_jobs()
        turn.set(verified=False, ready=False, proof="", late=False, dirty=dirty)
        turn.go(Phase.PAIRING)


def _lost(turn: Turn, reason: str) -> None:
    stranger = turn.state.linked and turn.state.stranger
    turn.report("session_refused", state="lost", reason=reason, stranger=stranger)
    why = reason or "the session is lost"
    # It is not the epoch's device that was logged out, if its files were another's.
    closes = not turn.state.linked or (logged_out(reason) and not stranger)
    turn.count_crash()
    _refuse(turn, After.CLOSE if closes else After.RESTORE, why)


def logged_out(reason: str) -> bool:
    """Return whether the reason is an explicit logout, after which nothing is ever restored."""
    text = reason.lower()
    return any(word in text for word in ("401", "logged out", "device removed", "unlinked"))


def _refuse(turn: Turn, after: After, why: str) -> None:
    turn.kill_standby()
    turn.set(after=after, why=why, to_seal=None, verified=False)
    turn.kill(why)


def _conflict(turn: Turn, reason: str) -> None:
    if turn.state.standby is not None:
        _trespass(turn, "conflict")
        return
    if turn.state.cold_once or turn.state.doomed:
        return  # the trespasser's, and it is being replaced
    why = f"another copy of this device is online ({reason or 'conflict'})"
    turn.report("conflict", reason=reason)
    turn.set(after=After.FAIL, why=why)
    turn.terminate(why)


# Ends.


def _exited(turn: Turn, status: int) -> None:
    state = turn.state
    if state.phase not in RUNNING:
        if state.phase is Phase.STOPPING and state.current is not None:
            turn.do(Terminate(state.current))  # what is left of its tree
        return
    restarting = turn.prepares
    why = f"it ended by itself ({_ending(status)})"
    if restarting or not state.wanted_up or state.operation is not None:
        turn.set(after=After.RESTART) if not state.leaving else None
        turn.set(dirty=False) if restarting else None
    else:
        _crashed(turn, status, why)
    turn.terminate(why)


def _crashed(turn: Turn, status: int, why: str) -> None:
    state, policy = turn.state, turn.policy
    policy_says = policy.restart == "always" or (policy.restart == "on-failure" and status != 0)
    if not policy_says:
        turn.report("finished", why=why)
        turn.set(after=After.FINISH, why=why)
        return
    most, window_s = policy.intensity
    crashes = turn.count_crash()
    turn.set(why=why)
    turn.begin_record("crash")
    if status in policy.no_retry:
        why = f"{why}, and `no_retry` says that no new try helps"
        turn.set(after=After.FAIL, why=why)
    elif not state.verified and status > 0 and policy.on_change:
        turn.set(after=After.FAIL, why=f"{why} before it was ready; waiting for a change")
    elif crashes > most:
        turn.set(after=After.FAIL, why=f"it crashed {crashes} times in {window_s:g} s")
    else:
        turn.set(after=After.BACKOFF)


def _tree_gone(turn: Turn, generation: int) -> None:
    state = turn.state
    turn.set(doomed=state.doomed - {generation})
    if generation == state.standby:
        turn.forget_standby()
    if generation == state.current:
        turn.set(current=None, seat=None, caps=Caps(), up_since=None)
    still = turn.state.current is not None or turn.state.doomed
    if turn.state.phase in (Phase.STOPPING, Phase.KILLING) and not still:
        turn.gone()
    elif turn.state.phase is Phase.FAILED and not still:
        turn.leave_failed()
    elif turn.prepares:
        turn.prepare()


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
