"""The store's own disk is full, or read-only, while the sessions' disk has room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from tests.faults.mounts import mounted
from tests.unit.session.sessionkit import ID, Clock, Place, fill, tree


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield the root of a small disk for the store."""
    with mounted("ext4", tmp_path) as root:
        yield root


def linked(place: Place, disk: Path) -> SessionManager:
    """Return a manager of a linked session with a good snapshot on that disk."""
    fill(place.live)
    (place.live / "bulk").write_bytes(os.urandom(1 << 20))
    manager = SessionManager(place.root / "sessions", disk / "store", place.state, clock=Clock())
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    return manager


def test_a_damaged_session_comes_back_though_the_store_is_full(tmp_path: Path, disk: Path) -> None:
    """There is room for the intent, but not for what was live: that stays on its own disk."""
    place = Place(tmp_path)
    manager = linked(place, disk)
    wanted = tree(place.live)
    (place.live / "creds.json").write_text("{torn")
    (place.live / "bulk").write_bytes(os.urandom(1 << 20))
    broken = tree(place.live)
    status = os.statvfs(disk)
    with (disk / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - (200 << 10))
    restored = manager.restore(ID)
    assert restored.action == "restored"
    assert tree(place.live) == wanted
    (listed,) = manager.info(ID)["quarantine"]
    assert listed["name"] == restored.quarantined
    assert tree(Path(listed["path"])) == broken

    assert manager.fold_quarantine(ID) == []
    assert tree(Path(listed["path"])) == broken
    (disk / "filler").unlink()
    (stored,) = manager.fold_quarantine(ID)
    assert not Path(listed["path"]).exists()
    manager.export(ID, tmp_path / "out", stored)
    assert tree(tmp_path / "out") == broken


def test_a_store_that_is_read_only_is_said(tmp_path: Path, disk: Path) -> None:
    """Without an intent nothing may be begun: the message says what can't be written, and why."""
    place = Place(tmp_path)
    linked(place, disk)
    (place.live / "creds.json").write_text("{torn")
    broken = tree(place.live)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    manager = SessionManager(place.root / "sessions", disk / "store", place.state)
    with pytest.raises(SupervisorError, match="Read-only file system") as caught:
        manager.restore(ID)
    assert str(disk) in caught.value.message
    assert caught.value.hint
    assert tree(place.live) == broken
