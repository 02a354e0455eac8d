"""Nothing that has ended comes back, and what was refused is tried once."""

import shutil

import pytest

from supervisor.session.model import NothingToRestore
from tests.unit.session.sessionkit import ID, Place, aside, fill, tree, write_key


def test_a_cleared_session_never_comes_back(place: Place) -> None:
    """Not by restore, not by name, not after the state file is lost; it lies in quarantine."""
    manager = place.linked()
    wanted = tree(place.live)
    quarantined = manager.clear(ID)
    assert quarantined
    assert aside(place, quarantined) == wanted
    assert not place.live.exists()
    for _ in range(2):
        fresh = place.manager()
        assert not fresh.can_restore(ID)
        assert "cleared or logged out" in fresh.info(ID)["why_not"]
        for attempt in (fresh.restore, fresh.restore_from_backup):
            with pytest.raises(NothingToRestore):
                attempt(ID)
        with pytest.raises(NothingToRestore, match="earlier link"):
            fresh.restore_from_backup(ID, "1")
        check = fresh.check(ID)
        assert (check.verdict, check.linked) == ("absent", False)
        place.state.unlink(missing_ok=True)


def test_why_a_link_has_ended_is_said(place: Place) -> None:
    """In the words of then: a person did not clear it."""
    manager = place.linked()
    manager.close_epoch(ID, "nothing of it was whole")
    assert "ended (nothing of it was whole)" in place.manager().info(ID)["why_not"]


def test_the_file_of_an_end_says_why_in_its_name(place: Place) -> None:
    """Whose session it is stands in the name already, and so does it in the words on it."""
    manager = place.manager()
    fill(place.live)
    manager.note_linked(ID, "1:aa")
    (place.live / "creds.json").write_bytes(b"")
    with pytest.raises(NothingToRestore) as refused:
        manager.restore(ID, because="pairing")
    assert ID in refused.value.message
    name = manager.close_epoch(ID, refused.value.message)
    assert name is not None
    assert name.endswith(".e1.it-has-no-snapshot")
    assert [".closed-it-has-no-snapshot." in file for file in place.manifests()] == [True]
    assert "ended (it has no snapshot)" in manager.info(ID)["why_not"]


def test_a_relink_ends_what_was_before(place: Place) -> None:
    """The new device's session is never replaced by the old one's."""
    manager = place.linked()
    shutil.rmtree(place.live)
    fill(place.live, device=2)
    assert manager.note_linked(ID, "2:bb") == 2
    shutil.rmtree(place.live)
    place.state.unlink()
    with pytest.raises(NothingToRestore):
        place.manager().restore(ID)
    fill(place.live, device=2)
    manager.note_linked(ID, "2:bb")
    snapshot = manager.backup(ID)
    shutil.rmtree(place.live)
    assert manager.restore(ID).snapshot == snapshot


def test_what_was_copied_before_the_pairing_is_not_restored(place: Place) -> None:
    """Half a pairing is no session."""
    manager = place.manager()
    place.live.mkdir(parents=True)
    (place.live / "half").write_text("half paired")
    manager.backup(ID)
    manager.note_linked(ID, "1:aa")
    shutil.rmtree(place.live)
    with pytest.raises(NothingToRestore):
        manager.restore(ID)


def test_a_session_from_elsewhere_is_adopted(place: Place) -> None:
    """Its first return is the baseline, and no restore; its copies of before count."""
    fill(place.live)
    manager = place.manager()
    snapshot = manager.backup(ID)
    manager.note_verified(ID, "1:aa", "identity", 0.5)
    assert manager.record(ID).adopted
    info = manager.info(ID)
    assert (info["state"], info["restore_count"], info["link_count"]) == ("linked", 0, 0)
    shutil.rmtree(place.live)
    assert manager.restore(ID).snapshot == snapshot


def test_a_refused_session_is_restored_once_per_snapshot(place: Place) -> None:
    """The second time there is nothing to try; a later proof makes a new try possible."""
    manager = place.linked()
    manager.set_seat(ID, 1)
    manager.set_seat(ID, 2)
    assert manager.restore(ID, because="pairing").action == "restored"
    with pytest.raises(NothingToRestore):
        place.manager().restore(ID, because="pairing")
    # What is copied of the session that was refused is no candidate either.
    write_key(place.live, "overwritten while pairing")
    manager.commit(manager.capture(ID, reason="seal", generation=2, hot=False))
    with pytest.raises(NothingToRestore):
        manager.restore(ID, because="pairing")
    manager.set_seat(ID, 3)
    write_key(place.live, "verified")
    proved = manager.commit(
        manager.capture(ID, reason="stop", generation=3, hot=False), "roundtrip"
    )
    manager.set_seat(ID, 4)
    assert manager.restore(ID, because="pairing").snapshot == proved


def test_a_copy_of_the_refused_session_is_no_cure(place: Place) -> None:
    """What was sealed after it was refused is skipped; an older proved one comes back."""
    manager = place.linked()
    manager.set_seat(ID, 1)
    manager.set_seat(ID, 2)
    write_key(place.live, "overwritten while pairing")
    manager.commit(manager.capture(ID, reason="seal", generation=2, hot=False))
    restored = manager.restore(ID, because="pairing")
    assert restored.snapshot == manager.snapshots(ID)[0]


def test_a_second_refusal_needs_a_proof_in_between(place: Place) -> None:
    """Else each generation's copies would be tried for ever."""
    manager = place.linked()
    manager.set_seat(ID, 1)
    manager.set_seat(ID, 2)
    manager.restore(ID, because="pairing")
    manager.set_seat(ID, 3)
    write_key(place.live, "never verified")
    manager.commit(manager.capture(ID, reason="stop", generation=3, hot=False))
    manager.set_seat(ID, 4)
    with pytest.raises(NothingToRestore):
        manager.restore(ID, because="pairing")


def test_with_older_auto_each_snapshot_is_tried_once(place: Place) -> None:
    """From the newest back, and then no more."""
    manager = place.linked(older="auto")
    write_key(place.live, "two")
    manager.backup(ID)
    manager.set_seat(ID, 1)
    for snapshot in reversed(manager.snapshots(ID)):
        assert manager.restore(ID, because="pairing").snapshot == snapshot
    with pytest.raises(NothingToRestore):
        manager.restore(ID, because="pairing")


def test_pairing_outside_a_link_restores_nothing(place: Place) -> None:
    """There is no device to bring back."""
    fill(place.live)
    manager = place.manager()
    manager.backup(ID)
    with pytest.raises(NothingToRestore):
        manager.restore(ID, because="pairing")


def test_an_old_state_file_does_not_end_an_adoption(place: Place) -> None:
    """The snapshots know that the session is linked, and whose it is."""
    fill(place.live)
    manager = place.manager()
    manager.backup(ID)
    manager.save_state(ID, note="so that there is a file")
    old = place.state.read_bytes()
    manager.note_verified(ID, None, "ready", 0.5)
    write_key(place.live, "without a device")
    manager.backup(ID)
    older = place.state.read_bytes()
    manager.note_verified(ID, "1:aa", "identity", 0.5)
    write_key(place.live, "with a device")
    wanted = manager.backup(ID)
    for text in (old, older):
        place.state.write_bytes(text)
        manager = place.manager()
        record = manager.record(ID)
        assert (record.epoch, record.state, record.identity) == (0, "linked", "1:aa")
        assert record.adopted
        shutil.rmtree(place.live)
        assert manager.restore(ID).snapshot == wanted
        assert manager.note_linked(ID, "1:aa") == 0


def test_what_keeps_no_file_is_no_link(place: Place) -> None:
    """Else each start would find it gone, and end a link that there never was."""
    manager = place.manager()
    manager.make_folder(ID)
    for _start in range(2):
        check = manager.check(ID)
        assert (check.verdict, check.linked) == ("absent", False)
        manager.note_verified(ID, None, "ready", 0.5)
    assert manager.record(ID).state == "none"
    assert place.manifests() == []
    manager.note_verified(ID, "1:aa", "identity", 0.5)
    assert manager.record(ID).state == "linked", "the bot itself says that it has a device"


@pytest.mark.parametrize("again", [False, True])
def test_files_that_come_after_the_first_start_are_a_link(place: Place, *, again: bool) -> None:
    """They come back from their first snapshot; the next verified start adopts them."""
    manager = place.manager()
    manager.make_folder(ID)
    manager.note_verified(ID, None, "ready", 0.5)
    fill(place.live)
    snapshot = manager.backup(ID)
    if again:
        manager.note_verified(ID, None, "ready", 0.5)
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    check = manager.check(ID)
    assert (check.verdict, check.linked) == ("absent", True) if again else ("damaged", False)
    assert manager.restore(ID).snapshot == snapshot
    assert tree(place.live) == wanted
