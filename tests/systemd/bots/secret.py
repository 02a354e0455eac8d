"""A bot that reads its credential, and tells how much of it there is."""

import os
import signal
import stat
import sys
from pathlib import Path

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    path = Path(os.environ["CREDENTIALS_DIRECTORY"], "token")
    mode = stat.filemode(path.stat().st_mode)
    sys.stdout.write(f"has {len(path.read_text())} letters of {path} {mode}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM})
