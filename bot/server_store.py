"""What the chat server keeps: accounts, devices, queues, replies and counters, in one SQLite file.

Each change is committed before it is acknowledged to anyone, so a killed server loses nothing that
it promised. It holds public keys and sealed boxes only. It decides nothing about connections.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

_SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (number TEXT PRIMARY KEY, sign TEXT, key TEXT, devices INTEGER);
CREATE TABLE IF NOT EXISTS devices (
  id TEXT PRIMARY KEY, account TEXT, sign TEXT, fingerprint TEXT, state TEXT,
  key_id INTEGER, key_pub TEXT, key_sig TEXT, linked_at REAL, last_seen REAL);
CREATE TABLE IF NOT EXISTS messages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, device TEXT, key_id INTEGER,
  eph TEXT, box TEXT, sig TEXT, state TEXT, proved INTEGER DEFAULT 0, queued_at REAL, done_at REAL);
CREATE INDEX IF NOT EXISTS messages_queue ON messages (device, state, seq);
CREATE TABLE IF NOT EXISTS replies (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, re TEXT, device TEXT, account TEXT,
  eph TEXT, box TEXT, sig TEXT, got INTEGER DEFAULT 0, doubles INTEGER DEFAULT 0, at REAL);
CREATE INDEX IF NOT EXISTS replies_waiting ON replies (account, got, seq);
CREATE TABLE IF NOT EXISTS counters (
  device TEXT, name TEXT, value INTEGER, PRIMARY KEY (device, name));
"""

Row = dict[str, Any]


class ServerStore:
    """The chat server's database."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _row(self, sql: str, *args: str | float) -> Row | None:
        row = self._db.execute(sql, args).fetchone()
        return None if row is None else dict(row)

    def _rows(self, sql: str, *args: str | float) -> list[Row]:
        return [dict(row) for row in self._db.execute(sql, args)]

    def _run(self, sql: str, *args: str | float) -> int:
        """Run a statement; return how many rows it changed."""
        with closing(self._db.execute(sql, args)) as cursor:
            return cursor.rowcount

    # --- accounts and devices ---

    def account(self, number: str) -> Row | None:
        """Return the account of this number."""
        return self._row("SELECT * FROM accounts WHERE number = ?", number)

    def add_account(self, number: str, sign: str, key: str) -> None:
        """Open an account."""
        self._run("INSERT INTO accounts VALUES (?, ?, ?, 0)", number, sign, key)

    def device(self, device_id: str) -> Row | None:
        """Return the device, whatever its state."""
        return self._row("SELECT * FROM devices WHERE id = ?", device_id)

    def devices(self, account: str) -> list[Row]:
        """Return the account's linked devices, oldest link first."""
        sql = "SELECT * FROM devices WHERE account = ? AND state = 'linked' ORDER BY linked_at"
        return self._rows(sql, account)

    def add_device(self, account: str, sign: str, fingerprint: str, key: Row) -> str:
        """Write down a device that is being linked; return its id. It is no device until `link`."""
        self._run("UPDATE accounts SET devices = devices + 1 WHERE number = ?", account)
        row = self.account(account) or {}
        device_id = f"{account}.{row['devices']}"
        sql = "INSERT INTO devices VALUES (?, ?, ?, ?, 'pending', ?, ?, ?, ?, NULL)"
        keys = (key["id"], key["pub"], key["sig"])
        self._run(sql, device_id, account, sign, fingerprint, *keys, time.time())
        return device_id

    def link(self, device_id: str) -> bool:
        """Make a pending device a linked one; say whether it was pending."""
        sql = (
            "UPDATE devices SET state = 'linked', linked_at = ? WHERE id = ? AND state = 'pending'"
        )
        return self._run(sql, time.time(), device_id) == 1

    def remove(self, device_id: str) -> None:
        """Remove a device for good. Its row stays, so that its next login can be told why."""
        self._run("UPDATE devices SET state = 'removed' WHERE id = ?", device_id)

    def seen(self, device_id: str) -> None:
        """Note that the device is or was online now."""
        self._run("UPDATE devices SET last_seen = ? WHERE id = ?", time.time(), device_id)

    # --- messages to a device ---

    def queue(self, frame: Row) -> Literal["queued", "double", "full"]:
        """Queue a message for its device; the same id twice is one message."""
        if self._row("SELECT seq FROM messages WHERE id = ?", frame["id"]):
            return "double"
        if self.queued(frame["device"]) >= 10_000:  # noqa: PLR2004 (a bound on what one may store)
            return "full"
        sql = (
            "INSERT INTO messages (id, device, key_id, eph, box, sig, state, queued_at)"
            " VALUES (?, ?, ?, ?, ?, ?, 'queued', ?)"
        )
        fields = (frame["id"], frame["device"], frame["key"], frame["eph"], frame["box"])
        self._run(sql, *fields, frame["sig"], time.time())
        return "queued"

    def queued(self, device_id: str) -> int:
        """Return how many messages wait for the device."""
        sql = "SELECT count(*) AS n FROM messages WHERE device = ? AND state = 'queued'"
        return int((self._row(sql, device_id) or {"n": 0})["n"])

    def next_message(self, device_id: str) -> Row | None:
        """Return the oldest message that waits for the device."""
        sql = "SELECT * FROM messages WHERE device = ? AND state = 'queued' ORDER BY seq LIMIT 1"
        return self._row(sql, device_id)

    def message_state(self, message_id: str) -> str:
        """Return queued, delivered, undecryptable, or '' for one that never came."""
        row = self._row("SELECT state FROM messages WHERE id = ?", message_id)
        return row["state"] if row else ""

    def delivered(self, seq: int, device_id: str, key: Row | None) -> None:
        """Take a message off the queue and publish the device's next key, both or neither."""
        with self._db:
            self._run("BEGIN")
            sql = "UPDATE messages SET state = 'delivered', box = '', done_at = ? WHERE seq = ?"
            self._run(sql, time.time(), seq)
            if key is not None:
                sql = "UPDATE devices SET key_id = ?, key_pub = ?, key_sig = ? WHERE id = ?"
                self._run(sql, key["id"], key["pub"], key["sig"], device_id)

    def undecryptable(self, seq: int, *, proved: bool) -> None:
        """Keep a message that the device could not open. `proved`: though it had the newest key."""
        sql = "UPDATE messages SET state = 'undecryptable', proved = ?, done_at = ? WHERE seq = ?"
        self._run(sql, int(proved), time.time(), seq)

    def requeue(self, device_id: str) -> int:
        """Queue again what only an outdated copy of the device failed to open; return how many."""
        sql = (
            "UPDATE messages SET state = 'queued', done_at = NULL"
            " WHERE device = ? AND state = 'undecryptable' AND proved = 0"
        )
        return self._run(sql, device_id)

    # --- replies to a phone ---

    def reply(self, device: Row, frame: Row) -> bool:
        """Keep a device's reply; return whether it is a double (then it is only counted)."""
        sql = (
            "INSERT OR IGNORE INTO replies (id, re, device, account, eph, box, sig, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        fields = (frame["id"], frame["re"], device["id"], device["account"], frame["eph"])
        if self._run(sql, *fields, frame["box"], frame["sig"], time.time()) == 1:
            return False
        self._run("UPDATE replies SET doubles = doubles + 1 WHERE id = ?", frame["id"])
        return True

    def waiting_replies(self, account: str) -> list[Row]:
        """Return the replies that no phone of the account has acknowledged, oldest first."""
        sql = "SELECT * FROM replies WHERE account = ? AND got = 0 ORDER BY seq LIMIT 1000"
        return self._rows(sql, account)

    def got_reply(self, account: str, reply_id: str) -> None:
        """Note that the phone has the reply."""
        sql = "UPDATE replies SET got = 1, box = '' WHERE account = ? AND id = ?"
        self._run(sql, account, reply_id)

    # --- counters ---

    def count(self, device_id: str, name: str) -> None:
        """Add one to a counter of the device."""
        sql = (
            "INSERT INTO counters VALUES (?, ?, 1)"
            " ON CONFLICT (device, name) DO UPDATE SET value = value + 1"
        )
        self._run(sql, device_id, name)

    def stats(self) -> Row:
        """Return all counts: of messages, replies, and of each device."""
        states = {
            row["state"]: row["n"]
            for row in self._rows("SELECT state, count(*) AS n FROM messages GROUP BY state")
        }
        sql = (
            "SELECT count(*) AS replies, coalesce(sum(doubles), 0) AS doubles,"
            " coalesce(sum(re = ''), 0) AS unasked FROM replies"
        )
        answered = (
            "SELECT count(*) AS answered, coalesce(sum(n > 1), 0) AS answered_twice"
            " FROM (SELECT count(*) AS n FROM replies WHERE re != '' GROUP BY re)"
        )
        devices: dict[str, Row] = {
            row["id"]: {
                "state": row["state"],
                "fingerprint": row["fingerprint"],
                "key_id": row["key_id"],
                "queued": self.queued(row["id"]),
            }
            for row in self._rows("SELECT * FROM devices")
        }
        for row in self._rows("SELECT * FROM counters"):
            devices.setdefault(row["device"], {})[row["name"]] = row["value"]
        return {
            "messages": sum(states.values()),
            "queued": states.get("queued", 0),
            "delivered": states.get("delivered", 0),
            "undecryptable": states.get("undecryptable", 0),
            **(self._row(sql) or {}),
            **(self._row(answered) or {}),
            "devices": devices,
        }
