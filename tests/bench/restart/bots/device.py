"""What a bot keeps in its session, and the work of closing it: 50 ms, as a connection takes."""

import asyncio
import json
import sqlite3
import time
from pathlib import Path

STOPPING_S = 0.050
ROWS = 5


class Device:
    """A session that is open: nobody else may write it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        creds = folder / "creds.json"
        self.identity = json.loads(creds.read_text())["me"]
        self._database = sqlite3.connect(folder / "store.db")
        self._seen = 0

    def save(self) -> None:
        """Write what is in memory: a few rows, a small file that is never half written."""
        self._seen += 1
        stamp = f"{time.monotonic_ns():020}".encode()
        with self._database:
            self._database.executemany(
                "UPDATE sessions SET record = ? || substr(record, 21) WHERE id = ?",
                [(stamp, row) for row in range(ROWS)],
            )
        beside = self._folder / "state.new"
        beside.write_text(json.dumps({"seen": self._seen}))
        beside.replace(self._folder / "state.json")

    async def close(self) -> None:
        """Save and close it; the goodbye to the network takes until `STOPPING_S` from now."""
        loop = asyncio.get_running_loop()
        goodbye: asyncio.Future[None] = loop.create_future()
        loop.call_later(STOPPING_S, goodbye.set_result, None)
        self.save()
        self._database.close()
        await goodbye
