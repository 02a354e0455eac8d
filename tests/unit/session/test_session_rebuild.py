"""Building a folder anew: all of it on the disk, proved, and told while it takes long."""

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.model import DamagedBlob
from supervisor.session.progress import Tally
from supervisor.session.restoring import durable, rebuild
from supervisor.session.restoring.looked import looked_at
from supervisor.session.storage.entries import Entry, made
from tests.unit.session.sessionkit import ID, Place, modes, tree


@pytest.fixture
def many(place: Place) -> Place:
    """Return a place whose session has so many files that they are not synced one by one."""
    place.live.mkdir(parents=True)
    for number in range(60):
        (place.live / f"key-{number}").write_bytes(os.urandom(100))
    (place.live / "sparse").write_bytes(b"begin" + bytes(300_000) + b"middle" + bytes(100_000))
    (place.live / "hollow").write_bytes(bytes(70_000))
    (place.live / "empty").write_bytes(b"")
    (place.live / "tool").write_bytes(b"#!")
    (place.live / "tool").chmod(0o755)
    place.manager().note_linked(ID, "1:aa")
    place.manager().backup(ID)
    return place


def _build(place: Place, target: Path) -> None:
    manager = place.manager()
    rebuild.build(manager.store.listing(ID).snapshots[-1], target, manager.store)


def _syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the path of each fsync."""
    found: list[str] = []
    really = os.fsync

    def fsync(fd: int) -> None:
        found.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        really(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.mark.parametrize("threads", [False, True])
def test_every_byte_time_and_mode_comes_back(
    many: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, threads: bool
) -> None:
    """Holes and empty files too, in one thread or in more; and nobody else may read it."""
    if threads:
        monkeypatch.setattr(rebuild, "_MANY_BYTES", 0)
    _build(many, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(many.live)
    assert {mode for _folder, mode in modes(tmp_path / "out")} == {0o600, 0o700}
    for path in many.live.iterdir():
        assert (tmp_path / "out" / path.name).stat().st_mtime_ns == path.stat().st_mtime_ns
    sparse = (tmp_path / "out" / "sparse").stat()
    assert sparse.st_blocks * 512 < sparse.st_size


def test_a_damaged_pack_ends_it_in_every_thread(
    many: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one does not go on to the end."""
    monkeypatch.setattr(rebuild, "_MANY_BYTES", 0)
    (pack,) = (many.store / "packs").iterdir()
    pack.chmod(0o600)
    pack.write_bytes(b"sick" * 10_000)
    with pytest.raises(DamagedBlob):
        _build(many, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) < 10


def test_many_files_are_synced_at_once(
    many: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where syncfs tells the truth there is one, opened before anything was written."""
    asked: list[str] = []

    def syncfs(fd: int) -> int:
        asked.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        return 0

    monkeypatch.setattr(durable, "_syncfs", lambda: syncfs)
    monkeypatch.setattr(durable, "_filesystem", lambda _device: "ext4")
    synced = _syncs(monkeypatch)
    _build(many, tmp_path / "out")
    assert asked == [str(tmp_path / "out")]
    assert synced == [str(tmp_path)]


@pytest.mark.parametrize("lack", ["call", "filesystem"])
def test_elsewhere_each_file_is_synced(
    many: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    """An old kernel's syncfs hides errors, and some filesystems do nothing at all."""
    if lack == "call":
        monkeypatch.setattr(durable, "_syncfs", lambda: None)
    else:
        monkeypatch.setattr(durable, "_filesystem", lambda _device: "fuse.sshfs")
    synced = _syncs(monkeypatch)
    _build(many, tmp_path / "out")
    wanted = [tmp_path, tmp_path / "out", *(tmp_path / "out").iterdir()]
    assert sorted(synced) == sorted(map(str, wanted))


def test_a_failed_sync_is_a_failed_restore(many: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put in place that may not be on the disk."""
    before = tree(many.live)
    monkeypatch.setattr(durable, "_filesystem", lambda _device: "ext4")
    monkeypatch.setattr(durable, "_syncfs", lambda: lambda _fd: -1)
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EIO)
    monkeypatch.setattr("supervisor.session.restoring.delta.surely_much", lambda *_args: True)
    with pytest.raises(SupervisorError, match=os.strerror(errno.EIO)):
        many.manager().restore_from_backup(ID)
    assert tree(many.live) == before
    assert not list(many.live.parent.glob(".session-*.new"))


def test_this_filesystem_is_known_by_its_name(tmp_path: Path) -> None:
    """The kernel's own table says so; a device that is not in it is none that is known."""
    found = durable._filesystem(tmp_path.stat().st_dev)
    assert f"\t{found}\n" in Path("/proc/filesystems").read_text() or found == ""
    assert durable._filesystem(os.makedev(4000, 4000)) == ""


# --- what was built is known -----------------------------------------------------------------


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the name of each file of the session that is read."""
    found: list[str] = []
    really = os.preadv

    def preadv(fd: int, *args: Any) -> int:
        found.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        return really(fd, *args)

    monkeypatch.setattr(os, "preadv", preadv)
    return found


def test_what_was_just_built_is_not_read_again(
    many: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the next snapshot nor by the next restore, young as it is; what changed is."""
    for path in many.live.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    manager = many.manager()
    (many.live / "key-1").write_bytes(b"another snapshot")
    manager.backup(ID)
    shutil.rmtree(many.live)
    manager.restore(ID)
    read = _reads(monkeypatch)
    written = (many.live / "key-7").read_bytes()
    (many.live / "key-7").write_bytes(written[::-1])
    manager.backup(ID)
    # One is too young by its own time.
    assert sorted(set(read)) == ["key-1", "key-7"]
    newest = manager.store.listing(ID).snapshots[-1]
    for entry in newest.files:
        status = (many.live / entry.path).stat()
        looks = (entry.seen.inode, entry.seen.ctime_ns, entry.seen.mtime_ns, entry.seen.size)
        wanted = (status.st_ino, status.st_ctime_ns, status.st_mtime_ns, status.st_size)
        assert looks == wanted, entry.path


def test_a_line_with_other_looks_is_still_that_file(many: Place) -> None:
    """As a manifest would have it, whatever the file is called; another format is left alone."""
    odd = ', "kind": "file", "mode": 1, "mtime_ns": 1, "ctime_ns": 1, "inode": 1,'
    (many.live / odd).write_bytes(b"odd")
    manager = many.manager()
    manager.backup(ID)
    for entry in manager.store.listing(ID).snapshots[-1].files:
        seen = entry.seen._replace(mtime_ns=-5, ctime_ns=7, inode=9)
        assert looked_at(entry, seen) == made(entry.path, seen, entry.blobs, entry.format)
    other = Entry("a", seen, b'{"path": "a"}', {})
    assert looked_at(other, seen) is None


# --- progress ---------------------------------------------------------------------------------


class _Told(list[tuple[int, int]]):
    def __call__(self, done: int, total: int) -> None:
        self.append((done, total))


def test_a_long_restore_and_export_are_told(
    many: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes done, rising, and bytes in all, when it compares, writes, and takes out."""
    monkeypatch.setattr("supervisor.session.progress._EVERY_S", 0.0)
    # As if all files were as young as some are: each has to be read.
    monkeypatch.setattr("supervisor.session.copying.capture.YOUNG_FINE_NS", 10**12)
    monkeypatch.setattr("supervisor.session.copying.capture.YOUNG_NS", 10**12)
    size = sum(path.stat().st_size for path in many.live.iterdir())
    manager = many.manager()
    told = manager.progress = _Told()
    manager.export(ID, tmp_path / "out")
    assert told[-1] == (size, size)
    assert [done for done, _total in told] == sorted(done for done, _total in told)
    told.clear()
    (many.live / "key-1").unlink()
    manager.restore_from_backup(ID)
    read = size - 100  # holes are not read
    assert {total for _done, total in told} == {read, 100}
    assert max(done for done, total in told if total == read) > 6000
    assert told[-1] == (100, 100)


def test_it_is_told_now_and_then_and_not_at_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 100 ms by the clock; a short work tells nothing."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    told = _Told()
    tally = Tally(told, 1000)
    for _ in range(50):
        tally.add(10)
        now[0] += 0.03
    assert 10 <= len(told) <= 15
    assert told[0] == (50, 1000)
    quiet: Any = _Told()
    tally = Tally(quiet, 10)
    tally.add(10)
    assert quiet == []
