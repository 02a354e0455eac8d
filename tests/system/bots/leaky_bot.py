"""A bot that prints its secrets, as bots do, when it starts and on SIGUSR2; SIGUSR1 links it.

They lie in the file that $SECRETS names: `qr`, `token`, `key`. After SIGHUP it dies of an error
that has some of them.
"""

import json
import os
import signal
import sys
from pathlib import Path

from bot.link import Link

SIGNALS = {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
SECRETS = json.loads(Path(os.environ["SECRETS"]).read_text())


def leak(words: str, code: str = SECRETS["qr"]) -> None:
    """Print them."""
    sys.stdout.write(f"{words}: scan {code} with token={SECRETS['token']}\n")
    sys.stdout.write(json.dumps({"noiseKey": SECRETS["key"], "registered": True}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Live until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    link = Link()
    link.caps("standby")
    session = link.standby()
    if session is None:
        return
    creds = session / "creds.json"
    if creds.exists():
        link.ready("restored", identity="device-1", status="well")
    else:
        link.session("pairing")
        link.qr(SECRETS["qr"], ttl_s=60)
    leak("it starts", "nothing" if creds.exists() else SECRETS["qr"])
    while (asked := signal.sigwait(SIGNALS)) != signal.SIGTERM:
        if asked == signal.SIGUSR1:
            creds.write_text(json.dumps({"device": "device-1", "noiseKey": SECRETS["key"]}))
            link.ready("linked", identity="device-1")
        elif asked == signal.SIGHUP:
            raise RuntimeError(f"no login: token={SECRETS['token']}, qr {SECRETS['qr']}")
        leak("it was asked")
    link.released()


if __name__ == "__main__":
    main()
