"""A restore where little differs changes only that, and loses nothing of what was there."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.session import restores
from tests.unit.session.damagekit import CHANGES, journals, tear
from tests.unit.session.sessionkit import ID, Place, aside, fill, moved_whole, tree, write_key

MIB = 1 << 20


def _inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_ino for path in folder.rglob("*")}


def test_what_is_whole_is_not_touched(place: Place) -> None:
    """Only the torn file is another one afterwards, and only its bytes are new in the store."""
    fill(place.live, rows=9000)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID, "linked")
    packs = set(place.packs())
    before = _inodes(place.live)
    (place.live / "creds.json").write_text("{torn")
    broken = tree(place.live)
    restored = manager.restore(ID)
    after = _inodes(place.live)
    assert [name for name in before if before[name] != after[name]] == ["creds.json"]
    assert restored.quarantined
    assert not moved_whole(place)
    assert aside(place, restored.quarantined) == broken
    (new,) = set(place.packs()) - packs
    assert (place.store / "packs" / new).stat().st_size < 200


def test_a_restore_costs_the_blocks_that_differ(place: Place) -> None:
    """Of a damaged database only the damaged part goes to quarantine."""
    fill(place.live, rows=9000)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID, "linked")
    wanted = tree(place.live)
    packs = set(place.packs())
    with (place.live / "store.db").open("r+b") as file:
        file.seek(2 * MIB)
        file.write(os.urandom(4096))
    broken = tree(place.live)
    restored = manager.restore_from_backup(ID)
    assert tree(place.live) == wanted
    assert restored.quarantined
    assert aside(place, restored.quarantined) == broken
    (new,) = set(place.packs()) - packs
    assert (place.store / "packs" / new).stat().st_size < 8192


@pytest.mark.parametrize("lies", ["boot", "mmap", "young"])
def test_the_same_size_and_times_prove_nothing_where_stat_may_lie(
    place: Place, monkeypatch: pytest.MonkeyPatch, lies: str
) -> None:
    """After a power cut, through a mapping, in the same tick: then the bytes are compared."""
    manager = place.linked()
    wanted = tree(place.live)
    path = place.live / "keys" / "one"
    status = path.stat()
    path.write_bytes(b"FIRST KEY")
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    # The kernel would give another ctime: the snapshot is made to know that one.
    newest = manager.store.listing(ID).snapshots[-1]
    looked = manager._look(newest)
    assert looked is not None
    seen = path.stat()
    entry = looked.entries["keys/one"]
    object.__setattr__(
        entry,
        "seen",
        entry.seen._replace(ctime_ns=seen.st_ctime_ns, mtime_ns=seen.st_mtime_ns),
    )
    if lies != "young":
        object.__setattr__(looked, "scan_ns", looked.scan_ns + 10**12)
    if lies == "boot":
        object.__setattr__(looked, "boot", "another boot")
    if lies == "mmap":
        profile = manager._profile_of(ID, newest)
        object.__setattr__(profile, "reread", ("keys/one",))
    try:
        assert manager.restore_from_backup(ID).action == "restored"
    finally:
        if lies == "mmap":
            object.__setattr__(profile, "reread", ())
    assert tree(place.live) == wanted
    assert monkeypatch


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_differs_the_result_is_the_snapshot(
    place: Place, change: Callable[[Path], None]
) -> None:
    """Exactly: nothing is left over, nothing is missing; and all that went is in quarantine."""
    manager = place.linked()
    (place.live / "current").symlink_to("keys/one")
    (place.live / "empty").mkdir()
    manager.backup(ID)
    wanted = tree(place.live)
    change(place.live)
    broken = tree(place.live)
    restored = manager.restore_from_backup(ID)
    assert tree(place.live) == wanted
    assert restored.quarantined
    assert not moved_whole(place)
    assert aside(place, restored.quarantined) == broken
    assert manager.check(ID).verdict == "passed"
    assert not list(place.live.parent.glob(".session-*.new"))


def test_what_is_never_stored_goes_as_well(place: Place) -> None:
    """A -shm of the old database lies beside the new one no more."""
    manager = place.linked()
    wanted = tree(place.live)
    journals(place.live)
    (place.live / "store.db-shm").write_bytes(b"index of the old journal")
    manager.restore(ID)
    assert tree(place.live) == wanted


def test_a_right_of_the_owner_comes_back(place: Place) -> None:
    """A file that its owner may not read any more is as broken as a torn one."""
    manager = place.linked()
    write_key(place.live, "other")
    (place.live / "keys" / "two").chmod(0)
    (place.live / "keys").chmod(0o755)
    manager.restore_from_backup(ID)
    assert (place.live / "keys" / "two").stat().st_mode & 0o777 == 0o600


def test_a_good_snapshot_is_not_validated_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was found good as exactly these bytes, and each is proved by its hash."""
    manager = place.linked()
    wanted = tree(place.live)
    for damage in (tear("creds.json"), shutil.rmtree):
        damage(place.live)
        with monkeypatch.context() as patch:
            patch.setattr("supervisor.session.proof.checks.deep_problems", None)
            assert manager.restore_from_backup(ID).action == "restored"
        assert tree(place.live) == wanted


# --- where the old way is better --------------------------------------------------------------


def _pipe(place: Place, _patch: pytest.MonkeyPatch) -> None:
    os.mkfifo(place.live / "pipe")


def _cannot_read(place: Place, patch: pytest.MonkeyPatch) -> None:
    really = os.open

    def refused(path: Any, *args: Any, **more: Any) -> int:
        if str(path) == str(place.live / "keys" / "one"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return really(path, *args, **more)

    patch.setattr(os, "open", refused)


def _cannot_store(_place: Place, patch: pytest.MonkeyPatch) -> None:
    def full(*_args: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr("supervisor.session.quarantined.commit", full)


def _cannot_change(_place: Place, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("supervisor.session.restores.os.access", lambda *_args: False)


def _much_differs(place: Place, patch: pytest.MonkeyPatch) -> None:
    (place.live / "store.db").write_bytes(os.urandom((place.live / "store.db").stat().st_size))
    patch.setattr("supervisor.session.restoring.delta.SMALL_BYTES", 0)


def _much_is_strange(place: Place, patch: pytest.MonkeyPatch) -> None:
    (place.live / "strange").write_bytes(os.urandom(100_000))
    patch.setattr("supervisor.session.restoring.delta.SMALL_BYTES", 0)


def _moves(place: Place, patch: pytest.MonkeyPatch) -> None:
    really = restores.Restores._stage

    def meanwhile(self: Any, *args: Any) -> None:
        really(self, *args)
        (place.live / "creds.json").write_text("{torn, and written by a stranger")

    patch.setattr(restores.Restores, "_stage", meanwhile)


REFUSALS = {
    refusal.__name__.strip("_"): refusal
    for refusal in (
        *(_pipe, _cannot_read, _cannot_store, _cannot_change, _much_differs, _much_is_strange),
        _moves,
    )
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_else_the_whole_folder_is_put_aside(
    place: Place, monkeypatch: pytest.MonkeyPatch, refusal: Callable[[Place, Any], None]
) -> None:
    """What can't be stored as it is stays as it is, and the session comes back all the same."""
    # As if all were as young as some are: each has to be read.
    monkeypatch.setattr("supervisor.session.copying.capture.YOUNG_FINE_NS", 2 * 10**9)
    manager = place.linked()
    wanted = tree(place.live)
    (place.live / "creds.json").write_text("{torn")
    with monkeypatch.context() as patch:
        refusal(place, patch)
        broken = dict(tree(place.live))
        restored = manager.restore_from_backup(ID)
    if refusal is _moves:
        broken["creds.json"] = b"{torn, and written by a stranger"
    assert tree(place.live) == wanted
    assert os.listdir(place.store / "quarantine") == [restored.quarantined]
    assert restored.quarantined
    assert aside(place, restored.quarantined) == broken
    assert not list(place.live.parent.glob(".session-*.new"))


def test_another_filesystem_below_the_session_gets_copies(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no rename leads out of the staging folder, what comes is copied, then renamed."""
    manager = place.linked()
    wanted = tree(place.live)
    really = os.rename

    def rename(source: Any, target: Any, **more: Any) -> None:
        ends = [str(path).startswith(f"{place.live}/") for path in (source, target)]
        if ends[0] != ends[1]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source))
        really(source, target, **more)

    (place.live / "creds.json").write_text("{torn")
    (place.live / "keys" / "one").unlink()
    inode = (place.live / "store.db").stat().st_ino
    monkeypatch.setattr(os, "rename", rename)
    manager.restore(ID)
    assert tree(place.live) == wanted
    assert (place.live / "store.db").stat().st_ino == inode


def test_what_comes_while_a_restore_is_made_ready_is_not_overwritten(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody puts the missing file there by hand: theirs goes to quarantine first."""
    manager = place.linked()
    wanted = tree(place.live)
    (place.live / "keys" / "one").unlink()
    really = manager._stage

    def late(plan: Any, session_id: str) -> None:
        really(plan, session_id)
        (place.live / "keys" / "one").write_text("by hand")

    monkeypatch.setattr(manager, "_stage", late)
    quarantined = manager.restore_from_backup(ID).quarantined
    assert quarantined is not None
    assert tree(place.live) == wanted
    assert aside(place, quarantined)["keys/one"] == b"by hand"
