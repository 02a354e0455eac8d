"""Small sessions of each kind, with the names and schemas that the real libraries have."""

import base64
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.unit.session.leveldbkit import Set
from tests.unit.session.sessionkit import fill

Row = tuple[Any, ...]

PUBLIC = bytes(range(32))


def buffer(data: bytes) -> dict[str, Any]:
    """Return bytes as Baileys' BufferJSON writes them."""
    return {"type": "Buffer", "data": base64.b64encode(data).decode()}


def creds(*, linked: bool = True, public: bytes = PUBLIC) -> dict[str, Any]:
    """Return the credentials of one device."""
    pair = {"private": buffer(b"p" * 32), "public": buffer(public)}
    known: dict[str, Any] = {
        "noiseKey": pair,
        "signedIdentityKey": pair,
        "signedPreKey": {"keyPair": pair, "signature": buffer(b"s" * 64), "keyId": 1},
        "registrationId": 0,
        "advSecretKey": "c2VjcmV0",
    }
    return known | ({"me": {"id": "971505760056:12@s.whatsapp.net"}} if linked else {})


def baileys(folder: Path, **options: Any) -> Path:
    """Write what useMultiFileAuthState writes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "creds.json").write_text(json.dumps(creds(**options)))
    for name in ("pre-key-1", "session-97150.0", "app-state-sync-key-AAAA"):
        (folder / f"{name}.json").write_text(json.dumps({"key": buffer(b"k" * 32)}))
    return folder


INDEXED = "https_web.whatsapp.com_0.indexeddb.leveldb"


def chromium(folder: Path) -> Path:
    """Write what a browser leaves that was logged in."""
    inside = folder / "Default"
    Set().write(inside / "Local Storage" / "leveldb")
    Set().write(inside / "IndexedDB" / INDEXED)
    Set().write(inside / "Session Storage")
    (folder / "Local State").write_text("{}")
    (inside / "Preferences").write_text("{}")
    with closing(sqlite3.connect(inside / "Cookies")) as database, database:
        database.execute("CREATE TABLE cookies(value BLOB)")
    for cache in ("Cache", "Code Cache", "GPUCache", "DawnWebGPUCache"):
        (inside / cache).mkdir()
        (inside / cache / "data_0").write_bytes(os.urandom(2000))
    (folder / "SingletonLock").symlink_to("host-4711")
    return folder


def _database(path: Path, schema: str, *rows: tuple[str, Row], journal: str = "delete") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"PRAGMA journal_mode={journal}")
        database.executescript(schema)
        add(database, *rows)


def add(database: sqlite3.Connection, *rows: tuple[str, Row]) -> None:
    """Insert rows, each with the name of its table before it."""
    for table, row in rows:
        marks = ", ".join("?" * len(row))
        database.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - ours


def key(device: int, which: int, length_bytes: int = 32) -> bytes:
    """Return one of the keys of a device: the same each time."""
    return hashlib.shake_256(f"{device} {which}".encode()).digest(length_bytes)


# --- whatsmeow, schema version 15, as neonize 0.5.2 makes it ---------------------------------

WHATSMEOW = """
CREATE TABLE whatsmeow_version (version INTEGER, compat INTEGER);
INSERT INTO whatsmeow_version VALUES (15, 8);
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY, lid TEXT, facebook_uuid uuid, registration_id BIGINT NOT NULL,
    noise_key bytea NOT NULL CHECK ( length(noise_key) = 32 ),
    identity_key bytea NOT NULL CHECK ( length(identity_key) = 32 ),
    signed_pre_key bytea NOT NULL, signed_pre_key_id INTEGER NOT NULL,
    signed_pre_key_sig bytea NOT NULL, adv_key bytea NOT NULL, adv_details bytea NOT NULL,
    adv_account_sig bytea NOT NULL, adv_account_sig_key bytea NOT NULL,
    adv_device_sig bytea NOT NULL, platform TEXT NOT NULL DEFAULT ''
);
CREATE TABLE whatsmeow_sessions (
    our_jid TEXT, their_id TEXT, session bytea, PRIMARY KEY (our_jid, their_id),
    FOREIGN KEY (our_jid) REFERENCES whatsmeow_device(jid) ON DELETE CASCADE
);
"""
JID = "971505760056:12@s.whatsapp.net"


def whatsmeow_rows(device: int, jid: str = JID) -> list[tuple[str, Row]]:
    """Return what links a device: its row, and sessions with others."""
    keys = [key(device, which) for which in range(3)]
    signed = [key(device, 3, 64), key(device, 4), b"details", key(device, 5, 64), key(device, 6)]
    row = (jid, None, None, 77, *keys, 1, *signed, key(device, 7, 64), "android")
    others = [("whatsmeow_sessions", (jid, f"{n}.0", os.urandom(300))) for n in range(20)]
    return [("whatsmeow_device", row), *others]


def neonize(folder: Path, *, linked: bool = True, device: int = 1, name: str = "bot.db") -> Path:
    """Write whatsmeow's store."""
    _database(folder / name, WHATSMEOW, *(whatsmeow_rows(device) if linked else []))
    return folder


# --- Telegram ---------------------------------------------------------------------------------

TELETHON = """
CREATE TABLE version (version integer primary key);
INSERT INTO version VALUES (8);
CREATE TABLE sessions (
    dc_id integer primary key, server_address text, port integer, auth_key blob,
    takeout_id integer, tmp_auth_key blob
);
CREATE TABLE entities (
    id integer primary key, hash integer not null, username text, phone integer, name text,
    date integer
);
CREATE TABLE update_state (
    id integer primary key, pts integer, qts integer, date integer, seq integer
);
"""
PYROGRAM = """
CREATE TABLE sessions (
    dc_id INTEGER PRIMARY KEY, api_id INTEGER, test_mode INTEGER, auth_key BLOB,
    date INTEGER NOT NULL, user_id INTEGER, is_bot INTEGER
);
CREATE TABLE peers (
    id INTEGER PRIMARY KEY, access_hash INTEGER, type INTEGER NOT NULL, username TEXT,
    phone_number TEXT, last_update_on INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE version (number INTEGER PRIMARY KEY);
INSERT INTO version VALUES (3);
"""


def auth_key(device: int) -> bytes:
    """Return the key of one login."""
    return key(device, 0, 256)


def telethon(folder: Path, *, linked: bool = True, device: int = 1) -> Path:
    """Write what telethon 1.45 writes; not `linked`: before it has a key."""
    row = (2, "149.154.167.51", 443, auth_key(device) if linked else b"", None, b"")
    _database(folder / "anon.session", TELETHON, ("sessions", row))
    return folder


def pyrogram_row(device: int, user: int | None = 4711) -> tuple[str, Row]:
    """Return what logs a user in."""
    return "sessions", (4, 12345, 0, auth_key(device), 1795557600, user, 0)


def pyrogram(folder: Path, *, linked: bool = True, device: int = 1) -> Path:
    """Write what pyrogram 2.0.106 writes; not `linked`: it has a key, and nobody logged in."""
    row = pyrogram_row(device, 4711 if linked else None)
    _database(folder / "my_account.session", PYROGRAM, row)
    return folder


# --- Matrix -----------------------------------------------------------------------------------

NIO = """
CREATE TABLE storeversion (id INTEGER NOT NULL PRIMARY KEY, version INTEGER NOT NULL);
INSERT INTO storeversion VALUES (1, 2);
CREATE TABLE accounts (
    id INTEGER NOT NULL PRIMARY KEY, account BLOB NOT NULL, user_id TEXT NOT NULL,
    device_id TEXT NOT NULL, shared INTEGER NOT NULL, UNIQUE(user_id,device_id)
);
CREATE TABLE synctokens (
    id INTEGER NOT NULL PRIMARY KEY, token TEXT NOT NULL, account_id INTEGER NOT NULL,
    UNIQUE(account_id)
);
"""
USER = "@bot:example.org"


def nio(folder: Path, *, linked: bool = True, device: str = "ABCDEFGHIJ") -> Path:
    """Write what a bot of nio's examples writes: its login, and the store of its keys."""
    login = {"homeserver": "https://example.org", "user_id": USER, "device_id": device}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(login | ({"access_token": "syt_secret"} if linked else {}))
    (folder / "credentials.json").write_text(text)
    if linked:
        row = (1, base64.b64encode(os.urandom(600)), USER, device, 1)
        _database(folder / "store" / f"{USER}_{device}.db", NIO, ("accounts", row))
    return folder


_LEVELDB = [
    f"Default/Local Storage/leveldb/{name}"
    for name in ("CURRENT", "MANIFEST-000002", "000009.ldb", "000008.log")
]
# By name: how a linked one is written, and the files without which it is no session.
KINDS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "stillhere": (fill, ("creds.json", "store.db")),
    "baileys": (baileys, ("creds.json",)),
    "chromium": (
        chromium,
        (*_LEVELDB, "Default/Cookies"),
    ),
    "neonize": (neonize, ("bot.db",)),
    "telethon": (telethon, ("anon.session",)),
    "pyrogram": (pyrogram, ("my_account.session",)),
    "matrix-nio": (nio, ("credentials.json", f"store/{USER}_ABCDEFGHIJ.db")),
}
