"""A bot that ignores SIGTERM, and so do its two children, one in a process session of its own."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from bot.link import Link

VERSION = 1
DEAF = "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint('deaf')\nwhile 1: signal.pause()"


def main() -> None:
    """Never end by request."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    session = Link().standby()
    if session is None:
        return
    (session / "creds.json").write_text(json.dumps({"device": 7}))
    pids = []
    for own_session in (False, True):
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-u", "-c", DEAF],
            stdout=subprocess.PIPE,
            start_new_session=own_session,
        )
        assert child.stdout is not None
        child.stdout.readline()
        pids.append(child.pid)
    Path("grandchildren").write_text(json.dumps(pids))
    Link().ready("restored", identity="7:seven", status=f"version {VERSION}")
    while True:
        signal.pause()


main()
