"""The page's process: `python -m supervisor.web LISTENER LEASH`, two inherited descriptors.

Through the leash it is told what it serves, and the secret in its address; the leash's end is the
end of the supervisor, and of this process. A thread waits for it: nothing that hangs outlives it.
"""

import json
import os
import socket
import sys
import threading
from pathlib import Path


def _end_with(leash: int) -> None:
    while os.read(leash, 1):
        pass
    os._exit(0)


def main() -> None:
    """Serve until nobody looks for a while, or the supervisor ends."""
    listener, leash = (int(word) for word in sys.argv[1:3])
    told = b""
    while not told.endswith(b"\n"):
        piece = os.read(leash, 65536)
        if not piece:
            return
        told += piece
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()

    from supervisor.web.serve import serve  # noqa: PLC0415 - what hangs there ends all the same

    said = json.loads(told)
    serve(
        socket.socket(fileno=listener),
        token=said["token"],
        config=Path(said["config"]),
        control=Path(said["control"]),
    )


if __name__ == "__main__":
    main()
