"""How long nothing must move before a change counts as whole, and who is still writing.

An editor writes one file and is done; a branch switch or a formatter goes on. What the last
seconds were like decides how much patience is needed.
"""

import fcntl
import os
import signal
from collections import deque

# One file, that nobody has open for writing any more.
SHORT_S = 0.02
# Saves that keep coming.
LONG_S = 0.15
# A change that follows another one so closely: from then on one file is not trusted to be all.
AGAIN_S = 0.25
WARY_S = 30.0
MANY, MANY_WITHIN_S = 4, 2.0


class Quiet:
    """Decides by the changes that were told. Instants are seconds of the monotonic clock."""

    def __init__(self, usual_s: float) -> None:
        self._usual_s = usual_s
        self._told: deque[float] = deque(maxlen=MANY)
        self._wary_until = 0.0

    def told(self, now: float) -> None:
        """Note that a change was told."""
        if self._told and now - self._told[-1] < AGAIN_S:
            self._wary_until = now + WARY_S
        self._told.append(now)

    def patient(self, now: float) -> bool:
        """Return whether one whole file is not to be trusted to be all that is saved."""
        again = bool(self._told) and now - self._told[-1] < AGAIN_S
        return again or self._wary(now) or self._keeps_coming(now)

    def window_s(self, now: float, *, alone: bool) -> float:
        """Return for how long nothing must move. `alone`: one whole file was all so far."""
        if self._keeps_coming(now):
            return max(LONG_S, self._usual_s)
        if alone and not self._wary(now):
            return min(SHORT_S, self._usual_s)
        return self._usual_s

    def _wary(self, now: float) -> bool:
        return now < self._wary_until

    def _keeps_coming(self, now: float) -> bool:
        return len(self._told) == MANY and now - self._told[0] < MANY_WITHIN_S


def written(path: str) -> bool | None:
    """Return whether somebody has a file open for writing; None where that can't be told.

    A read lease is refused while anyone has (fcntl(2), F_SETLEASE). It is given back at once; who
    wants to write in that moment waits for it, and the signal that tells us is one that is ignored.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None  # it is not ours, or its filesystem has no leases
    finally:
        os.close(handle)
    return False
