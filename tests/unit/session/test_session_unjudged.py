"""What opens copies can't be run: nothing is known of the copy, and nothing is done for that."""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore, Snapshot
from supervisor.session.proof import checks, validate
from tests.unit.session.auditkit import by_seq, checked
from tests.unit.session.sessionkit import ID, Place, tree, with_snapshots


def _pending(place: Place, *, hot_before: bool = False) -> tuple[SessionManager, Snapshot]:
    """Return a session whose newest snapshot waits for its verdict, its live folder gone."""
    manager = with_snapshots(place, 1)
    if hot_before:
        _write(place)
        manager.commit(manager.capture(ID, reason="hot", generation=1, hot=True))
    _write(place)
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    return manager, manager.commit(capture, validate=False)


def _write(place: Place) -> None:
    with closing(sqlite3.connect(place.live / "store.db")) as database, database:
        database.execute("INSERT INTO keys(key) VALUES ('another')")


def _no_python(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    monkeypatch.setattr(sys, "executable", str(place.root / "no-python"))


def _killed(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    _program(monkeypatch, place, "import os; os.kill(os.getpid(), 9)")


def _out_of_memory(monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
    _program(monkeypatch, place, "raise MemoryError('too little of it')")


def _too_late(monkeypatch: pytest.MonkeyPatch, _place: Place) -> None:
    monkeypatch.setattr(checks, "_VALIDATOR_TIMEOUT_S", 0)


def _program(monkeypatch: pytest.MonkeyPatch, place: Place, text: str) -> None:
    program = place.root / "fails.py"
    program.write_text(text)
    monkeypatch.setattr(validate, "__file__", str(program))


WAYS = [_no_python, _killed, _out_of_memory, _too_late]


@pytest.mark.parametrize("fails", WAYS)
def test_a_restore_waits_for_a_verdict(
    place: Place, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    """Not condemned, not taken for nothing, and nothing older instead; the next try restores it."""
    manager, newest = _pending(place, hot_before=True)
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    verdicts = [s.verdict for s in manager.snapshots(ID)]
    with monkeypatch.context() as patch:
        fails(patch, place)
        with pytest.raises(SupervisorError, match=r"can't be restored now.*validated") as told:
            place.manager().restore(ID)
        assert not isinstance(told.value, NothingToRestore)
    assert not place.live.exists()
    assert [s.verdict for s in manager.snapshots(ID)] == verdicts
    restored = place.manager().restore(ID)
    assert restored.snapshot is not None
    assert restored.snapshot.id == newest.id
    assert tree(place.live) == wanted


@pytest.mark.parametrize("fails", WAYS)
def test_a_verdict_comes_with_a_later_check(
    place: Place, monkeypatch: pytest.MonkeyPatch, fails: Any
) -> None:
    """It says why it can't be told; and a validation says that too, of the copy."""
    manager, newest = _pending(place)
    with monkeypatch.context() as patch:
        fails(patch, place)
        with pytest.raises(SupervisorError, match="can't be validated"):
            manager.validate(ID, newest.id)
        with patch.context() as live:  # of the live session it is told by itself
            live.setattr(SessionManager, "_live_problems", lambda *_args: [])
            one = by_seq(checked(place.manager()))[newest.seq]
        assert (one.verdict, one.restorable) == ("pending", False)
        assert "could not be opened" in str(one.why_not)
    assert by_seq(checked(place.manager()))[newest.seq].verdict == "good"


def test_the_file_that_took_too_long_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many: the one that was looked at when the time was over, or the validator died."""
    manager, newest = _pending(place)
    slow = (
        "\nimport os, signal\n"
        "def stuck(path):\n"
        "    if path.endswith('store.db'): END\n"
        "    return ''\n"
        "VALIDATORS['sqlite'] = stuck\n"
        "main()\n"
    )
    source = Path(validate.__file__).read_text().split('if __name__ == "__main__":')[0]
    for end in ("signal.pause()", "os.kill(os.getpid(), 9)"):
        with monkeypatch.context() as patch:
            _program(patch, place, source + slow.replace("END", end))
            patch.setattr(checks, "_VALIDATOR_TIMEOUT_S", 3)
            with pytest.raises(SupervisorError, match=r"can't be validated.*store\.db"):
                manager.validate(ID, newest.id)
