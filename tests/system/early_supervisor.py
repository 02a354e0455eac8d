"""A supervisor that is told to stop before it can handle signals, as by a hasty `docker stop`."""

import os
import signal
import sys

from supervisor.cli import early
from supervisor.cli.main import main

hold = early.hold


def hold_and_be_told() -> None:
    """The earliest instant that is promised: PID 1 drops what comes before."""
    hold()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    early.hold = hold_and_be_told
    sys.exit(main())
