"""A bot that prints more than anyone can read, then says that it is ready."""

import json
import os
import signal

from bot.link import Link

LINES = 200_000
LONG_BYTES = 5_000_000


def main() -> None:
    """Print, then live until SIGTERM."""
    link = Link()
    session = link.standby()
    if session is None:
        return
    (session / "creds.json").write_text(json.dumps({"device": 7}))
    with os.fdopen(1, "wb", closefd=False) as out:
        out.writelines(b"line %d\n" % number for number in range(LINES))
        out.write(b"x" * LONG_BYTES)  # no newline
        out.flush()
    with os.fdopen(2, "wb", closefd=False) as err:
        err.write(b"the last word\n")
    link.ready("restored", identity="7:seven")
    signal.pause()


main()
