"""A session in memory, where a write through a mapping of what was read first moves no time."""

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager
from tests.unit.session.diskkit import disk_at
from tests.unit.session.sessionkit import ID, Place, tree


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a project whose sessions lie in memory."""
    shared = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
    if not shared.is_dir() or os.major(shared.stat().st_dev):
        pytest.skip("this machine has no filesystem in memory")
    folder = Path(tempfile.mkdtemp(dir=shared))
    (tmp_path / "sessions").symlink_to(folder)
    try:
        yield Place(tmp_path)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def mapped(place: Place) -> Iterator[mmap.mmap]:
    """Return a file of a session, mapped and read, and old by stat."""
    place.live.mkdir(parents=True)
    key = place.live / "key"
    key.write_bytes(b"x" * 8192)
    (place.live / "auth.json").write_text('{"a": 1}')
    long_ago = place.clock.now - 10**6
    with _mapping(key) as view:
        for path in place.live.iterdir():
            os.utime(path, (long_ago, long_ago))
        yield view


def _mapping(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        view = mmap.mmap(file.fileno(), 0)
    assert view[:]  # from now on no write of it faults
    return view


def _seen_long_ago(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all that was seen so far old enough for stat to be believed."""
    for module in ("copying.capture", "restores"):
        monkeypatch.setattr(f"supervisor.session.{module}.YOUNG_NS", -(10**15))
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert _snapshot(manager) == (1, "good")


def _snapshot(manager: SessionManager) -> tuple[int, str]:
    """Take one of a session at rest: a mapping of ours is no writer."""
    snapshot = manager.commit(manager.capture(ID, reason="rest", generation=1, hot=False))
    return snapshot.seq, snapshot.verdict


def _sealed(place: Place) -> SessionManager:
    manager = place.manager(owned=True)  # else the mapping counts as a writer
    manager.set_seat(ID, 1)
    manager.set_seat(ID, None)
    _snapshot(manager)
    return manager


def test_a_write_through_a_mapping_is_in_the_next_snapshot(
    place: Place, mapped: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stat says nothing of it."""
    _seen_long_ago(place, monkeypatch)
    before = (place.live / "key").stat()
    mapped[5000] = 7
    after = (place.live / "key").stat()
    assert (before.st_mtime_ns, before.st_ctime_ns) == (after.st_mtime_ns, after.st_ctime_ns)
    manager = place.manager()
    assert _snapshot(manager) == (2, "good")
    out = manager.export(ID, place.root / "out")
    assert (out / "key").read_bytes()[5000] == 7


def test_a_write_between_the_two_copies_of_a_hot_snapshot_is_in_it(
    place: Place, mapped: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was mapped only after it was asked for moves no time either."""
    _seen_long_ago(place, monkeypatch)
    manager = place.manager()
    pre = manager.precapture(ID)
    mapped[5000] = 9
    manager.commit(manager.capture(ID, reason="hot", generation=1, hot=True, pre=pre))
    assert (manager.export(ID, place.root / "out") / "key").read_bytes()[5000] == 9


def test_a_restore_brings_back_what_stat_does_not_miss(
    place: Place, mapped: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the live session is read, and all of it is what it was."""
    _seen_long_ago(place, monkeypatch)
    wanted = tree(place.live)
    mapped[5000] = 9
    mapped.close()
    assert place.manager().restore_from_backup(ID).action == "restored"
    assert tree(place.live) == wanted


def test_a_sealed_session_is_looked_into(
    place: Place, mapped: mmap.mmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cheap check goes by stat, which can't see what became of the file."""
    text = place.live / "auth.json"
    text.write_text('{"a": "' + "1" * 5000 + '"}')
    with _mapping(text) as view:
        _seen_long_ago(place, monkeypatch)
        _sealed(place)
        assert place.manager(owned=True).check(ID, full=False).verdict == "passed"
        view[0] = ord("?")
        assert place.manager(owned=True).check(ID, full=False).verdict == "damaged"
    assert mapped


def test_memory_mounted_inside_the_session_is_read_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's own folder tells nothing of it."""
    place = Place(tmp_path)
    inside = place.live / "run"
    inside.mkdir(parents=True)
    (place.live / "plain").write_text("on the disk")
    with disk_at(inside, "1m"):
        text = inside / "auth.json"
        text.write_text('{"a": "' + "1" * 5000 + '"}')
        with _mapping(text) as view:
            _seen_long_ago(place, monkeypatch)
            manager = _sealed(place)
            assert manager.check(ID, full=False).verdict == "passed"
            view[0] = ord("?")
            assert place.manager(owned=True).check(ID, full=False).verdict == "damaged"
            view[0:2] = b"{ "
            assert _snapshot(manager) == (2, "bad")
            out = manager.export(ID, place.root / "out", "2")
            assert (out / "run" / "auth.json").read_bytes()[:2] == b"{ "
