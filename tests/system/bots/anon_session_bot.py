"""A bot as many are: its session is a SQLite file in the working folder, which it always writes.

It knows nothing of a session's folder. Without an account it waits for a code, in the file `code`.
"""

import hashlib
import os
import signal
import socket
import sqlite3
import threading
from pathlib import Path

TICK_S = 0.01


def tell(**fields: str) -> None:
    """Say something to the supervisor, as any program says it to systemd."""
    text = "\n".join(f"{key}={value}" for key, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])


def account(database: sqlite3.Connection) -> bytes | None:
    """Return the key of the account that the session is of."""
    database.execute("CREATE TABLE IF NOT EXISTS sessions(dc_id INTEGER, auth_key BLOB)")
    database.execute("CREATE TABLE IF NOT EXISTS update_state(pts INTEGER)")
    row = database.execute("SELECT auth_key FROM sessions").fetchone()
    return None if row is None else row[0]


def main() -> None:
    """Live until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database = sqlite3.connect("anon.session", isolation_level=None)
    key, state = account(database), "restored"
    if key is None:
        tell(X_STILLHERE_SESSION="pairing", X_STILLHERE_QR="tg://login")
        while not Path("code").exists():
            if stop.wait(TICK_S):
                return
        key, state = os.urandom(256), "linked"
        database.execute("INSERT INTO sessions VALUES (2, ?)", (key,))
        database.execute("INSERT INTO update_state VALUES (0)")
    device = hashlib.sha256(key).hexdigest()[:16]
    tell(READY="1", X_STILLHERE_SESSION=state, X_STILLHERE_IDENTITY=f"2:{device}")
    while not stop.wait(TICK_S):
        database.execute("UPDATE update_state SET pts = pts + 1")
    database.close()


if __name__ == "__main__":
    main()
