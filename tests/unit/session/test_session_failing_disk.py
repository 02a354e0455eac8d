"""The store's disk fails: nothing that was there is lost, and the next snapshot is whole."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.core.policy import Keep
from supervisor.session.model import SnapshotFailed
from supervisor.session.storage.store import Store
from tests.unit.session.damagekit import flip
from tests.unit.session.diskkit import disk_at
from tests.unit.session.sessionkit import ID, Place, tree, with_snapshots, write_key


def _failing_fsync(monkeypatch: pytest.MonkeyPatch, at: int) -> list[int]:
    """Let the `at`-th fsync fail, and say how often it was tried on each descriptor."""
    really, calls = os.fsync, list[int]()

    def fsync(fd: int) -> None:
        calls.append(fd)
        if len(calls) == at:
            raise OSError(errno.EIO, "Input/output error")
        really(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_failed_sync_is_never_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The snapshot fails, its files are gone, and the next one is whole."""
    manager = place.linked()
    old = manager.snapshots(ID)
    write_key(place.live, "new")
    with monkeypatch.context() as patch:
        calls = _failing_fsync(patch, at)
        with pytest.raises(SnapshotFailed, match="Input/output error"):
            manager.backup(ID)
        assert len(calls) == at
    assert not list((place.store / "tmp").iterdir())
    assert place.manager().snapshots(ID)[: len(old)] == old
    assert place.manager().backup(ID).verdict == "good"
    assert all(not manager.verify(ID, s.id) for s in manager.snapshots(ID))


def test_a_store_that_is_made_is_durable_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name, and those of the folders that were made for it, are synced: once."""
    synced: list[str] = []
    really = os.fsync

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink().relative_to(tmp_path)))
        really(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    store = Store(tmp_path / "deep" / "er")
    store.prepare()
    assert synced[:2] == ["deep", "."]
    assert synced[2].startswith("deep/er/tmp/")
    Store(tmp_path / "deep" / "er").prepare()
    assert synced[3:] == ["deep/er"]


def test_a_disk_that_gives_back_other_bytes_fails_the_snapshot(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read back before it counts."""
    manager = place.linked()
    write_key(place.live, "new")
    really = os.pread
    packs = place.store / "packs"

    def pread(fd: int, length: int, offset: int) -> bytes:
        data = really(fd, length, offset)
        where = Path(f"/proc/self/fd/{fd}").readlink()
        return b"\0" * len(data) if where.parent == packs else data

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", pread)
        with pytest.raises(SnapshotFailed, match=r"other bytes|damaged"):
            manager.backup(ID)
    assert len(place.manifests()) == len(place.packs()) == 1


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """On 300 KB: the snapshot fails with a reason, and what was there still restores."""
    small = tmp_path / "small"
    small.mkdir()
    with disk_at(small, "300k"):
        place = Place(tmp_path)
        manager = place.manager()
        manager.store.root.symlink_to(small)
        place.live.mkdir(parents=True)
        (place.live / "key").write_bytes(b"whole")
        manager.note_linked(ID, None)
        manager.backup(ID)
        (place.live / "big").write_bytes(os.urandom(400_000))
        with pytest.raises(SnapshotFailed, match="No space left") as failure:
            manager.backup(ID)
        assert "make room" in failure.value.hint
        assert not list((small / "tmp").iterdir())
        assert len(list((small / "packs").iterdir())) == 1
        shutil.rmtree(place.live)
        assert place.manager().restore(ID).action == "restored"
        assert tree(place.live) == {"key": b"whole"}
        (place.live / "key").write_bytes(b"small enough")
        assert manager.backup(ID).verdict == "good"


def test_room_is_made_on_a_full_disk_and_all_else_names_it(tmp_path: Path) -> None:
    """Pruning needs the owner's lock, which is on that disk, too."""
    small = tmp_path / "small"
    small.mkdir()
    with disk_at(small, "2m"):
        place = Place(small)
        manager = place.linked()
        for _ in range(4):
            (place.live / "big").write_bytes(os.urandom(200_000))
            manager.backup(ID)
        with pytest.raises(OSError, match="No space left"):
            (small / "filler").write_bytes(bytes(2 << 20))
        for refused in (
            lambda: place.manager().export(ID, small / "out"),
            lambda: place.manager().check(ID),
            lambda: place.manager().clear(ID),
        ):
            with pytest.raises((OSError, SupervisorError), match=str(small)):
                refused()
        tight = place.manager(keep=Keep(last=2, hourly=0, daily=0))
        assert len(tight.cleanup_old_backups(ID)) == 3
        assert place.manager().check(ID).verdict == "passed"


def test_a_damaged_blob_heals_with_the_next_snapshot(place: Place) -> None:
    """It is found, said, and stored again; the sick snapshot is not restored."""
    manager = place.linked()
    flip(place.store / "packs" / place.packs()[0])
    sick = manager.snapshots(ID)[0]
    assert "damaged" in manager.verify(ID, sick.id) or "other" in manager.verify(ID, sick.id)
    healed = manager.backup(ID)
    assert healed.seq == 2
    assert manager.verify(ID, healed.id) == ""
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    assert manager.restore(ID).snapshot == healed
    assert tree(place.live) == wanted


def test_a_pack_that_goes_while_a_snapshot_is_taken_fails_it(place: Place) -> None:
    """What it would build on is not there to be read: nothing is called good, and the next is."""
    manager = with_snapshots(place, 2)
    write_key(place.live, "newest")
    capture = manager.capture(ID, reason="sealed", generation=1, hot=False)
    oldest, left = place.packs()
    (place.store / "packs" / oldest).unlink()
    with pytest.raises(SnapshotFailed, match=f"{oldest} is gone"):
        manager.commit(capture)
    assert place.packs() == [left]
    whole = manager.backup(ID)
    assert (whole.seq, whole.verdict) == (3, "good")
    assert manager.verify(ID, whole.id) == ""
