"""The bot's session: what makes it the same linked device after a restart.

A folder with two files: `creds.json` (who the device is, written once, at linking) and `store.db`
(SQLite: the keys that move forward, which messages are handled, notes, reminders). Both belong
together; a store of another device, an empty or a damaged one is refused, never quietly replaced.
At rest (after a checkpoint and at exit) there is nothing beside these two.
"""

import asyncio
import contextlib
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.keys import BadKeyError, BoxKey, Identity, unb64
from bot.protocol import sync_dir, write_private

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE keys (id INTEGER PRIMARY KEY, private BLOB);
CREATE TABLE handled (n INTEGER PRIMARY KEY, id TEXT UNIQUE, answer TEXT, at REAL);
CREATE TABLE notes (n INTEGER PRIMARY KEY, text TEXT, at REAL);
CREATE TABLE reminders (id TEXT PRIMARY KEY, due REAL, text TEXT);
"""
_REMEMBER = 10_000  # handled messages; the server has forgotten them long before


class SessionLostError(Exception):
    """The session is there, but it is not usable. It says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creds:
    """Who the device is. `private` is its identity key: a secret."""

    device: str
    account: str
    private: str
    fingerprint: str
    phone_sign: str
    phone_key: str
    linked_at: float  # seconds since 1970

    @property
    def identity(self) -> str:
        """What others may know: the device and its key's fingerprint."""
        return f"{self.device}:{self.fingerprint}"

    def key(self) -> Identity:
        """Return the identity key.

        Raises: BadKeyError.
        """
        return Identity(unb64(self.private))


@dataclass(frozen=True, slots=True)
class Reminder:
    """A reminder. `due`: seconds since 1970."""

    id: str
    due: float
    text: str


class Store:
    """The database of one session. All that one message changes is one transaction."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._turn = asyncio.Lock()

    @classmethod
    def create(cls, path: Path, fingerprint: str, key: BoxKey | None = None) -> None:
        """Write a new store, at rest, with the device's first key if its keys are kept here.

        Notes and reminders of a store that is there already are carried over: they are the user's.
        """
        notes: list[tuple[str, float]] = []
        reminders: list[tuple[str, float, str]] = []
        if path.exists():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(_connect(path)) as old:
                notes = old.execute("SELECT text, at FROM notes ORDER BY n").fetchall()
                reminders = old.execute("SELECT id, due, text FROM reminders").fetchall()
        temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temp.unlink(missing_ok=True)
        os.close(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(temp)) as db, db:
            db.executescript(_SCHEMA)
            db.execute("INSERT INTO meta VALUES ('fingerprint', ?)", (fingerprint,))
            db.execute("INSERT INTO meta VALUES ('linked_at', ?)", (str(time.time()),))
            if key is not None:
                db.execute("INSERT INTO keys VALUES (1, ?)", (key.private,))
            db.executemany("INSERT INTO notes (text, at) VALUES (?, ?)", notes)
            db.executemany("INSERT INTO reminders VALUES (?, ?, ?)", reminders)
        for stale in ("-wal", "-shm", "-journal"):
            path.with_name(path.name + stale).unlink(missing_ok=True)
        temp.replace(path)
        sync_dir(path.parent)

    @classmethod
    def open(cls, path: Path, fingerprint: str) -> "Store":
        """Open the store of the device with this fingerprint.

        Raises: SessionLostError; sqlite3.OperationalError where the session is not to blame.
        """
        if not path.is_file():
            raise SessionLostError(f"{path.name} is missing")
        db = None
        try:
            db = _connect(path)
            why = _unusable(db, fingerprint)  # before anything writes to the file
            if not why:
                db.execute("PRAGMA journal_mode=WAL").fetchall()
                db.execute("PRAGMA synchronous=FULL")  # a key is on the disk before it is published
        except sqlite3.OperationalError:
            if db is not None:
                db.close()
            raise  # a full disk, a lock, a permission: the session is not to blame
        except sqlite3.DatabaseError as problem:
            why = f"is damaged: {problem}"
        if db is None or why:
            if db is not None:
                db.close()
            raise SessionLostError(f"{path.name} {why}")
        return cls(db, path)

    # --- transactions, checkpoints ---

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Do all or nothing. One at a time; on an exception nothing is changed."""
        async with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Undo what the block changed if it fails, and go on with the transaction."""
        self._db.execute("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO attempt")
            raise
        finally:
            self._db.execute("RELEASE attempt")

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """Run a statement on a transport's own table. Inside a transaction."""
        return self._db.execute(sql, values)

    async def checkpoint(self) -> None:
        """Bring all that was committed into the one file, and onto the disk."""
        async with self._turn:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        sync_dir(self._path.parent)

    def close(self) -> None:
        """Bring all into the one file and close it."""
        self._db.close()  # the last connection checkpoints, and removes -wal and -shm

    # --- keys that move forward ---

    def key(self, key_id: int) -> BoxKey | None:
        """Return the key with this number, if the session has it (still, or already)."""
        row = self._db.execute("SELECT private FROM keys WHERE id = ?", (key_id,)).fetchone()
        return BoxKey(row[0]) if row else None

    def make_key(self, key_id: int) -> BoxKey:
        """Return the key with this number; a new one if there is none. Inside a transaction."""
        key = self.key(key_id)
        if key is None:
            key = BoxKey()
            self._db.execute("INSERT INTO keys VALUES (?, ?)", (key_id, key.private))
        return key

    def drop_keys_below(self, key_id: int) -> None:
        """Forget older keys for good. Inside a transaction."""
        self._db.execute("DELETE FROM keys WHERE id < ?", (key_id,))

    # --- messages ---

    def answer_to(self, message_id: str) -> str | None:
        """Return the answer given to this message; None if it was never handled."""
        sql = "SELECT answer FROM handled WHERE id = ?"
        row = self._db.execute(sql, (message_id,)).fetchone()
        return row[0] if row else None

    def note_handled(self, message_id: str, answer: str) -> None:
        """Write down that the message is handled. Inside a transaction."""
        sql = "INSERT INTO handled (id, answer, at) VALUES (?, ?, ?)"
        n = self._db.execute(sql, (message_id, answer, time.time())).lastrowid or 0
        self._db.execute("DELETE FROM handled WHERE n <= ?", (n - _REMEMBER,))

    # --- what the commands keep ---

    def _meta(self, name: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else "0"

    def kept(self, name: str) -> str:
        """Return what the transport kept under this name; an empty text if nothing."""
        sql = "SELECT value FROM meta WHERE name = ?"
        row = self._db.execute(sql, (f"transport.{name}",)).fetchone()
        return str(row[0]) if row else ""

    async def keep(self, name: str, value: str) -> None:
        """Keep a text for the transport."""
        async with self.transaction():
            sql = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
            self._db.execute(sql, (f"transport.{name}", value))

    def linked_at(self) -> float:
        """Return when the session was made, in seconds since 1970."""
        return float(self._meta("linked_at"))

    def starts(self) -> int:
        """Return how often a bot was started with this session, this time included."""
        return int(self._meta("starts"))

    async def count_start(self) -> None:
        """Count this start."""
        async with self.transaction():
            sql = "INSERT OR REPLACE INTO meta VALUES ('starts', ?)"
            self._db.execute(sql, (str(self.starts() + 1),))

    def notes(self) -> list[str]:
        """Return the notes, oldest first."""
        return [row[0] for row in self._db.execute("SELECT text FROM notes ORDER BY n")]

    def add_note(self, text: str) -> None:
        """Keep a note."""
        self._db.execute("INSERT INTO notes (text, at) VALUES (?, ?)", (text, time.time()))

    def clear_notes(self) -> None:
        """Drop all notes."""
        self._db.execute("DELETE FROM notes")

    def reminders(self) -> list[Reminder]:
        """Return the reminders that did not fire yet, the next one first."""
        sql = "SELECT id, due, text FROM reminders ORDER BY due, id"
        return [Reminder(*row) for row in self._db.execute(sql)]

    def add_reminder(self, reminder: Reminder) -> None:
        """Keep a reminder."""
        fields = (reminder.id, reminder.due, reminder.text)
        self._db.execute("INSERT INTO reminders VALUES (?, ?, ?)", fields)

    async def fired(self, reminder: Reminder) -> None:
        """Drop a reminder that the network has accepted."""
        async with self.transaction():
            self._db.execute("DELETE FROM reminders WHERE id = ?", (reminder.id,))


def _unusable(db: sqlite3.Connection, fingerprint: str) -> str:
    """Return why this is not the device's store; an empty text if it is."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if missing := {"meta", "keys", "handled", "notes", "reminders"} - tables:
        return f"is empty or damaged: it has no table {min(missing)}"
    sound = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if sound != "ok":
        return f"is damaged: {sound}"
    row = db.execute("SELECT value FROM meta WHERE name = 'fingerprint'").fetchone()
    return "" if row and row[0] == fingerprint else "belongs to another device"


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=rw"  # never makes a new, empty one
    return sqlite3.connect(uri, uri=True, isolation_level=None)


def load_creds(folder: Path) -> Creds | None:
    """Return who the device is; None if the folder was never linked.

    Raises: SessionLostError if the file is there and can't be used. It is left as it is.
    """
    path = folder / "creds.json"
    try:
        creds = Creds(**json.loads(path.read_text(encoding="utf-8")))
        if creds.key().fingerprint != creds.fingerprint:
            raise SessionLostError("creds.json: the fingerprint is not its key's")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError, BadKeyError) as problem:
        kind = type(problem).__name__  # the text may quote the file, which holds a secret
        raise SessionLostError(f"creds.json can't be read ({kind})") from None
    return creds


def save_new(folder: Path, creds: Creds, key: BoxKey) -> None:
    """Write a new session: the store first, then, at once or not at all, who we are.

    Raises: SessionLostError if the folder is linked already.
    """
    path = folder / "creds.json"
    if path.exists():
        raise SessionLostError("creds.json is there already: not overwritten")
    Store.create(folder / "store.db", creds.fingerprint, key)
    write_private(path, json.dumps(asdict(creds), indent=1) + "\n")
