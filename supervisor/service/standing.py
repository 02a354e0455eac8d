"""How a supervisor stands, in one honest line: for the manager above it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from supervisor.core.printable import printable
from supervisor.core.state import PREPARING, Phase

# Who is in one of these was verified, and still serves.
ONLINE = (Phase.UP, *PREPARING)
# Nothing but a person (or the source, or the owner of the lock) moves them on.
NEEDS_A_PERSON = {
    Phase.PAIRING: "waits to be linked",
    Phase.FAILED: "has failed",
    Phase.REFUSED: "is another supervisor's",
}
_NAMED_MOST = 3
_WHY_CHARS = 100


@dataclass(frozen=True, slots=True)
class Bot:
    """What is known of one bot; `why` says what went wrong, if something did."""

    name: str
    phase: Phase
    why: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """`settled`: every bot is online, needs a person, or was told to be down."""

    settled: bool
    line: str


def standing(bots: Sequence[Bot], *, stopping: bool = False) -> Standing:
    """Return how these bots stand together."""
    down = [bot for bot in bots if bot.phase is Phase.DOWN]
    if stopping:
        left = _named(bot.name for bot in bots if bot not in down)
        line = f"stopping: {len(down)} of {_bots(len(bots))} down"
        return Standing(len(down) == len(bots), f"{line}; {left} to come" if left else line)
    online = [bot for bot in bots if bot.phase in ONLINE]
    waiting = [bot for bot in bots if bot.phase in NEEDS_A_PERSON]
    coming = [bot for bot in bots if bot not in (*down, *online, *waiting)]
    parts = [f"{len(online)} of {_bots(len(bots))} online"]
    parts += [f"{bot.name} {NEEDS_A_PERSON[bot.phase]}{_why(bot)}" for bot in waiting[:_NAMED_MOST]]
    if len(waiting) > _NAMED_MOST:
        parts.append(f"{len(waiting) - _NAMED_MOST} more need a person")
    backing = [bot for bot in coming if bot.phase is Phase.BACKOFF]
    starting = [bot for bot in coming if bot not in backing]
    parts += [f"{bot.name} is tried again soon{_why(bot)}" for bot in backing[:_NAMED_MOST]]
    if len(backing) > _NAMED_MOST:
        parts.append(f"{len(backing) - _NAMED_MOST} more are tried again")
    if starting:
        parts.append(f"starting: {_named(bot.name for bot in starting)}")
    if down:
        parts.append(f"stopped: {_named(bot.name for bot in down)}")
    return Standing(not coming, "; ".join(parts))


def _bots(count: int) -> str:
    return "1 bot" if count == 1 else f"{count} bots"


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMED_MOST
    return ", ".join(listed[:_NAMED_MOST]) + (f" and {more} more" if more > 0 else "")


def _why(bot: Bot) -> str:
    if not bot.why or bot.phase is Phase.PAIRING:
        return ""
    # A bot has a say in it: nothing gets to a terminal that would command it.
    text = " ".join(printable(bot.why, " ").split())
    return f" ({text if len(text) <= _WHY_CHARS else text[: _WHY_CHARS - 3] + '...'})"
