"""What is done about a bot that lives and is not well: it hangs, or it uses too much.

It is stopped in good order, and its session copied first; what counts as a crash counts here too,
so that a bot which cannot be well ends in FAILED and not in a loop.
"""

from typing import Literal, assert_never

from supervisor.core.events import Extended, Hung, LimitExceeded
from supervisor.core.limits import EXTENSION_MAX_S
from supervisor.core.state import After, Phase
from supervisor.core.turn import Turn


def handle(turn: Turn, event: Hung | LimitExceeded | Extended) -> None:
    """Decide."""
    state = turn.state
    if event.generation != state.current:
        return
    match event:
        case Hung(why=why) if state.phase is Phase.UP:
            turn.report("hang", generation=event.generation, why=why)
            _leave(turn, "hang", why)
        case LimitExceeded(why=why) if state.phase is Phase.UP and not _waits_for_code(turn):
            turn.report("limit", generation=event.generation, why=why)
            _leave(turn, "limit", why)
        case Hung() | LimitExceeded():
            pass  # it is being restarted, or not up yet: there is a deadline for that
        case Extended(seconds=seconds):
            turn.set(extended_until=turn.now + min(seconds, EXTENSION_MAX_S))
        case _:
            assert_never(event)


def _waits_for_code(turn: Turn) -> bool:
    """Return whether its code can't start as it is: then what runs is better than nothing."""
    return turn.policy.on_change and bool(turn.state.held)


def _leave(turn: Turn, kind: Literal["hang", "limit"], why: str) -> None:
    policy = turn.policy
    most, window_s = policy.intensity
    count = turn.count_crash()
    turn.set(why=why)
    if policy.restart == "never":
        turn.report("finished", why=why)
        turn.set(leaving=kind, after=After.FINISH)
    elif count > most:
        words = "hung or crashed" if kind == "hang" else "went over its limit or crashed"
        turn.set(leaving=kind, after=After.FAIL, why=f"it {words} {count} times in {window_s:g} s")
    elif count > 1:  # a moment after the last time: a pause may help, another start at once did not
        turn.begin_record(kind)
        turn.set(leaving=kind, after=After.BACKOFF)
    elif kind == "hang":
        turn.begin_record(kind)
        turn.set(leaving=kind, after=After.RESTART)
    else:
        turn.preflight("limit")
        return
    turn.leave()
