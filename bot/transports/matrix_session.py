"""The session of a Matrix device at rest: what must hold before the library may touch it.

Three files, one set: `creds.json` (who the device is, with its access token: a secret), `crypto.db`
(the library's keys) and `store.db` (the bot's own). The library makes a new device key where it
finds none, and publishes it over the old one, which makes the device deaf for good. So the key in
`crypto.db` is compared with the fingerprint written at the login **before** the library opens it.
Nothing here writes to `crypto.db`, and no error quotes what a file holds.
"""

import contextlib
import hashlib
import json
import sqlite3
from dataclasses import asdict, dataclass, field
from pathlib import Path

import vodozemac
from nio.crypto.sessions import OlmAccount

from bot.protocol import write_private
from bot.session import SessionLostError

CREDS, KEYS, STORE = "creds.json", "crypto.db", "store.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Creds:
    """Who the device is. `token` and `pickle` (the password of the keys' file) are secrets."""

    server: str
    user: str
    device: str
    fingerprint: str
    linked_at: float  # seconds since 1970
    token: str = field(repr=False)
    pickle: str = field(repr=False)

    @property
    def identity(self) -> str:
        """What others may know: the device and its key's fingerprint."""
        return f"{self.device}:{self.fingerprint}"


def fingerprint(ed25519: str, curve25519: str) -> str:
    """Return the short name of a device's identity keys, safe to show."""
    both = f"stillhere matrix\0{ed25519}\0{curve25519}"
    return hashlib.sha256(both.encode()).hexdigest()[:16]


def load_creds(folder: Path) -> Creds | None:
    """Return who the device is; None if the folder was never linked.

    Raises: SessionLostError if the file can't be used, or is missing beside a device's keys.
    """
    path = folder / CREDS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        creds = Creds(**found)
        wrong = [name for name, value in found.items() if name != "linked_at" and not _text(value)]
        if wrong or not isinstance(creds.linked_at, int | float):
            raise SessionLostError(f"{CREDS} is damaged")
    except FileNotFoundError:
        left = [name for name in (KEYS, STORE) if (folder / name).exists()]
        if left:
            raise SessionLostError(f"{CREDS} is missing, and {left[0]} is there") from None
        return None
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        kind = type(problem).__name__  # the text may quote the file, which holds secrets
        raise SessionLostError(f"{CREDS} can't be read ({kind})") from None
    return creds


def save_creds(folder: Path, creds: Creds) -> None:
    """Write who the device is, at once or not at all, readable by us alone."""
    write_private(folder / CREDS, json.dumps(asdict(creds), indent=1) + "\n")


def check_keys(folder: Path, creds: Creds) -> None:
    """Make sure that the keys' file holds the key that the device was linked with.

    Raises: SessionLostError; sqlite3.OperationalError where the session is not to blame.
    """
    path = folder / KEYS
    if not path.is_file():
        raise SessionLostError(f"{KEYS} is missing")
    uri = f"{path.resolve().as_uri()}?mode=rw"  # rw: it may have to undo a write that was killed
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
            why = _unusable(db, creds)
    except sqlite3.OperationalError:
        raise  # a full disk, a lock, a permission
    except sqlite3.DatabaseError as problem:
        why = f"is damaged: {problem}"
    if why:
        raise SessionLostError(f"{KEYS} {why}")


def _unusable(db: sqlite3.Connection, creds: Creds) -> str:
    """Return why this is not the device's key file; an empty text if it is."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "accounts" not in tables:
        return "is empty or damaged: it has no table accounts"
    sound = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if sound != "ok":
        return f"is damaged: {sound}"
    sql = "SELECT account FROM accounts WHERE user_id = ? AND device_id = ?"
    row = db.execute(sql, (creds.user, creds.device)).fetchone()
    if row is None:
        return "has no key of this device"
    try:
        keys = OlmAccount.from_pickle(bytes(row[0]), creds.pickle).identity_keys
    except (vodozemac.PickleException, vodozemac.LibolmPickleException, ValueError, TypeError):
        return f"can't be opened with {CREDS}: they are of two sessions"
    same = fingerprint(keys["ed25519"], keys["curve25519"]) == creds.fingerprint
    return "" if same else "holds another device's key"


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
