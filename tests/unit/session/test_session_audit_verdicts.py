"""What a check writes down of what it found: verdicts, given and taken back; damage, healed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.session.auditkit import by_seq, checked
from tests.unit.session.damagekit import cut, flip
from tests.unit.session.diskkit import failing_reads
from tests.unit.session.sessionkit import ID, Place, tree, with_snapshots, write_key

DAMAGES = [flip, cut, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_pack_is_found_and_healed_though_nothing_changed(
    place: Place, damage: Callable[[Path], None]
) -> None:
    """Flipped, torn, gone: said once for all, and the next snapshot stores it again."""
    with_snapshots(place, 1)
    damage(place.store / "packs" / place.packs()[0])
    wanted = tree(place.live)
    found = checked(place.manager())
    (one,) = found.snapshots
    assert (one.restorable, one.verdict, found.ok) == (False, "bad", False)
    assert found.damaged == [one.id]
    assert one.todo is not None
    assert one.todo.endswith(f"stillhere session backup {ID}")
    manager = place.manager()  # another process, which knows nothing but what is written down
    assert manager.store.find(ID, "1").sick
    assert manager.backup(ID).seq == 2
    assert checked(manager).ok
    assert manager.backup(ID).seq == 2
    shutil.rmtree(place.live)
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted


def test_all_that_share_a_damaged_blob_are_bad_and_none_is_built_upon(place: Place) -> None:
    """Over a restart of the process too: the first snapshot after it needs no old byte."""
    with_snapshots(place, 4)
    flip(place.store / "packs" / place.packs()[0])
    found = checked(place.manager())
    assert [one.verdict for one in found.snapshots] == ["bad"] * 4
    assert all(manifest.sick for manifest in place.manager().store.listing(ID).snapshots)
    manager = place.manager()
    healed = manager.backup(ID)
    assert healed.verdict == "good"
    assert list(manager.store.find(ID, str(healed.seq)).packs) == [healed.seq]
    assert place.manager().verify(ID, healed.id) == ""


def test_a_healed_blob_is_trusted_where_it_is_whole(place: Place) -> None:
    """Checks go on finding the old place damaged; that costs no snapshot any more."""
    with_snapshots(place, 2)
    manager = place.manager()
    flip(place.store / "packs" / place.packs()[0])
    checked(manager)
    healed = manager.backup(ID)
    for _ in range(2):
        assert checked(manager).ok
        assert manager.backup(ID).id == healed.id


def test_what_can_be_read_again_is_good_again(place: Place) -> None:
    """A pack was away for a while: no snapshot is lost for that."""
    with_snapshots(place, 3)
    first = place.store / "packs" / place.packs()[0]
    first.rename(place.root / "away")
    assert [one.verdict for one in checked(place.manager()).snapshots] == ["bad"] * 3
    (place.root / "away").rename(first)
    found = checked(place.manager())
    assert [one.verdict for one in found.snapshots] == ["good"] * 3
    assert found.ok
    assert not any(manifest.sick for manifest in place.manager().store.listing(ID).snapshots)


def test_a_bad_one_that_cannot_be_read_is_no_loss(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never was a copy that could come back, so that the session is as safe as before."""
    manager = place.linked()
    (place.live / "creds.json").write_text("{torn" * 9)
    assert manager.backup(ID).verdict == "bad"
    first, second = (manager.store.find(ID, seq).packs for seq in "12")
    (pack,) = set(second.values()) - set(first.values())
    failing_reads(monkeypatch, lambda path: path.name == pack.name)
    found = checked(place.manager())
    assert "Input/output error" in str(by_seq(found)[2].why_not)
    assert found.damaged == []


def test_a_read_error_condemns_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO is said, with what to do; but the manifest stays as it was."""
    manager = with_snapshots(place, 2)
    with monkeypatch.context() as patch:
        failing_reads(patch, lambda path: path.parent == place.store / "packs")
        found = checked(manager)
    assert not found.ok
    assert "Input/output error" in str(found.snapshots[0].why_not)
    assert "mend the disk" in str(found.snapshots[0].todo)
    assert [m.verdict for m in place.manager().store.listing(ID).snapshots] == ["good"] * 2
    assert checked(place.manager()).ok
    assert list(manager.store.find(ID, manager.backup(ID).id).packs) == [3], "all stored again"


def test_a_pending_snapshot_gets_its_verdict(place: Place) -> None:
    """What validation says of it is said, and written down."""
    manager = with_snapshots(place, 1)
    write_key(place.live, "new")
    capture = manager.capture(ID, reason="x", generation=1, hot=False)
    assert manager.commit(capture, validate=False).verdict == "pending"
    (place.live / "creds.json").write_text('{"dev')
    capture = manager.capture(ID, reason="y", generation=1, hot=False)
    assert manager.commit(capture, validate=False).verdict == "pending"
    with place.manager().lock_for(ID):
        found = by_seq(checked(place.manager()))
    assert (found[2].restorable, found[3].restorable) == (True, False)
    assert [s.verdict for s in place.manager().snapshots(ID)] == ["good", "pending", "pending"]
    assert "creds.json" in str(found[3].why_not)
    checked(place.manager())
    assert [s.verdict for s in place.manager().snapshots(ID)] == ["good", "good", "bad"]


def test_where_another_process_owns_the_session_it_is_only_said(place: Place) -> None:
    """Nothing is written into a store that somebody else is responsible for."""
    with_snapshots(place, 1)
    flip(place.store / "packs" / place.packs()[0])
    manager = place.manager()
    with place.manager().lock_for(ID):
        found = checked(manager)
    assert not found.ok
    assert not found.noted
    assert place.manager().snapshots(ID)[0].verdict == "good"


def test_what_was_done_last_is_in_the_record(place: Place) -> None:
    """None at first; then when it was, for the check and for the drill each."""
    manager = place.linked()
    record = manager.record(ID)
    assert (record.checked_at, record.drilled_at) == (None, None)
    manager.note_round(ID, checked=True)
    first = place.manager().record(ID)
    assert first.checked_at is not None
    assert first.drilled_at is None
    manager.note_round(ID, drilled=True)
    second = place.manager().record(ID)
    assert second.checked_at == first.checked_at
    assert second.drilled_at is not None
