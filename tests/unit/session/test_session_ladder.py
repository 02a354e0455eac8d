"""What comes back, or why nothing does: the choice among the snapshots of a link."""

import errno
import os
import shutil
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.core.policy import Keep
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore, Snapshot
from tests.unit.session.auditkit import by_seq, checked
from tests.unit.session.damagekit import cut
from tests.unit.session.diskkit import failing_reads
from tests.unit.session.sessionkit import ID, Place, fill, tree, with_snapshots, write_key


def proved(manager: SessionManager, generation: int, *, proof: str = "roundtrip") -> None:
    """Let a generation have the seat, and prove its device."""
    manager.set_seat(ID, generation)
    manager.note_verified(ID, "1:aa", proof, 1.0)
    manager.mark_proof(ID, generation, proof)


def sealed_empty(place: Place) -> SessionManager:
    """Empty the database under a proved generation, whose seal is taken after that."""
    manager = place.linked()
    proved(manager, 7)
    os.truncate(place.live / "store.db", 0)
    manager.set_seat(ID, None)
    seal = manager.commit(
        manager.capture(ID, reason="sealed", generation=7, hot=False), "roundtrip"
    )
    assert (seal.verdict, seal.proof) == ("bad", "roundtrip")
    assert seal.why == place.manager().check(ID).why
    return manager


def test_an_emptied_database_is_no_flaw_that_a_device_lived_with(place: Place) -> None:
    """Its seal has the proof of before, and the good snapshot is damaged: no bot starts on it."""
    sealed_empty(place)
    (place.store / "packs" / place.packs()[0]).write_bytes(b"damaged")
    with pytest.raises(SupervisorError):
        place.manager().restore(ID)
    assert (place.live / "store.db").stat().st_size == 0


def test_what_can_not_be_read_now_is_waited_for_before_a_flaw_is_accepted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good snapshot may be read the next time."""
    sealed_empty(place)
    first = place.packs()[0]
    with monkeypatch.context() as patch:
        failing_reads(patch, lambda path: path.name == first)
        with pytest.raises(SupervisorError, match="can't be restored now") as told:
            place.manager().restore(ID)
        assert not isinstance(told.value, NothingToRestore)
    restored = place.manager().restore(ID)
    assert restored.snapshot is not None
    assert restored.snapshot.seq == 1
    assert tree(place.live)["store.db"]


@pytest.mark.parametrize("looked", [False, True])
def test_a_lost_pack_ends_no_link_whether_a_check_saw_it_or_not(
    place: Place, *, looked: bool
) -> None:
    """All snapshots need it: nothing is ended or pruned, and with the pack back it all works."""
    manager = with_snapshots(place, 5)
    wanted = tree(place.live)
    (place.live / "creds.json").unlink()
    there = place.manifests()
    first = place.store / "packs" / place.packs()[0]
    first.rename(place.root / first.name)
    if looked:
        assert {one.verdict for one in checked(manager).snapshots} == {"bad"}
    for _ in range(8):  # as each start would
        with pytest.raises(SupervisorError) as refused:
            place.manager().restore(ID)
        assert getattr(refused.value, "older", ("not this kind",))
    assert "session" in refused.value.hint
    keep = Keep(last=5, hourly=0, daily=0)
    place.manager(keep=keep).cleanup_old_backups(ID)
    assert place.manifests() == there
    (place.root / first.name).rename(first)
    checked(place.manager())
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted


def test_the_only_snapshot_that_is_lost_ends_no_link(place: Place) -> None:
    """What to do is said: the bytes may be put back, or the link given up."""
    manager = place.linked()
    (place.live / "creds.json").unlink()
    (place.store / "packs" / place.packs()[0]).write_bytes(b"damaged")
    with pytest.raises(SupervisorError, match="can't be read any more") as refused:
        manager.restore(ID)
    assert not isinstance(refused.value, NothingToRestore)
    assert f"stillhere session check {ID}" in refused.value.hint
    assert f"stillhere session clear {ID}" in refused.value.hint


def test_one_that_waits_for_its_verdict_ends_no_link(place: Place) -> None:
    """Killed before it was judged, it may be whole: a person is asked."""
    fill(place.live)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    first = manager.capture(ID, reason="sealed", generation=1, hot=False)
    assert manager.commit(first, validate=False).verdict == "pending"
    write_key(place.live, "two")
    manager.backup(ID)
    (place.store / "packs" / place.packs()[-1]).write_bytes(b"damaged")
    (place.live / "creds.json").write_bytes(b"")
    (place.live / "keys" / "one").unlink()
    with pytest.raises(NothingToRestore) as refused:
        place.manager().restore(ID)
    assert refused.value.older == (manager.snapshots(ID)[0].id,)
    assert "--snapshot 1" in refused.value.hint
    assert place.manager().restore(ID, "1").action == "restored"


@pytest.mark.parametrize("older", ["ask", "auto"])
def test_a_copy_of_the_refused_session_made_by_hand_is_not_tried(place: Place, older: str) -> None:
    """The one try is for what a device was proved with, and not for the refused bytes."""
    manager = place.linked()
    proved(manager, 1)
    manager.set_seat(ID, None)
    write_key(place.live, "no key of this device")
    copy = manager.backup(ID)
    assert (copy.seq, copy.verdict, copy.proof) == (2, "good", "")
    manager.mark_proof(ID, 0, "roundtrip")  # the first one was before any generation
    manager.set_seat(ID, 2)
    restored = place.manager(older=older).restore(ID, because="pairing").snapshot
    assert restored is not None
    assert restored.seq == 1


def hot(place: Place, manager: SessionManager, text: str, *, whole: bool, judged: bool) -> Snapshot:
    """Take a snapshot as of a running bot: a good one, or a fuzzy one."""
    write_key(place.live, text)
    capture = manager.capture(ID, reason="hot", generation=1, hot=True, frozen=whole)
    return manager.commit(capture, validate=judged)


def cold(place: Place, manager: SessionManager, text: str) -> Snapshot:
    """Take a snapshot at rest."""
    write_key(place.live, text)
    return manager.backup(ID)


def damage(place: Place, snapshot: Snapshot) -> None:
    """Damage what that snapshot alone has."""
    (name,) = (name for name in place.packs() if f".{snapshot.seq:06}." in name)
    (place.store / "packs" / name).write_bytes(b"damaged")


def ruin(place: Place) -> None:
    """Damage the session so that each snapshot's own pack is needed."""
    (place.live / "creds.json").write_bytes(b"")
    (place.live / "keys" / "one").unlink()


def test_a_hot_one_does_not_come_back_before_a_newer_good_one(place: Place) -> None:
    """The newest is damaged: of those two a person would choose the newer."""
    manager = place.linked()
    hot(place, manager, "of long ago", whole=True, judged=True)
    second = cold(place, manager, "second newest")
    damage(place, cold(place, manager, "newest"))
    ruin(place)
    with pytest.raises(NothingToRestore) as refused:
        place.manager().restore(ID)
    assert f"--snapshot {second.seq}" in refused.value.hint


def test_a_fuzzy_one_that_is_lost_hides_no_good_one(place: Place) -> None:
    """It never came before it, be it lost or not."""
    manager = place.linked()
    fuzzy = hot(place, manager, "x", whole=False, judged=True)
    assert fuzzy.verdict == "fuzzy"
    damage(place, fuzzy)
    assert by_seq(checked(manager))[fuzzy.seq].verdict == "bad"
    ruin(place)
    restored = place.manager().restore(ID).snapshot
    assert restored is not None
    assert restored.seq == 1


def test_one_that_turns_out_fuzzy_does_not_come_before_a_good_one(place: Place) -> None:
    """As with its verdict given in time."""
    manager = place.linked()
    assert hot(place, manager, "torn", whole=False, judged=False).verdict == "pending"
    ruin(place)
    restored = place.manager().restore(ID).snapshot
    assert restored is not None
    assert (restored.seq, restored.verdict) == (1, "good")
    assert place.manager().snapshots(ID)[1].verdict == "fuzzy"


@pytest.mark.parametrize("because", ["damaged", "pairing"])
def test_nothing_older_comes_back_for_a_newest_whose_manifest_is_torn(
    place: Place, because: str
) -> None:
    """It may have been good: a person is asked, and told."""
    with_snapshots(place, 3)
    cut(place.store / place.manifests()[-1])
    ruin(place)
    broken = tree(place.live)
    manager = place.manager()
    with pytest.raises(NothingToRestore, match="manifest of snapshot 3 is damaged") as refused:
        manager.restore(ID, because=because)  # type: ignore[arg-type]  # the parameters' str
    assert "--snapshot 2" in refused.value.hint
    assert len(refused.value.older) == 2
    assert tree(place.live) == broken
    assert "manifest of snapshot 3 is damaged" in str(manager.info(ID)["why_not"])
    assert place.manager(older="auto").restore(ID).action == "restored"


def test_a_torn_manifest_that_is_all_there_is_ends_no_link(place: Place) -> None:
    """Its bytes are in the packs: a copy of the manifest brings all back."""
    manager = place.linked()
    manager.note_state(ID, "restored")
    wanted = tree(place.live)
    path = place.store / place.manifests()[0]
    whole = path.read_bytes()
    cut(path)
    ruin(place)
    with pytest.raises(SupervisorError, match="manifest of snapshot 1 is damaged") as refused:
        manager.restore(ID)
    assert not isinstance(refused.value, NothingToRestore)
    path.write_bytes(whole)
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted


def test_a_torn_one_before_the_newest_does_not_matter(place: Place) -> None:
    """The newest comes back."""
    with_snapshots(place, 3)
    cut(place.store / place.manifests()[1])
    ruin(place)
    restored = place.manager().restore(ID).snapshot
    assert restored is not None
    assert restored.seq == 3


def put_another_device(place: Place) -> None:
    """Put another device's files there, as a person does by hand."""
    shutil.rmtree(place.live)
    fill(place.live, device=2)


def test_another_devices_files_in_a_copy_are_not_of_this_link(place: Place) -> None:
    """Somebody put them there, and a backup was taken: they never come back unasked."""
    manager = place.linked()
    put_another_device(place)
    with (place.live / "keys" / "one").open():
        copy = manager.backup(ID)
    assert (copy.seq, copy.epoch, copy.verdict) == (2, 1, "fuzzy")
    (place.live / "creds.json").write_bytes(b"")
    damage(place, manager.snapshots(ID)[0])
    broken = tree(place.live)
    for because in ("damaged", "pairing"):
        with pytest.raises(SupervisorError, match="can't be read any more"):
            place.manager().restore(ID, because=because)
    assert tree(place.live) == broken


def test_a_copy_of_another_device_makes_the_links_own_no_stranger(place: Place) -> None:
    """What is live is compared with this link's own snapshots."""
    manager = place.linked()
    put_another_device(place)
    manager.backup(ID)
    assert manager.check(ID).foreign
    manager.restore(ID, "1")
    check = place.manager().check(ID)
    assert (check.verdict, check.foreign, check.identity) == ("passed", False, "1:aa")


def test_what_was_refused_as_well_is_no_choice_any_more(place: Place) -> None:
    """The one that was tried pairs too: the link is over, and the QR code stays up."""
    manager = place.linked()
    proved(manager, 5, proof="identity")
    manager.set_seat(ID, 6)
    assert manager.restore(ID, because="pairing").action == "restored"
    manager.set_seat(ID, 7)
    with pytest.raises(NothingToRestore) as refused:
        manager.restore(ID, because="pairing")
    assert refused.value.older == ()
    assert "stillhere link" in refused.value.hint


@pytest.mark.parametrize("step", ["_stage", "_keep", "_whole"])
def test_a_try_that_failed_before_it_began_is_not_spent(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The disk was full: with room again the snapshot is tried."""
    manager = place.linked()
    manager.set_seat(ID, 5)
    manager.set_seat(ID, 6)
    write_key(place.live, "refused")

    def full(*_args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if step == "_whole":
            patch.setattr(SessionManager, "_in_place", lambda *_args, **_how: None)
        patch.setattr(SessionManager, step, full)
        with pytest.raises(SupervisorError, match="No space left"):
            place.manager().restore(ID, because="pairing")
    assert place.manager().record(ID).tried == []
    assert place.manager().restore(ID, because="pairing").action == "restored"
    assert len(place.manager().record(ID).tried) == 1
