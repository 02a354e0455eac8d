"""Signals to processes that may be gone, and to trees that must stand still.

A pid can be used again (cpython#127049); a pidfd names one process for good.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from supervisor.process.tree import Stat

_POLL_S = 0.0005
# Who is thawed goes back into the call that it was stopped in. A signal in that very moment runs
# its handler, and then the call goes on all the same: a bot in pause(2) would sleep through it.
_SETTLE_S = 0.05


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; False when there is nobody any more."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(fd)
    return True


@contextmanager
def frozen(pids: Sequence[int], deadline_s: float) -> Iterator[bool]:
    """Stop every thread of `pids` (parents first) for the block; thaw them on every way out.

    Yields whether all of them read T within `deadline_s`. What was stopped before (by a
    debugger, say) is left alone. Afterwards all are back where they were, so that a signal finds
    them waiting; who is busy instead is given a moment.
    """
    stopped: list[int] = []
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                if Stat(pid).state not in "TtZX" and send(pid, signal.SIGSTOP):
                    stopped.append(pid)
        yield _poll(lambda: all(_still(pid) for pid in stopped), time.monotonic() + deadline_s)
    finally:
        for pid in reversed(stopped):
            send(pid, signal.SIGCONT)
        _poll(lambda: not any(_runs(pid) for pid in stopped), time.monotonic() + _SETTLE_S)


def _poll(settled: Callable[[], bool], until: float) -> bool:
    while not settled():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True


def _runs(pid: int) -> bool:
    """Return whether the main thread, which Python's handlers need, is not yet asleep again."""
    try:
        return Stat(pid).state == "R"
    except ProcessLookupError:
        return False


def _still(pid: int) -> bool:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True
    for task in tasks:
        with suppress(OSError):
            text = Path(f"/proc/{pid}/task/{task}/stat").read_text(errors="replace")
            if text.rpartition(")")[2].split()[0] not in "TtZX":
                return False
    return True
