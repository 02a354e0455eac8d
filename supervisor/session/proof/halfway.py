"""Was a copy bad only because the bot was just writing? Then the next one may be whole. No I/O."""

import re

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
    reasons = why.split("; ")
    if len(why) >= _WHY_CHARS:
        reasons = reasons[:-1]
    own = [reason for reason in reasons if reason not in _FOLLOWS]
    return bool(own) and all(_HALFWAY.fullmatch(reason) for reason in own)
