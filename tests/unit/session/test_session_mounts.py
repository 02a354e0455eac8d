"""Where two renames will not do: mount points, other filesystems, links."""

import errno
import os
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.proof.profile import GENERIC
from supervisor.session.restoring import swap
from supervisor.session.restoring.swap import intent_path
from tests.unit.session.damagekit import tear
from tests.unit.session.diskkit import disk_at
from tests.unit.session.sessionkit import ID, Place, aside, fill, tree


def _busy(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel refuse what it refuses for a mount point."""
    really = os.rename, os.rmdir

    def rename(source: Any, target: Any, **more: Any) -> None:
        if str(live) in (str(source), str(target)):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(source))
        really[0](source, target, **more)

    def rmdir(path: Any, **more: Any) -> None:
        if str(path) == str(live):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        really[1](path, **more)

    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "rmdir", rmdir)


@pytest.mark.parametrize("real", [False, True])
def test_a_mount_point_is_restored_entry_by_entry(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, real: bool
) -> None:
    """A container's volume can't be renamed; a real one is another filesystem, too."""
    place.live.mkdir(parents=True)
    if not real:
        _busy(place.live, monkeypatch)
    with disk_at(place.live) if real else nullcontext():
        manager = place.linked()
        wanted = tree(place.live)
        tear("store.db")(place.live)
        (place.live / "store.db-wal").write_bytes(b"old")
        os.mkfifo(place.live / "keys" / "pipe")
        broken = {name: data for name, data in tree(place.live).items() if name != "keys/pipe"}
        inode = place.live.stat().st_ino
        restored = manager.restore(ID)
        assert tree(place.live) == wanted
        assert restored.quarantined
        held = dict(aside(place, restored.quarantined))
        held.pop("keys/pipe", None)
        assert held == broken
        assert place.live.stat().st_ino == inode
        assert manager.clear(ID)
        assert tree(place.live) == {}


def test_a_restore_cut_short_on_a_mount_point_is_whole_afterwards(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends while what is placed is removed at its old place: no part is taken for the whole."""
    monkeypatch.setattr("supervisor.session.restoring.delta.surely_much", lambda *_args: True)
    manager = place.linked()
    wanted = tree(place.live)
    tear("store.db")(place.live)
    really = os.rename, shutil.rmtree

    def rename(source: Any, target: Any, **more: Any) -> None:
        ends = [str(path).startswith(f"{place.live}/") for path in (source, target)]
        if str(place.live) in (str(source), str(target)) or ends[0] != ends[1]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))
        really[0](source, target, **more)

    def cut_short(path: Any, **more: Any) -> None:
        if Path(path).parent.name.startswith(".session-") or Path(path).name.endswith(".gone"):
            (Path(path) / "one").unlink()
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        really[1](path, **more)

    monkeypatch.setattr(os, "rename", rename)
    with monkeypatch.context() as crash:
        crash.setattr(shutil, "rmtree", cut_short)
        with pytest.raises(SupervisorError):
            manager.restore(ID)
    assert place.manager().restore(ID).action == "kept"
    assert tree(place.live) == wanted
    assert [path.name for path in place.live.parent.glob(".session-*.new*")] == []


def test_a_linked_folder_stays_a_link(place: Place, tmp_path: Path) -> None:
    """The session lies elsewhere, behind a symlink: its real folder is restored."""
    real = tmp_path / "volume" / "real"
    real.mkdir(parents=True)
    place.live.parent.mkdir()
    place.live.symlink_to(real)
    fill(real)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID)
    wanted = tree(real)
    tear("store.db")(real)
    manager.restore(ID)
    assert place.live.is_symlink()
    assert tree(real) == wanted


def test_no_journal_made_after_a_crash_lies_beside_a_placed_database(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount point stands while the bot is started by hand; what it left goes to quarantine."""
    monkeypatch.setattr("supervisor.session.restoring.delta.surely_much", lambda *_args: True)
    manager = place.linked()
    wanted = tree(place.live)
    tear("store.db")(place.live)
    _busy(place.live, monkeypatch)
    with monkeypatch.context() as crash:
        crash.setattr(swap, "_move_in", lambda *_args: None)
        crash.setattr(swap, "remove_intent", lambda *_args: None)
        manager.restore(ID)
    assert tree(place.live) == {}
    (place.live / "store.db").write_bytes(b"another's")
    (place.live / "store.db-wal").write_bytes(b"another's")
    place.manager().restore(ID)
    assert tree(place.live) == wanted


@pytest.mark.parametrize("name", ["Cache", "strange"])
def test_a_mount_point_inside_is_emptied_and_stays(place: Place, name: str) -> None:
    """A cache on a tmpfs, say: it ends no restore half done, nor one of the sessions after it."""
    profile = replace(GENERIC, excludes=("Cache",))
    manager = place.linked(profile=profile)
    wanted = tree(place.live)
    (place.live / "creds.json").write_text("{torn")
    inside = place.live / name / "deep"
    inside.mkdir(parents=True)
    with disk_at(inside):
        (inside / "x").write_text("x")
        (inside.parent / "link").symlink_to(inside)
        (inside.parent / "y").write_text("y")
        manager.restore_from_backup(ID)
        assert tree(place.live) == {**wanted, name: None, f"{name}/deep": None}
        assert not intent_path(place.store, ID).exists()
