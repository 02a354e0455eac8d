"""The store lies on another disk than the sessions, and has no room: the session comes back."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.restoring.quarantine import Quarantine
from tests.unit.session.sessionkit import ID, Place, fill, tree

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the one other filesystem that nearly every machine has


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """Yield a store's folder on another filesystem than `tmp_path`."""
    if not IN_MEMORY.is_dir() or IN_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second filesystem here")
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder, "store")


def full(*_args: Any, **_more: Any) -> None:
    """Stand for a disk without room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def linked(place: Place, store: Path) -> SessionManager:
    """Return a manager over that store, of a linked session with a good snapshot."""
    fill(place.live)
    manager = SessionManager(place.root / "sessions", store, place.state, clock=place.clock)
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    return manager


def beside(place: Place) -> list[Path]:
    """Return what lies beside the session's folder, but its lock."""
    return [p for p in place.live.parent.iterdir() if p != place.live and p.suffix != ".lock"]


@pytest.mark.parametrize("step", ["quarantined.commit", "restores.copy_changes"])
def test_what_was_live_is_put_beside_it_and_stored_later(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """No byte of it is copied for the restore; it is listed, and goes to the store in the end."""
    place = Place(tmp_path)
    manager = linked(place, store)
    place.live.parent.chmod(0o755)  # it may be the project's own folder
    wanted = tree(place.live)
    (place.live / "creds.json").write_text("{torn")
    broken = tree(place.live)
    with monkeypatch.context() as patch:
        patch.setattr(f"supervisor.session.{step}", full)
        restored = manager.restore(ID)
    assert tree(place.live) == wanted
    (aside,) = beside(place)
    assert tree(aside) == broken
    (listed,) = manager.info(ID)["quarantine"]
    assert (listed["name"], listed["path"]) == (restored.quarantined, str(aside))
    assert manager.ids() == [ID]

    (stored,) = manager.fold_quarantine(ID)
    assert not beside(place)
    assert place.live.parent.stat().st_mode & 0o777 == 0o755
    manager.export(ID, tmp_path / "out", stored)
    assert tree(tmp_path / "out") == broken


def test_two_in_one_second_get_two_names(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beside the session is never moved over."""
    place = Place(tmp_path)
    manager = linked(place, store)
    monkeypatch.setattr("supervisor.session.quarantined.commit", full)
    for text in ("{one", "{two"):
        (place.live / "creds.json").write_text(text)
        place.clock.now = 1_795_560_000.0
        manager._clock = lambda: 1_795_560_000.0  # a clock that stands
        manager.restore(ID)
    assert {(p / "creds.json").read_text() for p in beside(place)} == {"{one", "{two"}
    assert len(manager.info(ID)["quarantine"]) == 2


def test_too_many_of_them_are_pruned(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quarantine is bounded wherever it lies."""
    place = Place(tmp_path)
    manager = linked(place, store)
    monkeypatch.setattr("supervisor.session.quarantined.commit", full)
    for number in range(5):
        (place.live / "creds.json").write_text(f"{{torn {number}")
        manager.restore(ID)
    assert len(beside(place)) == 3


def test_beside_a_volume_nothing_is_put(tmp_path: Path, store: Path) -> None:
    """Around a folder that is a mount point lies another disk, which may not last."""
    store.mkdir()
    quarantine = Quarantine(store, lambda _id: tmp_path)
    name = quarantine.new_name(ID, 0.0, 1, "damaged")
    (tmp_path / "live").mkdir()
    assert quarantine.within_reach(ID, name, tmp_path / "live").parent == tmp_path
    assert quarantine.within_reach(ID, name, Path("/proc")) == name
    assert Quarantine(tmp_path, lambda _id: tmp_path).within_reach(ID, name, tmp_path) == name
