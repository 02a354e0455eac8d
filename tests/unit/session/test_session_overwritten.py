"""An overwritten page of a sealed database is damage at once; whatever else, SQLite decides."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.proof import checks
from tests.unit.session.sessionkit import ID, Place, fill, tree

PAGE_BYTES = 4096


class Asked(Exception):  # noqa: N818 - it is no error
    """SQLite was asked."""


def ask(*_args: Any) -> None:
    """Stand for the validator."""
    raise Asked


def sealed(place: Place, rows: int) -> SessionManager:
    """Return a manager of a linked session at rest, sealed by a good snapshot."""
    fill(place.live, rows=rows)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    taken = manager.commit(manager.capture(ID, reason="sealed", generation=0, hot=False))
    assert taken.verdict == "good"
    assert manager.record(ID).sealed == taken.seq
    return manager


def overwrite(place: Place) -> None:
    """Overwrite a page in the middle."""
    path = place.live / "store.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // PAGE_BYTES * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


@pytest.mark.parametrize("rows", [100, 4000], ids=["one blob", "many"])
def test_an_overwritten_page_is_damage_without_sqlite(
    place: Place, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Of a small database and of a large one; SQLite says the same, and it comes back."""
    manager = sealed(place, rows)
    wanted = tree(place.live)
    overwrite(place)
    with monkeypatch.context() as patch:
        patch.setattr(checks, "deep_problems", None)
        check = manager.check(ID)
        assert (check.verdict, "was overwritten" in check.why) == ("damaged", True)
        assert check.why.startswith("store.db: page ")
    with monkeypatch.context() as patch:
        patch.setattr("supervisor.session.checked.overwritten_page", lambda *_args: None)
        assert manager.check(ID).verdict == "damaged"
    assert manager.restore(ID).action == "restored"
    assert tree(place.live) == wanted


def _seat(place: Place) -> None:
    manager = place.manager()
    manager.set_seat(ID, manager.next_generation(ID))


def _wal(place: Place) -> None:
    (place.live / "store.db-wal").write_bytes(b"something")


def _journal(place: Place) -> None:
    (place.live / "store.db-journal").write_bytes(b"something")


def _store(place: Place) -> None:
    for path in (place.store / "packs").iterdir():
        raw = bytearray(path.read_bytes())
        for at in range(0, len(raw), 50):
            raw[at] ^= 0xFF
        path.write_bytes(raw)


@pytest.mark.parametrize("reason", [_seat, _wal, _journal, _store])
def test_where_somebody_may_have_written_sqlite_decides(
    place: Place, monkeypatch: pytest.MonkeyPatch, reason: Callable[[Place], None]
) -> None:
    """A bot has the seat, a journal waits, or the good copy can't be read."""
    sealed(place, 4000)
    overwrite(place)
    reason(place)
    monkeypatch.setattr(checks, "deep_problems", ask)
    with pytest.raises(Asked):
        place.manager().check(ID)


def test_a_snapshot_without_a_verdict_accuses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been as broken itself."""
    fill(place.live, rows=4000)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    capture = manager.capture(ID, reason="sealed", generation=0, hot=False)
    manager.commit(capture, validate=False)
    overwrite(place)
    monkeypatch.setattr(checks, "deep_problems", ask)
    with pytest.raises(Asked):
        manager.check(ID)


def test_what_a_person_changed_with_sqlite_passes(place: Place) -> None:
    """The live session is whole, though it is not what was sealed."""
    manager = sealed(place, 4000)
    with closing(sqlite3.connect(place.live / "store.db")) as database, database:
        database.execute("UPDATE keys SET key = ? WHERE id % 5 = 0", (os.urandom(900),))
        database.execute("DELETE FROM keys WHERE id % 7 = 0")
    assert manager.check(ID).verdict == "passed"


def test_the_same_bytes_with_other_times_pass(place: Place) -> None:
    """A file that was only touched is compared, and then opened as ever."""
    manager = sealed(place, 4000)
    os.utime(place.live / "store.db")
    assert manager.check(ID).verdict == "passed"
    assert Path(place.live / "store.db").stat().st_size > 1 << 20
