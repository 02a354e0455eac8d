"""How often a thing is told that others can provoke as often as they like: it decides when. Pure.

The first one at once; what comes within `every_s` of that is told together, as a number.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """What was not told yet, and until when nothing is. Times in seconds, of any one clock."""

    untold: int = 0
    quiet_until: float = float("-inf")


def step(pace: Pace, came: int, now: float, every_s: float) -> tuple[Pace, int]:
    """Return what follows after `came` more (0: time has passed), and how many to tell now."""
    untold = pace.untold + came
    if not untold or now < pace.quiet_until:
        return Pace(untold, pace.quiet_until), 0
    return Pace(0, now + every_s), untold
