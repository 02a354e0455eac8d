"""A bot that holds all it knows in memory, and writes it when it is asked to, or stops."""

import json
import signal

from bot.link import Link

SIGNALS = {signal.SIGUSR2, signal.SIGTERM}


def main() -> None:
    """Live until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    link = Link()
    link.caps("standby checkpoint:SIGUSR2")
    session = link.standby()
    if session is None:
        return
    path = session / "creds.json"
    known = json.loads(path.read_text()) if path.exists() else {"device": 7, "written": 0}
    path.write_text(json.dumps(known))
    link.ready("restored", identity="7:seven")
    while True:
        asked = signal.sigwait(SIGNALS)
        known["written"] += 1
        path.write_text(json.dumps(known))
        if asked == signal.SIGTERM:
            link.released()
            return
        link.checkpointed()


if __name__ == "__main__":
    main()
