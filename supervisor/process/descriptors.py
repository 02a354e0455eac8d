"""How many files may be open: more for us, who watch over hundreds of bots; for a bot as ever.

It never touches the hard limit, and never lowers ours.
"""

import resource
from contextlib import suppress

# Six for a bot, and some while it restarts: enough for ten thousand of them. Not all that the hard
# limit may allow: where that is a thousand million, programs that close all they might have open
# would be at it for minutes.
MOST = 65536

_given = resource.getrlimit(resource.RLIMIT_NOFILE)


def raise_limit() -> None:
    """Let us have as many as we may, up to `MOST`: usual is 1024, too few for 200 bots."""
    soft, hard = _given
    most = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(OSError, ValueError):  # a sandbox that forbids it: then as before
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def given() -> tuple[int, int]:
    """Return the limits that we were started with."""
    return _given


def adopt(limits: tuple[int, int]) -> None:
    """Go on with those of the program before ours: it has raised what we were started with."""
    global _given  # noqa: PLW0603 - the process has one
    _given = limits


def give_back(pid: int) -> None:
    """Give a child the limit that we were started with: select(2) knows no number above 1023.

    From outside, right after its exec: a `preexec_fn` would turn vfork into fork. Until then it
    has ours, which does no harm: what it opens gets the lowest free numbers.
    """
    with suppress(OSError):  # it is gone already, or not ours to change (setuid)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, _given)
