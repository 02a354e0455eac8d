"""The restore drill: the newest good snapshot is brought back beside the session, and opened."""

import os
from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager
from tests.unit.session.auditkit import by_seq, checked
from tests.unit.session.damagekit import flip
from tests.unit.session.diskkit import disk_at
from tests.unit.session.sessionkit import ID, Place, fill, tree, with_snapshots, write_key


def test_a_drill_restores_the_newest_good_one_and_leaves_nothing(place: Place) -> None:
    """Passed, with its size; the live session, the store and the records are as they were."""
    manager = with_snapshots(place, 2)
    before = tree(place.root)
    done = manager.drill(ID)
    assert done is not None
    assert (done.outcome, done.why) == ("passed", "")
    assert done.snapshot == manager.snapshots(ID)[-1].id
    assert done.size_bytes == manager.snapshots(ID)[-1].size_bytes
    assert tree(place.root) == before


def test_a_drill_finds_what_reading_finds_and_it_is_condemned(place: Place) -> None:
    """Which a person hears, with what to do; then nothing is built upon that snapshot."""
    manager = with_snapshots(place, 2)
    flip(place.store / "packs" / place.packs()[1])
    done = manager.drill(ID)
    assert done is not None
    assert (done.outcome, done.condemned) == ("failed", True)
    assert f"stillhere session backup {ID}" in done.hint
    manager.condemn(ID, done.snapshot, done.why)
    newest = place.manager().store.find(ID, "2")
    assert (newest.verdict, newest.sick, newest.why) == ("bad", True, done.why)


def test_a_drill_opens_what_it_restored(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte can be read, and it was called good; but it is no session any more."""
    manager = place.linked()
    (place.live / "creds.json").write_text('{"dev')
    monkeypatch.setattr(SessionManager, "_problems", lambda *_: ([], [], "1:aa"))
    assert manager.backup(ID).verdict == "good"
    done = place.manager().drill(ID)
    assert done is not None
    assert done.outcome == "failed"
    assert "creds.json" in done.why


def test_a_drill_compares_the_device_with_the_epoch_s(place: Place) -> None:
    """A good snapshot of somebody else's device is none that may come back."""
    fill(place.live, device=2)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    done = manager.drill(ID)
    assert done is not None
    assert done.outcome == "failed"
    assert "it is of device 2:bb, and not of 1:aa" in done.why


def test_what_a_drill_condemned_no_check_takes_back(place: Place) -> None:
    """All of it can be read, which is not what it was condemned for."""
    fill(place.live, device=2)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID)
    done = manager.drill(ID)
    assert done is not None
    manager.condemn(ID, done.snapshot, done.why)
    found = by_seq(checked(place.manager()))[1]
    assert (found.verdict, found.restorable, found.why_not) == ("bad", False, done.why)
    assert place.manager().store.find(ID, "1").verdict == "bad"


def test_a_drill_lets_an_emptied_file_be_that_the_bot_does_without(place: Place) -> None:
    """Its verdict was judged by what the device proved; the drill has no better word."""
    manager = place.linked()
    (place.live / "extra.json").write_text("{}")
    assert manager.backup(ID).verdict == "good"
    for _ in range(3):
        generation = manager.next_generation(ID)
        manager.set_seat(ID, generation)
        manager.note_verified(ID, "1:aa", "identity", 0.1)
        write_key(place.live, f"generation {generation}")
        os.truncate(place.live / "extra.json", 0)
        capture = manager.capture(ID, reason="seal", generation=generation, hot=False)
        sealed = manager.commit(capture, "identity")
        manager.set_seat(ID, None)
        manager.restore(ID)
    assert sealed.verdict == "good"
    done = manager.drill(ID)
    assert done is not None
    assert (done.snapshot, done.outcome, done.why) == (sealed.id, "passed", "")


def test_a_drill_with_nothing_to_open_it_with_is_skipped(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that takes too long to check: said, and not begun again at once."""
    manager = with_snapshots(place, 1)
    monkeypatch.setattr("supervisor.session.proof.checks._VALIDATOR_TIMEOUT_S", 0)
    done = manager.drill(ID)
    assert done is not None
    assert (done.outcome, done.condemned) == ("skipped", False)
    assert "timed out" in done.why
    assert list((place.store / "tmp").iterdir()) == []


def test_a_drill_without_room_is_skipped_and_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written to a disk that the session's bot may need."""
    manager = with_snapshots(place, 1)
    size = manager.snapshots(ID)[0].size_bytes
    real = os.statvfs(place.store)
    blocks = int(size * 1.2) // real.f_frsize
    scarce = os.statvfs_result((*real[:4], blocks, *real[5:]))
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _: scarce)
        patch.setattr("supervisor.session.drill.build", None)
        done = manager.drill(ID)
    assert done is not None
    assert done.outcome == "skipped"
    assert "are free" in done.why
    assert str(place.store) in done.hint


def test_a_drill_that_meets_a_full_disk_condemns_nothing(tmp_path: Path) -> None:
    """On a disk that fills meanwhile: it failed, and says why; the snapshot stays good."""
    small = tmp_path / "small"
    small.mkdir()
    with disk_at(small, "1m"):
        place = Place(tmp_path)
        fill(place.live)
        (place.live / "zeros").write_bytes(b"a" * 600_000)
        manager = place.manager()
        manager.store.root.symlink_to(small)
        manager.note_linked(ID, "1:aa")
        manager.backup(ID)
        real = os.statvfs(small)
        plenty = os.statvfs_result((*real[:4], 10**9, *real[5:]))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "statvfs", lambda _: plenty)
            (small / "ballast").write_bytes(b"b" * 600_000)
            done = manager.drill(ID)
        assert done is not None
        assert (done.outcome, done.condemned) == ("failed", False)
        assert "No space left" in done.why
        assert list((small / "tmp").iterdir()) == []


def test_without_a_good_snapshot_there_is_no_drill(place: Place) -> None:
    """None of an ended link either."""
    fill(place.live)
    manager = place.manager()
    assert manager.drill("nobody") is None
    manager.note_linked(ID, "1:aa")
    assert manager.drill(ID) is None
    manager.backup(ID)
    manager.clear(ID)
    assert manager.drill(ID) is None
