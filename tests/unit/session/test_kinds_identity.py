"""Whose device a session is, read at rest: the same words each time, and no key in them."""

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.session.proof.databases import rows
from supervisor.session.proof.profile import KNOWN, identity_of, profile_for
from tests.unit.session.kindkit import (
    JID,
    PYROGRAM,
    USER,
    add,
    auth_key,
    key,
    neonize,
    nio,
    pyrogram,
    pyrogram_row,
    telethon,
    whatsmeow_rows,
)
from tests.unit.session.sessionkit import ID, Place, fill, tree

DATABASES: dict[str, Callable[..., Path]] = {
    "neonize": neonize,
    "telethon": telethon,
    "pyrogram": pyrogram,
}
BEGINS = {"neonize": f"{JID}:", "telethon": "dc2:", "pyrogram": "4711@dc4:"}
SECRETS = {"neonize": key(1, 1), "telethon": auth_key(1), "pyrogram": auth_key(1)}


def looks(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return all that stat says of a folder and what is in it, but when it was read."""
    found: dict[str, tuple[int, ...]] = {}
    for path in [folder, *folder.rglob("*")]:
        s = path.lstat()
        found[str(path)] = (s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
    return found


@pytest.mark.parametrize("kind", DATABASES)
def test_a_database_says_whose_device_it_is(tmp_path: Path, kind: str) -> None:
    """And a hash of its key tells one login from the next; of no login it says nothing."""
    write, profile = DATABASES[kind], KNOWN[kind]
    identity = profile.identity(write(tmp_path / "one"))
    assert identity is not None
    assert identity.startswith(BEGINS[kind])
    fingerprint = identity.rpartition(":")[2]
    assert len(fingerprint) == 16
    secret = SECRETS[kind]
    assert fingerprint not in secret.hex()
    assert fingerprint not in base64.b64encode(secret).decode()
    assert profile.identity(write(tmp_path / "again")) == identity
    assert profile.identity(write(tmp_path / "two", device=2)) != identity
    none = write(tmp_path / "none", linked=False)
    assert profile.identity(none) is None
    assert profile_for(none) is profile, "it is of that kind all the same"


def test_whatsmeows_store_may_have_any_name(tmp_path: Path) -> None:
    """Other databases lie beside it; the device that was linked first counts."""
    neonize(tmp_path, name="my bot")
    telethon(tmp_path / "below")
    with closing(sqlite3.connect(tmp_path / "cache.db")) as database:
        database.execute("CREATE TABLE sessions(id)")
    (tmp_path / "a-link").symlink_to("my bot")
    assert profile_for(tmp_path).name == "neonize"
    identity = KNOWN["neonize"].identity(tmp_path)
    with closing(sqlite3.connect(tmp_path / "my bot")) as database, database:
        add(database, *whatsmeow_rows(2, "1234567:3@s.whatsapp.net"))
    assert KNOWN["neonize"].identity(tmp_path) == identity


@pytest.mark.parametrize(
    ("login", "identity"),
    [
        ({"user_id": USER, "device_id": "D", "access_token": "t"}, f"{USER}/D"),
        ({"userId": USER, "deviceId": "D", "accessToken": "t"}, f"{USER}/D"),
        ({"user": USER, "device_id": "D", "token": "t"}, f"{USER}/D"),
        ({"user_id": USER, "device_id": "D"}, None),
        ({"user_id": "bot", "device_id": "D", "access_token": "t"}, None),
        ({"user_id": USER, "device_id": 4, "access_token": "t"}, None),
    ],
)
def test_nios_login_is_known_in_several_spellings(
    tmp_path: Path, login: dict[str, object], identity: str | None
) -> None:
    """Its examples write one, and bots have written others; without a token it is no login."""
    (tmp_path / "credentials.json").write_text(json.dumps(login))
    assert KNOWN["matrix-nio"].identity(tmp_path) == identity
    assert (profile_for(tmp_path).name == "matrix-nio") == (identity is not None)


def test_nios_store_must_be_that_devices(tmp_path: Path) -> None:
    """With the keys of another device, or with none where they were, it would make new ones."""
    profile = KNOWN["matrix-nio"]
    folder = nio(tmp_path)
    assert profile.identity(folder) == f"{USER}/ABCDEFGHIJ"
    store = next((folder / "store").iterdir())
    with closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE accounts SET device_id = 'OTHER'")
    assert profile.identity(folder) is None
    store.unlink()
    assert profile.identity(folder) is None
    (folder / "store").rmdir()
    assert profile.identity(folder), "a bot without encryption has none"


# --- nothing is changed ---------------------------------------------------------------------


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_bot_that_writes_notices_nothing(tmp_path: Path, journal: str) -> None:
    """No file comes, goes or changes, and its lock is no obstacle, whatever it has open."""
    folder = pyrogram(tmp_path)
    path = folder / "my_account.session"
    identity = KNOWN["pyrogram"].identity(folder)
    with closing(sqlite3.connect(path, isolation_level=None)) as bot:
        bot.execute(f"PRAGMA journal_mode={journal}")
        bot.execute("BEGIN EXCLUSIVE")
        bot.execute("INSERT INTO peers(id, type) VALUES (1, 1)")
        before = looks(folder)
        assert KNOWN["pyrogram"].identity(folder) == identity
        assert profile_for(folder).name == "pyrogram"
        assert looks(folder) == before
        bot.execute("COMMIT")
        assert len(before) == {"delete": 3, "wal": 4}[journal], "its journal lies beside it"


def test_a_login_that_is_only_in_the_journal_counts_at_rest(place: Place) -> None:
    """The bot was killed before its -wal went into the database: that is no damage.

    Without the journal the file alone says that nobody ever logged in.
    """
    source = place.root / "source"
    path = pyrogram(source, linked=False) / "my_account.session"
    place.live.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as bot:
        bot.execute("PRAGMA journal_mode=wal")
        bot.execute("DELETE FROM sessions")
        add(bot, pyrogram_row(1))
        bot.commit()
        for name in (path.name, f"{path.name}-wal"):
            shutil.copy2(source / name, place.live / name)
    manager = place.manager()
    manager.note_linked(ID, None)
    assert KNOWN["pyrogram"].identity(place.live) is None
    assert manager.backup(ID).verdict == "good"
    (stored,) = manager.store.listing(ID).snapshots
    assert stored.at_rest == KNOWN["pyrogram"].identity(pyrogram(place.root / "same"))
    before = looks(place.live)
    for quick in (False, True):
        assert manager.check(ID, quick=quick).verdict == "passed"
    assert looks(place.live) == before
    (place.live / "notes.txt").write_text("nothing else changed")
    assert manager.backup(ID).verdict == "good"
    wanted = tree(place.live)
    (place.live / f"{path.name}-wal").unlink()
    assert "whose device" in manager.check(ID).why
    assert manager.restore(ID).action == "restored"
    assert tree(place.live) == wanted


def test_sqlite_is_not_loaded_for_a_bots_own_database(tmp_path: Path) -> None:
    """It takes 2 MB that a supervisor of many bots need not have."""
    fill(tmp_path)
    (tmp_path / "creds.json").unlink()
    script = (
        "import sys; from pathlib import Path\n"
        "from supervisor.session.manager import SessionManager\n"
        "from supervisor.session.proof.profile import profile_for\n"
        f"print(profile_for(Path({str(tmp_path)!r})).name, 'sqlite3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["generic", "False"]


# --- whatever lies there --------------------------------------------------------------------


@pytest.mark.parametrize("kind", DATABASES)
def test_a_torn_database_says_the_same_or_nothing(tmp_path: Path, kind: str) -> None:
    """Half written under our eyes, or damaged: never another device, never an error."""
    folder = DATABASES[kind](tmp_path)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    known = {KNOWN[kind].identity(folder), None}
    for at in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at])
        assert KNOWN[kind].identity(folder) in known
        path.write_bytes(whole[:at] + bytes(512) + whole[at + 512 :])
        assert KNOWN[kind].identity(folder) in known


def test_only_a_plain_table_is_asked(tmp_path: Path) -> None:
    """A view that never ends, or a file that is no file, holds nobody up."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
    with closing(sqlite3.connect(tmp_path / "bot.session")) as database:
        database.execute(f"CREATE VIEW whatsmeow_device AS {endless} i jid, i identity_key FROM n")
        database.execute("CREATE TABLE sessions(dc_id, user_id)")
    assert rows(tmp_path / "bot.session", "whatsmeow_device", ("jid",)) == []
    assert rows(tmp_path / "bot.session", "sessions", ("auth_key",)) == []
    os.mkfifo(tmp_path / "a.session")
    (tmp_path / "b.session").mkdir()
    (tmp_path / "c.session").symlink_to("bot.session")
    assert profile_for(tmp_path).name == "generic"
    for profile in KNOWN.values():
        assert identity_of(profile, tmp_path) is None
    assert identity_of(KNOWN["telethon"], tmp_path / "nowhere") is None


def test_a_row_that_is_too_long_is_none(tmp_path: Path) -> None:
    """A database may claim to have a key of a gigabyte; so much is not read."""
    with closing(sqlite3.connect(tmp_path / "big.session")) as database, database:
        database.executescript(PYROGRAM)
        database.execute("INSERT INTO sessions VALUES (4, 1, 0, zeroblob(2000000), 0, 4711, 0)")
    assert rows(tmp_path / "big.session", "sessions", ("auth_key",)) == []
    assert KNOWN["pyrogram"].identity(tmp_path) is None
