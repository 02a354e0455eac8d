"""What was replaced is kept: bounded, in the packs, and never the only copy."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor.session.model import NothingToRestore
from tests.unit.session.damagekit import flip, tear
from tests.unit.session.sessionkit import ID, Place, aside, fill, moved_whole, tree, write_key


def test_quarantine_is_bounded(place: Place) -> None:
    """Three per epoch, thirty days: the first of all, and the newest two."""
    manager = place.linked()
    for n in range(5):
        (place.live / "creds.json").write_text("{" * (n + 1))
        manager.restore(ID)
    held = manager.info(ID)["quarantine"]
    assert len(held) == 3
    kept = [aside(place, each["name"])["creds.json"] for each in held]
    assert kept == [b"{", b"{{{{", b"{{{{{"]
    place.clock.now += 31 * 86_400
    manager.cleanup_old_backups(ID)
    assert manager.info(ID)["quarantine"] == held[-1:], "the newest, while the link goes on"


def test_what_was_just_replaced_stays_whatever_the_clock_says(place: Place) -> None:
    """The clock was ahead for some restores: what comes after is newer than all of those."""
    place.linked()
    place.clock.now += 10 * 86_400
    for n in range(7):
        if n == 3:
            place.clock.now -= 10 * 86_400
        (place.live / "creds.json").write_text("{" * (n + 1))
        quarantined = place.manager().restore(ID).quarantined
        assert quarantined is not None
        assert aside(place, quarantined)["creds.json"] == b"{" * (n + 1)
    assert len(place.manager().info(ID)["quarantine"]) == 3


def test_quarantine_is_never_the_only_copy(place: Place) -> None:
    """With no good snapshot the newest stays, however old it is."""
    manager = place.linked()
    tear("store.db")(place.live)
    manager.restore(ID)
    for path in place.store.glob("session-*.json"):
        path.unlink()
    place.clock.now += 31 * 86_400
    manager.cleanup_old_backups(ID)
    assert len(manager.info(ID)["quarantine"]) == 1


def test_an_ended_epoch_goes_after_thirty_days(place: Place) -> None:
    """Its snapshots and its quarantine; its end stays known, and of the last the newest good one.

    A clock that jumps a year ahead, and back, would else have thrown all of it away.
    """
    manager = place.linked()
    manager.clear(ID)
    for text in ("older", "newest"):
        fill(place.live) if text == "older" else write_key(place.live, text)
        manager.note_linked(ID, "1:aa")
        manager.backup(ID)
    manager.clear(ID)
    manager.cleanup_old_backups(ID)
    assert {s.epoch for s in manager.snapshots(ID)} == {1, 2}
    newest = manager.snapshots(ID)[-1]
    place.clock.now += 400 * 86_400
    manager.cleanup_old_backups(ID)
    place.clock.now -= 400 * 86_400
    assert manager.snapshots(ID) == [newest]
    assert [".closed-cleared." in name for name in place.manifests()].count(True) == 2
    assert manager.info(ID)["quarantine"] == []
    assert not manager.verify(ID, newest.id)
    with pytest.raises(NothingToRestore):
        manager.restore(ID)


# --- folded into the packs ---------------------------------------------------------------------


def _cleared(place: Place) -> Mapping[str, bytes | str | None]:
    """Leave a cleared session in quarantine that is newer than its snapshot. Returns it."""
    manager = place.linked()
    write_key(place.live, "newer than the snapshot")
    (place.live / "away").symlink_to("keys/one")
    wanted = tree(place.live)
    assert manager.clear(ID) in moved_whole(place)
    return wanted


def test_a_folder_is_folded_into_the_packs(place: Place) -> None:
    """It costs what is not stored yet, is listed as before, and comes out byte for byte."""
    wanted = _cleared(place)
    manager = place.manager()
    (before,) = manager.info(ID)["quarantine"]
    packs = set(place.packs())
    (name,) = manager.fold_quarantine(ID)
    assert not moved_whole(place)
    (after,) = manager.info(ID)["quarantine"]
    assert after.keys() == before.keys()
    assert after["name"] == name
    assert [after[key] for key in ("at", "epoch", "why")] == [
        before[key] for key in ("at", "epoch", "why")
    ]
    assert Path(after["path"]).is_file()
    (new,) = set(place.packs()) - packs
    assert (place.store / "packs" / new).stat().st_size < 500
    assert aside(place, name) == wanted
    assert name not in [snapshot.id for snapshot in manager.snapshots(ID)]
    assert manager.fold_quarantine(ID) == []
    with pytest.raises(NothingToRestore):
        manager.restore(ID)


def test_what_can_not_be_read_stays_a_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is not read again and again by the same process."""
    wanted = _cleared(place)
    (folder,) = moved_whole(place)
    really, tried = os.open, []

    def refused(path: Any, *args: Any, **more: Any) -> int:
        if str(path).endswith(f"{folder}/keys/one"):
            tried.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return really(path, *args, **more)

    manager = place.manager()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refused)
        assert manager.fold_quarantine(ID) == []
        assert manager.fold_quarantine(ID) == []
    assert len(tried) == 1
    assert aside(place, folder) == wanted
    assert len(place.manager().fold_quarantine(ID)) == 1


def test_a_full_disk_leaves_the_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be stored is not removed, and is stored when there is room."""
    wanted = _cleared(place)

    def full(*_args: Any, **_more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    manager = place.manager()
    with monkeypatch.context() as patch:
        patch.setattr("supervisor.session.quarantined.commit", full)
        assert manager.fold_quarantine(ID) == []
    (folder,) = moved_whole(place)
    assert aside(place, folder) == wanted
    assert len(manager.fold_quarantine(ID)) == 1


def test_a_damaged_pack_is_not_built_upon(place: Place) -> None:
    """The folder goes only when all of it was read back: what is damaged is stored anew."""
    wanted = _cleared(place)
    (pack,) = (place.store / "packs").iterdir()
    flip(pack)
    (name,) = place.manager().fold_quarantine(ID)
    assert not moved_whole(place)
    assert aside(place, name) == wanted
    assert len(place.manager().info(ID)["quarantine"]) == 1


def test_folders_and_manifests_count_together(place: Place) -> None:
    """Three per epoch of both kinds; what goes frees its pack."""
    manager = place.linked()
    for number in range(5):
        (place.live / "creds.json").write_text("{" + "torn" * number)
        (place.live / "only here").write_bytes(os.urandom(3000))
        if number == 1:
            os.mkfifo(place.live / "pipe")
        manager.restore(ID)
        assert len(moved_whole(place)) == (number in (1, 2))
    held = [item["name"] for item in manager.info(ID)["quarantine"]]
    kept = [aside(place, name)["creds.json"] for name in held]
    assert kept == [b"{", b"{" + b"torn" * 3, b"{" + b"torn" * 4]
    assert len(place.packs()) == 4
    place.clock.now += 31 * 86_400
    manager.cleanup_old_backups(ID)
    assert [item["name"] for item in manager.info(ID)["quarantine"]] == held[-1:]
    assert len(place.packs()) == 2


def test_the_same_session_is_put_aside_once(place: Place) -> None:
    """Damage that comes again and again fills no disk; another one is another."""
    manager = place.linked()
    for _ in range(3):
        (place.live / "creds.json").write_text("{torn")
        manager.restore(ID)
    assert len(manager.info(ID)["quarantine"]) == 1
    for torn in ("{TORN", "{torn"):
        (place.live / "creds.json").write_text(torn)
        manager.restore(ID)
    assert len(manager.info(ID)["quarantine"]) == 3


def test_a_restore_can_be_undone(place: Place) -> None:
    """What it replaced is restored by its name, if it is whole."""
    manager = place.linked()
    write_key(place.live, "newer than the snapshot")
    newer = tree(place.live)
    restored = manager.restore_from_backup(ID, "1")
    assert tree(place.live) != newer
    manager.restore_from_backup(ID, restored.quarantined)
    assert tree(place.live) == newer


def test_what_goes_is_proved_first(place: Place) -> None:
    """A copy of a file is stored already, it seems; but its block can't be read any more."""
    manager = place.linked()
    (place.live / "keys" / "large").write_bytes(os.urandom(3000))
    manager.backup(ID)
    newest = manager.store.listing(ID).snapshots[-1]
    wanted = tree(place.live)
    (entry,) = [entry for entry in newest.files if entry.path == "keys/large"]
    (blob,) = entry.blobs
    shutil.copyfile(place.live / "keys" / "large", place.live / "keys" / "copy")
    write_key(place.live, "other")
    broken = tree(place.live)
    flip(place.store / "packs" / blob.pack, blob.offset + blob.stored // 2)
    restored = place.manager().restore_from_backup(ID)
    assert tree(place.live) == wanted
    assert not moved_whole(place)
    assert restored.quarantined
    assert aside(place, restored.quarantined) == broken
    assert len(manager.info(ID)["quarantine"]) == 1


@pytest.mark.parametrize("linked", [True, False])
def test_a_clock_that_jumps_ahead_throws_away_nothing_young_of_the_link(
    place: Place, *, linked: bool
) -> None:
    """What was replaced last stays, however old it seems; once the link has ended it goes."""
    manager = place.linked()
    for text in ("older", "newest"):
        write_key(place.live, text)
        manager.restore_from_backup(ID)
    if not linked:
        manager.close_epoch(ID, "logged out")
    newest = manager.info(ID)["quarantine"][-1]["name"]
    place.clock.now += 31 * 86_400
    manager.cleanup_old_backups(ID)
    left = [held["name"] for held in place.manager().info(ID)["quarantine"]]
    assert left == ([newest] if linked else [])
