"""Before the library may touch a session: it is the device's, or refused and left as it is."""

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bot.session import SessionLostError
from bot.transports import InUseError
from bot.transports.whatsapp_guards import (
    DATABASE,
    MARKER,
    Device,
    OpenDatabase,
    check,
    hold,
    note_ended,
    note_linked,
)
from tests.whatsapp import DEVICE, add_device, database, needs_neonize

# The library alone makes its databases: nothing here is a guess at what they look like.
pytestmark = needs_neonize


def linked(folder: Path) -> Device:
    """Make a linked session: the library's database with a device, and our marker."""
    add_device(database(folder / DATABASE))
    found = check(folder)
    assert found is not None
    note_linked(folder, found)
    return found


def refused(folder: Path) -> str:
    """Return why a session is refused; nothing of it has changed."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(SessionLostError) as caught:
        check(folder)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return str(caught.value)


def test_a_session_says_which_device_it_is(tmp_path: Path) -> None:
    """Its address and its key's fingerprint, the same each time; never the key."""
    found = linked(tmp_path)
    assert found.id == DEVICE
    assert found == check(tmp_path)
    assert found.identity == f"{DEVICE}:{found.fingerprint}"
    assert len(found.fingerprint) == 16
    assert (b"k" * 32).hex()[:8] not in found.identity
    marker = (tmp_path / MARKER).read_text()
    assert json.loads(marker)["device"] == DEVICE
    assert (tmp_path / MARKER).stat().st_mode & 0o777 == 0o600


def test_what_was_never_linked_is_no_device(tmp_path: Path) -> None:
    """An empty folder, or a database that waits for its first link."""
    assert check(tmp_path) is None
    database(tmp_path / DATABASE)
    assert check(tmp_path) is None


def test_a_session_from_elsewhere_is_taken_as_it_is(tmp_path: Path) -> None:
    """Only a marker that says otherwise refuses it."""
    add_device(database(tmp_path / DATABASE))
    found = check(tmp_path)
    assert found is not None
    assert found.id == DEVICE


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 99, 100, 511, 4095, 4096, 20_000])
def test_a_database_that_was_cut_short_is_lost(tmp_path: Path, size: int, *, marked: bool) -> None:
    """Wherever it ends, and whether or not anybody knows that it was linked."""
    linked(tmp_path)
    if not marked:
        (tmp_path / MARKER).unlink()
    path = tmp_path / DATABASE
    path.write_bytes(path.read_bytes()[:size])
    assert refused(tmp_path).startswith(DATABASE)


@pytest.mark.parametrize("garbage", [b"\0" * 8192, b"hello\n", b"SQLite format 3\0" + b"x" * 8000])
def test_a_file_that_is_no_database_is_lost(tmp_path: Path, garbage: bytes) -> None:
    """Also one that begins like one."""
    linked(tmp_path)
    (tmp_path / DATABASE).write_bytes(garbage)
    assert refused(tmp_path).startswith(DATABASE)


def test_a_database_with_a_page_overwritten_is_lost(tmp_path: Path) -> None:
    """The header is fine, what it leads to is not."""
    linked(tmp_path)
    path = tmp_path / DATABASE
    data = bytearray(path.read_bytes())
    data[4096 : 4 * 4096] = b"\xff" * (3 * 4096)
    path.write_bytes(data)
    assert refused(tmp_path).startswith(DATABASE)


def test_a_database_that_is_gone_is_lost(tmp_path: Path) -> None:
    """The marker says that a device was linked here."""
    linked(tmp_path)
    (tmp_path / DATABASE).unlink()
    assert refused(tmp_path) == f"{DATABASE} is missing, and a device was linked here"


def test_a_database_without_the_linked_device_is_lost(tmp_path: Path) -> None:
    """A fresh one, or another device's: the library would take either."""
    linked(tmp_path)
    database(tmp_path / DATABASE)
    assert "empty of the device" in refused(tmp_path)
    add_device(tmp_path / DATABASE, "4930401:1@s.whatsapp.net")
    assert "another device's" in refused(tmp_path)


def test_the_same_address_with_another_key_is_another_device(tmp_path: Path) -> None:
    """An address is used again; a key never."""
    linked(tmp_path)
    add_device(database(tmp_path / DATABASE), key=b"z" * 32)
    assert "another device's" in refused(tmp_path)


def test_of_several_devices_it_is_the_linked_one(tmp_path: Path) -> None:
    """The library would take the first."""
    add_device(database(tmp_path / DATABASE), "4930401:1@s.whatsapp.net", key=b"z" * 32)
    add_device(tmp_path / DATABASE)
    first = check(tmp_path)
    assert first is not None
    mine = Device(DEVICE, OpenDatabase(tmp_path).devices()[1].fingerprint)
    assert first != mine
    note_linked(tmp_path, mine)
    assert check(tmp_path) == mine


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_torn_marker_is_lost(tmp_path: Path, torn: bytes) -> None:
    """Nobody knows any more which device was linked here."""
    linked(tmp_path)
    (tmp_path / MARKER).write_bytes(torn)
    assert refused(tmp_path) == f"{MARKER} can't be read"


def test_a_logout_is_remembered(tmp_path: Path) -> None:
    """The library deletes the device at once: whoever starts next still hears why."""
    linked(tmp_path)
    note_ended(tmp_path, "401 logged out")
    database(tmp_path / DATABASE)
    assert refused(tmp_path) == "401 logged out"


def test_no_refusal_can_be_taken_for_a_logout(tmp_path: Path) -> None:
    """The supervisor looks for `401`: an address, a size or a position may hold it."""
    add_device(database(tmp_path / DATABASE), "401401401:1@s.whatsapp.net")
    note_linked(tmp_path, Device(DEVICE, "401"))
    path = tmp_path / DATABASE
    whole = path.read_bytes()
    reasons = [refused(tmp_path)]
    for size in (0, 401, 4010):
        path.write_bytes(whole[:size])
        reasons.append(refused(tmp_path))
    path.unlink()
    reasons.append(refused(tmp_path))
    assert not [reason for reason in reasons if any(c.isdigit() for c in reason)]


def test_what_a_crash_left_half_done_is_rolled_back(tmp_path: Path) -> None:
    """The library's journal beside it belongs to it: that is no damage."""
    linked(tmp_path)
    dies = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN")
db.execute("CREATE TABLE big (data)")
db.executemany("INSERT INTO big VALUES (?)", [(os.urandom(4000),)] * 50)
db.execute("DELETE FROM whatsmeow_device")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", dies, str(tmp_path / DATABASE)], check=True, timeout=60)
    assert (tmp_path / f"{DATABASE}-journal").exists()
    found = check(tmp_path)
    assert found is not None
    assert found.id == DEVICE


def test_a_session_is_held_by_one_process(tmp_path: Path) -> None:
    """A second one, started by hand, is told so; the end of the first lets go."""
    holds = """
import sys
from pathlib import Path
from bot.transports.whatsapp_guards import hold
hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InUseError, match="another process uses this session"):
            hold(tmp_path)
        other.stdin.close()
        other.wait(20)
    assert hold(tmp_path) >= 0


_LIBRARY_READS = """
import sys
from pathlib import Path
from neonize._binder import func_callback_bytes2, gocode
from bot.transports.whatsapp_guards import OpenDatabase
path = Path(sys.argv[1])
briefly = f"{path}?_busy_timeout=10&_foreign_keys=on&x=".encode()
silent = func_callback_bytes2(lambda *_: None)
ours = OpenDatabase(path.parent)
for _ in range(2):
    print(gocode.GetAllDevices(briefly, silent).decode(), len(ours.devices()))
ours.seal()
print(gocode.GetAllDevices(briefly, silent).decode())
"""


def test_the_library_is_shut_out_of_a_sealed_database(tmp_path: Path) -> None:
    """In the process that sealed it too, though POSIX locks do not hold within one process."""
    linked(tmp_path)
    command = [sys.executable, "-c", _LIBRARY_READS, str(tmp_path / DATABASE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    before, between, sealed = done.stdout.splitlines()
    assert before == between
    assert before.startswith(DEVICE)
    assert "database is locked" in sealed


def _writer(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / DATABASE, timeout=0, isolation_level=None)


def test_a_transaction_is_waited_for(tmp_path: Path) -> None:
    """Neither a read nor the seal comes in the middle of one."""
    linked(tmp_path)
    ours = OpenDatabase(tmp_path)
    with contextlib.closing(_writer(tmp_path)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BlockingIOError):
            ours.devices()
        with pytest.raises(BlockingIOError):
            ours.seal()
        writer.execute("DELETE FROM whatsmeow_device")
        writer.execute("COMMIT")
        assert ours.devices() == []
        ours.seal()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.execute("BEGIN IMMEDIATE")
