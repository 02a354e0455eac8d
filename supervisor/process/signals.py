"""Signals to processes that may be gone.

A pid can be used again (cpython#127049); a pidfd names one process for good.
"""

import os
import signal


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
