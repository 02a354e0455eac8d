"""SQLite in a session: with its journal it is whole, emptied it is not, and it is never touched."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.proof.databases import mentions
from tests.unit.session.sessionkit import ID, Place, fill

# Writes in the given mode, tells it, and dies without closing anything.
WRITER = """
import os, sqlite3, sys
path, journal, locking = sys.argv[1:]
database = sqlite3.connect(path, isolation_level=None)
database.execute(f"PRAGMA locking_mode={locking}")
database.execute(f"PRAGMA journal_mode={journal}")
database.execute("PRAGMA wal_autocheckpoint=0")
database.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)")
database.execute("INSERT INTO t(v) VALUES (zeroblob(9000))")
if journal == "DELETE":
    # A transaction that has reached the file and is not committed: the journal is hot.
    database.execute("PRAGMA cache_size=1")
    database.execute("BEGIN")
    database.execute("UPDATE t SET v = randomblob(9000)")
    database.execute("INSERT INTO t(v) SELECT randomblob(9000) FROM t")
    database.execute("PRAGMA cache_spill=1")
print("ready", flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""
MODES = [("WAL", "NORMAL"), ("WAL", "EXCLUSIVE"), ("DELETE", "NORMAL"), ("TRUNCATE", "EXCLUSIVE")]


def rows(folder: Path) -> list[int]:
    """Return the length of each row, read in a copy."""
    copy = folder.with_name("rows")
    shutil.copytree(folder, copy)
    try:
        with closing(sqlite3.connect(copy / "bot.db")) as database:
            return [row[0] for row in database.execute("SELECT length(v) FROM t ORDER BY id")]
    finally:
        shutil.rmtree(copy)


def write(place: Place, journal: str, locking: str) -> SessionManager:
    """Return a manager of a linked session in which a writer was killed in that mode."""
    manager = place.linked()
    command = [sys.executable, "-c", WRITER, str(place.live / "bot.db"), journal, locking]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.communicate(b"\n", timeout=20)
    return manager


@pytest.mark.parametrize(("journal", "locking"), MODES)
def test_a_killed_writers_database_is_whole_with_its_journal(
    place: Place, journal: str, locking: str
) -> None:
    """The copy is recovered to prove it; the live files and the stored ones stay as they were."""
    manager = write(place, journal, locking)
    before = {path.name: path.read_bytes() for path in place.live.glob("bot.db*")}
    if journal == "WAL":
        assert before["bot.db-wal"]
        assert ("bot.db-shm" in before) == (locking == "NORMAL"), "exclusive needs none"
    if journal == "DELETE":
        assert before["bot.db-journal"], "it must be hot"
    assert manager.backup(ID).verdict == "good"
    assert manager.check(ID).verdict == "passed"
    assert {path.name: path.read_bytes() for path in place.live.glob("bot.db*")} == before
    content = rows(place.live)
    assert content == [9000]
    shutil.rmtree(place.live)
    assert manager.restore(ID).action == "restored"
    before.pop("bot.db-shm", None)
    assert {path.name: path.read_bytes() for path in place.live.glob("bot.db*")} == before
    assert rows(place.live) == content


def test_a_database_emptied_beside_its_wal_is_damage(place: Place) -> None:
    """SQLite would remove the -wal, which is all that is left of it."""
    manager = write(place, "WAL", "NORMAL")
    assert manager.backup(ID).verdict == "good"
    os.truncate(place.live / "bot.db", 0)
    check = manager.check(ID, quick=True)
    assert check.verdict == "damaged"
    assert "bot.db is empty" in check.why
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "bad"
    assert (place.live / "bot.db-wal").stat().st_size, "nobody opened it"


def test_a_database_whose_half_is_gone_is_seen_at_once(place: Place) -> None:
    """Its header says how long it is."""
    manager = place.linked()
    fill(place.root / "other", rows=200)
    shutil.copy(place.root / "other" / "store.db", place.live / "store.db")
    assert manager.backup(ID).verdict == "good"
    os.truncate(place.live / "store.db", 8192)
    assert "store.db is torn: 8192 bytes" in manager.check(ID, quick=True).why


@pytest.mark.parametrize("page_bytes", [512, 4096, 65536])
@pytest.mark.parametrize("others", [0, 200])
def test_a_table_is_mentioned_wherever_the_schema_has_it(
    place: Place, page_bytes: int, others: int
) -> None:
    """In the first page, be the rest of its line in another one, or behind two hundred others."""
    path = place.root / "bot.db"
    columns = ", ".join(f"a_column_with_a_long_name_{number} BLOB" for number in range(40))
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA page_size={page_bytes}")
        for number in range(others):
            database.execute(f"CREATE TABLE other_{number}(v BLOB)")
        database.execute(f"CREATE TABLE whatsmeow_device({columns})")
    assert mentions(path, "whatsmeow_device")
    assert not mentions(path, "accounts")
