"""The supervisor, but one that can be told to hang: SIGUSR2, and its loop stands still for good.

SIGSTOP would not do: systemd's SIGTERM is followed by a SIGCONT.
"""

import signal
import threading
from types import FrameType

from supervisor.cli.main import main


def hang(_number: int, _frame: FrameType | None) -> None:
    """Never return."""
    threading.Event().wait()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, hang)
    main()
