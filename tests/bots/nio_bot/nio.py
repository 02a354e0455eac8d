"""Stands in for matrix-nio 0.26 where there is no server: the files of its session, its words."""

import os
import sqlite3
import time
from pathlib import Path
from threading import Event

POLL_S = 0.02


class AsyncClient:
    """Keeps the keys of a device in the store's folder."""

    def __init__(self, _homeserver: str, user: str, device_id: str, store_path: str) -> None:
        folder = Path(store_path)
        folder.mkdir(exist_ok=True)
        self.database = sqlite3.connect(folder / f"{user}_{device_id}.db", isolation_level=None)
        self.database.executescript(
            "CREATE TABLE IF NOT EXISTS accounts(id INTEGER NOT NULL PRIMARY KEY, account BLOB"
            " NOT NULL, device_id TEXT NOT NULL, shared INTEGER NOT NULL, user_id TEXT NOT NULL);"
            "CREATE TABLE IF NOT EXISTS synctokens(id INTEGER PRIMARY KEY, token TEXT);"
        )
        if self.database.execute("SELECT 1 FROM accounts").fetchone() is None:
            account = (os.urandom(200), device_id, user)
            self.database.execute("INSERT INTO accounts VALUES (1, ?, ?, 1, ?)", account)

    def sync_forever(self) -> None:
        """Write what comes in, all the time."""
        while True:
            token = f"s{time.time_ns()}"
            self.database.execute("INSERT OR REPLACE INTO synctokens VALUES (1, ?)", (token,))
            Event().wait(POLL_S)
