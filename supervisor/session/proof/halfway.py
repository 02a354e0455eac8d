"""Was it bad only because the bot was just writing? Then the next look may be better. No I/O."""

import re
from collections.abc import Mapping

from supervisor.session.scan import Seen

# What `checks` says of a file that a bot had emptied to write it anew, or had written in part.
_HALFWAY = re.compile(r".+ (is empty|is missing or empty|is no JSON: .*)", re.DOTALL)
# What follows from a file that can't be parsed, and is no reason of its own.
_FOLLOWS = ("it does not say any more whose device it is",)
# A verdict's reasons are cut to this length: the last one may be a part.
_WHY_CHARS = 1000


def half_written(why: str) -> bool:
    """Return whether all the reasons of a verdict are files that may have been half written.

    A file that is gone for good looks the same at first: that is for a second copy to tell.
    """
    own = _own(why)
    return bool(own) and all(_HALFWAY.fullmatch(reason) for reason in own)


def goes_on(why: str, then: Mapping[str, Seen], now: Mapping[str, Seen]) -> bool:
    """Return whether all of these files were written between two looks, the last of which says so.

    Of a bot that writes always each look may catch a half. What was left so does not move.
    """
    moved = [path for path in {**then, **now} if then.get(path) != now.get(path)]
    return all(any(reason.startswith(f"{path} ") for path in moved) for reason in _own(why))


def _own(why: str) -> list[str]:
    reasons = why.split("; ")
    if len(why) >= _WHY_CHARS:
        reasons = reasons[:-1]
    return [reason for reason in reasons if reason not in _FOLLOWS]
