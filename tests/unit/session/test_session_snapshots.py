"""Snapshots: only what changed, private, durable before they count, and never in the way."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.policy import Keep
from supervisor.session.copying.capture import GROUP_BYTES, WHOLE_BYTES
from supervisor.session.model import SnapshotFailed, rfc3339, since_1970
from supervisor.session.storage import readme, retention
from supervisor.session.storage.manifest import Manifest
from tests.unit.session.sessionkit import ID, Place, fill, modes, tree, write_key


def test_an_unchanged_session_gives_no_new_snapshot(place: Place) -> None:
    """Neither untouched, nor touched, nor written again with the same bytes."""
    manager = place.linked()
    first = manager.snapshots(ID)[-1]
    os.utime(place.live / "keys" / "one")
    (place.live / "keys" / "two").write_bytes(b"second key")
    assert manager.backup(ID).id == first.id
    assert place.manager().backup(ID).id == first.id
    assert len(place.manifests()) == 1


def test_a_same_size_change_with_old_times_is_seen(place: Place) -> None:
    """Size and mtime may lie; a young file is read again."""
    manager = place.linked()
    path = place.live / "keys" / "one"
    status = path.stat()
    path.write_bytes(b"FIRST key")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert manager.backup(ID).seq == 2


def test_only_changed_blocks_are_stored(place: Place) -> None:
    """One byte in a large file costs one block, and a copy of a file nothing."""
    manager = place.linked()
    large = place.live / "large.bin"
    large.write_bytes(os.urandom(WHOLE_BYTES * 3))
    assert manager.backup(ID).new_bytes > WHOLE_BYTES * 3
    with large.open("r+b") as file:
        file.seek(WHOLE_BYTES)
        file.write(b"changed")
    assert manager.backup(ID).new_bytes < GROUP_BYTES * 1.1
    shutil.copy(large, place.live / "copy.bin")
    assert manager.backup(ID).new_bytes == 0


def test_a_hole_stays_a_hole(place: Place) -> None:
    """A sparse file comes back with its bytes in their place, and no larger on the disk."""
    manager = place.linked()
    sparse = place.live / "sparse.bin"
    with sparse.open("wb") as file:
        file.write(b"begin")
        file.seek(WHOLE_BYTES * 8)
        file.write(b"end")
    wanted = sparse.read_bytes()
    assert manager.backup(ID).new_bytes < GROUP_BYTES
    sparse.unlink()
    manager.restore_from_backup(ID)
    assert sparse.read_bytes() == wanted
    assert sparse.stat().st_blocks * 512 < WHOLE_BYTES


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_everything_is_private_whatever_the_umask(place: Place, umask: int) -> None:
    """Folders 0700, files 0600, also what is restored."""
    old = os.umask(umask)
    try:
        (place.root / "sessions").mkdir()
        (place.root / "sessions").chmod(0o700)
        place.live.mkdir()
        place.live.chmod(0o755)
        for name in ("a", "b"):
            (place.live / name).write_bytes(b"x")
            (place.live / name).chmod(0o664)
        manager = place.manager()
        manager.note_linked(ID, None)
        manager.backup(ID)
        shutil.rmtree(place.live)
        manager.restore(ID)
    finally:
        os.umask(old)
    private = {(True, 0o700), (False, 0o600)}
    assert modes(place.store) == private
    assert modes(place.live) == private
    assert place.state.stat().st_mode & 0o7777 == 0o600


def test_odd_files_are_said_and_links_not_followed(place: Place, tmp_path: Path) -> None:
    """A pipe and a socket are left out and said; a link stays a link, wherever it points."""
    manager = place.linked()
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    os.mkfifo(place.live / "pipe")
    (place.live / "away").symlink_to(outside)
    (place.live / "loop").symlink_to(".")
    (place.live / "LOCK").write_text("a dead process's")
    (place.live / "Cache").mkdir()
    (place.live / "Cache" / "junk").write_text("junk")
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "good"
    assert manager.store.find(ID, snapshot.id).notes == ("pipe is a pipe: left out",)
    shutil.rmtree(place.live)
    manager.restore(ID)
    found = tree(place.live)
    assert found["away"] == str(outside)
    assert found["loop"] == "."
    assert "pipe" not in found
    assert found["Cache/junk"] == b"junk", "a cache's name means nothing outside of a browser"


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


def test_a_hot_capture_copies_only_what_moved_since_the_precapture(place: Place) -> None:
    """The frozen part is short: what was copied before and did not move is not copied again."""
    manager = place.linked()
    for name in ("three", "four"):
        (place.live / "keys" / name).write_text(name)
    pre = manager.precapture(ID)
    pre.scan_ns += 10_000_000_000  # as if those files were older than they are
    write_key(place.live, "written after the precapture")
    before = pre.spool.size_bytes
    capture = manager.capture(ID, reason="stop", generation=1, hot=True, pre=pre)
    late = sum(len(data) for data, _known in capture.copies.late.values())
    assert late == len("written after the precapture")
    assert pre.spool.size_bytes == before  # hashed and kept once the bot runs again
    snapshot = manager.commit(capture)
    assert snapshot.verdict == "good"
    shutil.rmtree(place.live)
    manager.restore(ID)
    assert (place.live / "keys" / "one").read_text() == "written after the precapture"
    assert (place.live / "keys" / "four").read_text() == "four"


def test_the_capture_is_the_session_not_what_comes_after(place: Place) -> None:
    """Between capture and commit the next generation may write as it likes."""
    manager = place.linked()
    write_key(place.live, "sealed")
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    write_key(place.live, "the next generation")
    (place.live / "creds.json").write_text("{torn")
    snapshot = manager.commit(capture)
    assert snapshot.verdict == "good"
    manager.restore(ID)
    assert (place.live / "keys" / "one").read_text() == "sealed"


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


def test_a_snapshot_carries_its_journal(place: Place) -> None:
    """What is only in the WAL is restored; no live database is ever opened."""
    manager = place.linked()
    with closing(sqlite3.connect(place.live / "store.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("INSERT INTO keys(key) VALUES ('only in the wal')")
        before = (place.live / "store.db-wal").read_bytes()
        snapshot = manager.commit(manager.capture(ID, reason="stop", generation=1, hot=True))
        assert (place.live / "store.db-wal").read_bytes() == before
    assert snapshot.verdict == "good"
    manager.restore_from_backup(ID, snapshot.id)
    assert "store.db-shm" not in tree(place.live)
    with closing(sqlite3.connect(place.live / "store.db")) as database:
        rows = database.execute("SELECT key FROM keys WHERE key='only in the wal'").fetchall()
    assert rows == [("only in the wal",)]


def test_somebody_with_the_session_open_makes_a_backup_fuzzy(place: Place) -> None:
    """A hot copy says so in its verdict."""
    manager = place.linked()
    write_key(place.live, "being written")
    with (place.live / "keys" / "one").open("rb"):
        assert manager.backup(ID).verdict == "fuzzy"


def test_the_readme_gets_a_session_out_by_hand(place: Place) -> None:
    """The command that the README shows, as it stands there."""
    place.linked()
    (place.live / "away").symlink_to("creds.json")
    Path(os.fsdecode(os.fsencode(place.live) + b"/odd\xff\n")).write_text("odd")
    large = place.live / "large.bin"
    large.write_bytes(os.urandom(WHOLE_BYTES * 3))
    place.manager().backup(ID)
    with large.open("r+b") as file:
        file.seek(WHOLE_BYTES)
        file.write(b"a patch")
    place.manager().backup(ID)
    text = (place.store / "README").read_text()
    assert readme.BY_HAND in text
    manifest = place.store / place.manifests()[-1]
    command = readme.BY_HAND.replace("python3", sys.executable, 1)
    command = command.replace("MANIFEST.json", f"'{manifest}'").replace("OUT", "out")
    subprocess.run(["/bin/sh", "-c", command], cwd=place.root, check=True)
    assert tree(place.root / "out") == tree(place.live)


# --- the disk fails --------------------------------------------------------------------------


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
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
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
    finally:
        subprocess.run(["umount", str(small)], check=True)


# --- what stays ------------------------------------------------------------------------------


def test_a_manifest_that_cannot_be_read_stops_pruning(place: Place) -> None:
    """It may need any pack: nothing is removed until it is gone or mended."""
    manager = place.linked(keep=Keep(last=1, hourly=0, daily=0))
    victim = place.store / place.manifests()[0]
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    for text in ("b", "c", "d", "e"):
        write_key(place.live, text)
        manager.backup(ID)
    assert manager.cleanup_old_backups(ID) == []
    assert len(place.manifests()) == len(place.packs()) == 5
    victim.write_bytes(whole)
    assert len(manager.cleanup_old_backups(ID)) == 3
    # The first pack stays: the snapshots that are left reuse its blobs.
    assert len(place.packs()) == 3
    assert all(not manager.verify(ID, s.id) for s in manager.snapshots(ID))


def test_a_damaged_blob_heals_with_the_next_snapshot(place: Place) -> None:
    """It is found, said, and stored again; the sick snapshot is not restored."""
    manager = place.linked()
    pack = place.store / "packs" / place.packs()[0]
    raw = bytearray(pack.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    pack.write_bytes(raw)
    sick = manager.snapshots(ID)[0]
    assert "damaged" in manager.verify(ID, sick.id) or "other" in manager.verify(ID, sick.id)
    healed = manager.backup(ID)
    assert healed.seq == 2
    assert manager.verify(ID, healed.id) == ""
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    assert manager.restore(ID).snapshot == healed
    assert tree(place.live) == wanted


def _manifest(seq: int, at: float, verdict: Any = "good", proof: str = "") -> Manifest:
    return Manifest(
        id=ID, seq=seq, epoch=1, reason="x", taken_at=rfc3339(at), verdict=verdict, proof=proof
    )


def test_what_stays_is_counted_by_seq_under_a_clock_that_jumps() -> None:
    """A clock a year ahead and back again does not cost the newest."""
    start = 1_795_557_600.0
    times = [start + 600 * n for n in range(20)]
    times += [start + 400 * 86_400 + 600 * n for n in range(3)]
    times += [start + 600 * n for n in range(20, 30)]
    manifests = [_manifest(seq, at) for seq, at in enumerate(times, 1)]
    stay = retention.kept(manifests, Keep())
    newest = len(times)
    assert {newest - n for n in range(5)} <= stay
    hours = {since_1970(m.taken_at) // 3600 for m in manifests if m.seq in stay}
    assert len(hours) >= 5
    assert len(stay) <= 5 + 6 + 7 + 2


def test_the_newest_good_and_the_proved_one_stay() -> None:
    """However many others came after them; bad ones count for nothing."""
    start = 1_795_557_600.0
    manifests = [
        _manifest(1, start, proof="roundtrip"),
        _manifest(2, start + 1),
        _manifest(3, start + 2),
        *(_manifest(n, start + n, "fuzzy") for n in range(4, 30)),
        *(_manifest(n, start + n, "bad") for n in range(30, 60)),
    ]
    assert retention.kept(manifests, Keep(last=5, hourly=0, daily=0)) == {
        *(1, 2, 3),
        *(25, 26, 27, 28, 29),
        *(58, 59),
    }


def test_hourly_and_daily_ones_stay() -> None:
    """Six hours and seven days back, one each: the newest of its hour and day."""
    start = 1_795_564_800.0  # midnight
    hourly = [_manifest(n, start + 1800 * n) for n in range(1, 20 * 48)]
    stay = retention.kept(hourly, Keep(last=5, hourly=6, daily=7))
    days = {int(since_1970(m.taken_at) // 86_400) for m in hourly if m.seq in stay}
    assert len(days) == 7
    assert len(stay) == 5 + 6 - 3 + 7 - 1


def test_a_pruned_snapshot_takes_no_memory(place: Place) -> None:
    """A service takes hundreds a day: only those that are there stay in mind."""
    manager = place.linked()
    for n in range(20):
        write_key(place.live, f"key {n}")
        manager.backup(ID)
    there = {path.name for path in place.store.glob("session-*.json")}
    assert {Path(place).name for place in manager.store._parsed} <= there
    assert len(there) < 20
