"""What a snapshot holds: only what changed, private, and what the session was at that moment."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.session.copying.pieces import GROUP_BYTES, WHOLE_BYTES
from supervisor.session.storage import readme
from tests.unit.session.sessionkit import ID, Place, modes, tree, write_key


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
    """A pipe is left out and said; a link stays a link, and one that leads out is said."""
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
    assert manager.store.find(ID, snapshot.id).notes == (
        "pipe is a pipe: left out",
        f"what away leads to, out of the session ({outside}): only the link is kept",
    )
    shutil.rmtree(place.live)
    manager.restore(ID)
    found = tree(place.live)
    assert found["away"] == str(outside)
    assert found["loop"] == "."
    assert "pipe" not in found
    assert found["Cache/junk"] == b"junk", "a cache's name means nothing outside of a browser"


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
