"""No core dumps: one would put session keys and QR codes into a file that nobody looks after.

Only the soft limit, which whatever we start inherits: a bot that wants cores can raise its own.
PR_SET_DUMPABLE would do more, and too much: it also hides from our own uid whose a process is.
"""

import resource
from contextlib import suppress


def forbid() -> None:
    """Write none, from now on; nor does what we start."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    with suppress(OSError, ValueError):  # a sandbox that forbids it: then as before
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
