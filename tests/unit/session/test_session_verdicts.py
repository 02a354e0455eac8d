"""What a snapshot is called: good, fuzzy or bad, and what is no damage."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.policy import Keep
from tests.unit.session.sessionkit import ID, Place, fill, write_key


def test_a_file_that_cannot_be_read_makes_it_fuzzy(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing in a snapshot is said, and it is not called good."""
    manager = place.linked()
    write_key(place.live, "changed")
    really = os.open

    def denied(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if str(path).endswith("keys/two") and str(place.live) in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path, flags, *rest, **more)

    with (place.live / "keys" / "two").open("ab") as file:
        file.write(b" is read again")
    monkeypatch.setattr(os, "open", denied)
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "fuzzy"
    assert "keys/two can't be read" in manager.store.find(ID, snapshot.id).why


@pytest.mark.parametrize("how", ["grows", "goes"])
def test_a_file_that_moves_during_the_copy_makes_it_fuzzy(
    place: Place, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is tried again, then said."""
    manager = place.linked()
    write_key(place.live, "moving")
    path = place.live / "keys" / "one"
    really = os.open

    def moving(name: Any, flags: int, *rest: Any, **more: Any) -> int:
        if str(name) == str(path) and how == "goes":
            path.unlink(missing_ok=True)
        return really(name, flags, *rest, **more)

    preadv = os.preadv

    def growing(source: int, buffers: Any, offset: int) -> int:
        if how == "grows" and Path(f"/proc/self/fd/{source}").readlink() == path:
            with path.open("ab") as file:
                file.write(b"!")
        return preadv(source, buffers, offset)

    monkeypatch.setattr(os, "open", moving)
    monkeypatch.setattr(os, "preadv", growing)
    capture = manager.capture(ID, reason="periodic", generation=1, hot=True)
    snapshot = manager.commit(capture)
    assert snapshot.verdict == "fuzzy"
    assert "keys/one" in manager.store.find(ID, snapshot.id).why


def test_a_torn_session_is_called_bad_and_displaces_nothing(place: Place) -> None:
    """The good ones stay, however many bad ones come."""
    manager = place.linked(keep=Keep(last=1, hourly=0, daily=0))
    write_key(place.live, "good too")
    good = [manager.snapshots(ID)[0].id, manager.backup(ID).id]
    for text in ("{", "{{", "{{{", ""):
        (place.live / "creds.json").write_text(text)
        assert manager.backup(ID).verdict == "bad"
    names = {s.id: s.verdict for s in manager.snapshots(ID)}
    assert set(good) <= set(names)
    assert sorted(names.values()) == ["bad", "bad", "good", "good"]
    assert manager.restore(ID).snapshot == manager.snapshots(ID)[1]


def test_a_torn_database_is_called_bad(place: Place) -> None:
    """Cut, overwritten inside, and overwritten whole."""
    manager = place.linked()
    whole = (place.live / "store.db").read_bytes()
    inside = whole[:4096] + b"\xff" * 4096 + whole[8192:]
    for content in (whole[:-4096], inside, b"nonsense" * 600, b""):
        (place.live / "store.db").write_bytes(content)
        assert manager.backup(ID).verdict == "bad"


@pytest.mark.parametrize("name", [b"caf\xe9.db", b"100%?#.db", b"a b.db"])
def test_a_database_may_have_any_name(place: Place, name: bytes) -> None:
    """Names are bytes: each is opened, found whole, and found torn."""
    fill(place.live)
    odd = place.live / os.fsdecode(name)
    odd.write_bytes((place.live / "store.db").read_bytes())
    manager = place.manager()
    assert manager.backup(ID).verdict == "good"
    assert manager.check(ID).verdict == "passed"
    odd.write_bytes(odd.read_bytes()[:4096] + b"\xff" * 4096 + odd.read_bytes()[8192:])
    assert manager.backup(ID).verdict == "bad"


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE new(a) LAID OUT DIFFERENTLY",
        "CREATE VIRTUAL TABLE new USING the_bots_own()",
    ],
)
def test_what_our_sqlite_does_not_know_is_no_damage(place: Place, made: str) -> None:
    """The bot may have a newer one, and modules of its own: its session is whole all the same."""
    fill(place.live)
    with closing(sqlite3.connect(place.live / "store.db")) as database, database:
        database.execute("PRAGMA writable_schema=ON")
        row = "INSERT INTO sqlite_master VALUES ('table', 'new', 'new', 0, ?)"
        database.execute(row, (made,))
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.check(ID).why == ""
    assert manager.backup(ID).verdict == "good"


def test_somebody_with_the_session_open_makes_a_backup_fuzzy(place: Place) -> None:
    """A hot copy says so in its verdict."""
    manager = place.linked()
    write_key(place.live, "being written")
    with (place.live / "keys" / "one").open("rb"):
        assert manager.backup(ID).verdict == "fuzzy"
