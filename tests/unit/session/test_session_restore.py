"""Restore: a damaged session comes back whole, from the best snapshot there is."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.model import NothingToRestore
from tests.unit.session.damagekit import DAMAGES, tear
from tests.unit.session.diskkit import failing_reads
from tests.unit.session.sessionkit import ID, Place, aside, fill, tree, write_key


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_found_and_mended_and_the_rest_kept(
    place: Place, damage: Callable[[Path], object]
) -> None:
    """Each comes back byte for byte; what was there lies in quarantine."""
    manager = place.linked()
    wanted = tree(place.live)
    assert manager.check(ID).verdict == "passed"
    damage(place.live)
    broken = tree(place.live)
    check = manager.check(ID)
    assert check.verdict == ("damaged" if broken else "absent")
    assert check.why
    assert check.linked
    assert manager.can_restore(ID)
    restored = manager.restore(ID)
    assert restored.action == "restored"
    assert restored.snapshot == manager.snapshots(ID)[0]
    assert restored.age_s > 0
    assert tree(place.live) == wanted
    assert manager.check(ID).verdict == "passed"
    if broken:
        assert restored.quarantined
        assert aside(place, restored.quarantined) == broken
    info = manager.info(ID)
    assert (info["rollback_count"], info["restore_count"]) == (1, 0)
    assert [item["why"] for item in info["quarantine"]] == (["damaged"] if broken else [])
    assert not list((place.store / "tmp").iterdir())
    assert [path.name for path in place.live.parent.glob(".session*.new")] == []


def test_two_restores_within_a_second_are_two(place: Place) -> None:
    """With nothing to put aside, neither has a folder that tells it from the other."""
    manager = place.linked()
    second = place.clock.now
    for count in (1, 2):
        shutil.rmtree(place.live)
        place.clock.now = second
        manager.restore(ID)
        assert manager.info(ID)["rollback_count"] == count


@pytest.mark.parametrize("suffix", ["-wal", "-journal", "-shm"])
def test_no_journal_of_the_old_database_survives(place: Place, suffix: str) -> None:
    """It would be replayed into the restored one."""
    manager = place.linked()
    os.truncate(place.live / "store.db", 5000)
    (place.live / f"store.db{suffix}").write_bytes(b"of another time")
    manager.restore(ID)
    assert f"store.db{suffix}" not in tree(place.live)


def test_only_an_older_one_needs_consent(place: Place) -> None:
    """The newest good one is sick: an older one comes back when a person says so, or "auto"."""
    manager = place.linked()
    write_key(place.live, "two")
    manager.backup(ID)
    write_key(place.live, "three")
    newest = manager.backup(ID)
    (place.store / "packs" / place.packs()[-1]).write_bytes(b"sick")
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    with pytest.raises(NothingToRestore) as failure:
        manager.restore(ID)
    assert "--snapshot" in failure.value.hint
    assert len(failure.value.older) == 2
    assert {s.id: s.verdict for s in manager.snapshots(ID)}[newest.id] == "bad"
    assert not place.live.exists()
    with pytest.raises(NothingToRestore):
        manager.restore(ID)
    assert place.manager(older="auto").restore(ID).action == "restored"
    assert tree(place.live) == {**wanted, "keys/one": b"two"}
    assert manager.restore_from_backup(ID, "1").snapshot == manager.snapshots(ID)[0]
    assert tree(place.live)["keys/one"] == b"first key"


def test_good_comes_before_fuzzy_and_newer_before_older(place: Place) -> None:
    """The newest good one; when that can't be read, the newest that was taken hot."""
    manager = place.linked()
    write_key(place.live, "good")
    good = manager.backup(ID)
    write_key(place.live, "fuzzy")
    fuzzy = manager.commit(
        manager.capture(ID, reason="periodic", generation=1, hot=True, frozen=False)
    )
    assert fuzzy.verdict == "fuzzy"
    shutil.rmtree(place.live)
    assert manager.restore(ID).snapshot == good
    manager.store.amend(manager.store.find(ID, good.id), verdict="bad", sick=True)
    shutil.rmtree(place.live)
    assert manager.restore(ID).snapshot == fuzzy


def test_a_pending_one_is_validated_before_it_is_used(place: Place) -> None:
    """A crash between commit and validation does not make a torn copy restorable."""
    manager = place.linked()
    os.truncate(place.live / "store.db", 6000)
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    assert manager.commit(capture, validate=False).verdict == "pending"
    restored = manager.restore(ID)
    assert restored.snapshot
    assert restored.snapshot.seq == 1
    assert manager.snapshots(ID)[1].verdict == "bad"


def test_validation_may_come_later(place: Place) -> None:
    """Off the restart's path, by the snapshot's name."""
    manager = place.linked()
    write_key(place.live, "new")
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    pending = manager.commit(capture, validate=False)
    assert manager.validate(ID, pending.id).verdict == "good"


@pytest.mark.parametrize("verdict", ["pending", "good"])
def test_a_passing_read_error_ends_no_link(
    place: Place, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    """With nothing to restore the epoch would be closed; this is told apart, and tried again."""
    fill(place.live)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    capture = manager.capture(ID, reason="linked", generation=1, hot=False)
    assert manager.commit(capture, validate=verdict == "good").verdict == verdict
    wanted = tree(place.live)
    tear("store.db")(place.live)
    broken = tree(place.live)
    with monkeypatch.context() as patch:
        failing_reads(patch, lambda path: path.parent == place.store / "packs")
        for use in (manager.restore, manager.restore_from_backup):
            with pytest.raises(SupervisorError, match="Input/output error") as told:
                use(ID)
            assert not isinstance(told.value, NothingToRestore)
        assert tree(place.live) == broken
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted
