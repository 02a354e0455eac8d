"""Signals that come to PID 1 before anybody handles them: the kernel drops them, unless blocked.

`docker stop` right after the start would otherwise wait for its whole timeout, and then kill.
"""

import os
import signal

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_held: set[signal.Signals] = set()


def hold() -> None:
    """Let them wait, if we are PID 1. What is blocked already is somebody else's to release."""
    if os.getpid() == 1:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        _held.update(_SIGNALS - before)


def release() -> None:
    """Take what waited: the handlers are in. Before any process is started, or it inherits this."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _held)
    _held.clear()
