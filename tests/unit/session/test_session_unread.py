"""Manifests that the disk does not give back now: nothing is concluded from what can't be read."""

import errno
import os
import shutil
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.core.policy import Keep
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore, UnreadableBlob
from supervisor.session.storage.manifest import Manifest
from tests.unit.session.auditkit import checked
from tests.unit.session.damagekit import cut, empty, tear
from tests.unit.session.diskkit import failing_reads, unread_manifests
from tests.unit.session.sessionkit import ID, Place, tree, with_snapshots, write_key

DAY_S = 86_400.0


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("because", ["damaged", "pairing", "asked"])
def test_a_link_does_not_end_for_manifests_that_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: int, because: str
) -> None:
    """Neither lost nor restorable: it is said so, and all is as it was once they can be read."""
    wanted = tree(with_snapshots(place, 2).folder(ID))
    tear("store.db")(place.live)
    broken = tree(place.live)
    with monkeypatch.context() as patch:
        unread_manifests(patch, place, error=error)
        manager = place.manager()
        with pytest.raises(SupervisorError, match=os.strerror(error)) as told:
            manager.restore(ID, because=because)  # type: ignore[arg-type]  # the parameters' str
        assert not isinstance(told.value, NothingToRestore)
        assert "mend the disk" in told.value.hint
        assert "can't be read now" in str(manager.info(ID)["why_not"])
        assert manager.record(ID).state == "linked"
    assert tree(place.live) == broken
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted


def test_info_says_what_can_not_be_told_now(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file, of which only the unreadable manifest knows: no list of sessions fails."""
    manager = place.linked()
    (place.live / "log.txt").write_bytes(b"")
    assert manager.info(ID)["restorable"]
    with monkeypatch.context() as patch:
        unread_manifests(patch, place)
        found = place.manager().info(ID)
        assert (found["restorable"], found["exists"]) == (False, True)
        assert "whether it held something is not known" in found["why_not"]


def test_nothing_older_comes_back_for_a_newer_one_that_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys have moved on since. An older one that can't be read does not matter."""
    wanted = tree(with_snapshots(place, 3).folder(ID))
    shutil.rmtree(place.live)
    with monkeypatch.context() as patch:
        unread_manifests(patch, place, 3)
        with pytest.raises(SupervisorError, match="can't be restored now") as told:
            place.manager().restore(ID)
        assert not isinstance(told.value, NothingToRestore)
        assert not place.live.exists()
    with monkeypatch.context() as patch:
        unread_manifests(patch, place, 1, 2)
        assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted


def test_a_person_may_have_an_older_one_meanwhile(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names it has consented; and of the other it is said that it can't be read now."""
    with_snapshots(place, 2)
    unread_manifests(monkeypatch, place, 2)
    manager = place.manager()
    with pytest.raises(SupervisorError, match=r"2 .*can't be read now: Input/output error"):
        manager.restore(ID, "2")
    assert manager.restore(ID, "1").action == "restored"


def test_a_lost_state_file_is_not_rebuilt_from_a_part(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cleared session would come back, or a linked one be forgotten."""
    with_snapshots(place, 2)
    place.state.unlink()
    with monkeypatch.context() as patch:
        unread_manifests(patch, place)
        manager = place.manager()
        for use in (manager.record, manager.next_generation, manager.restore):
            with pytest.raises(SupervisorError, match="can't be read now"):
                use(ID)
        manager.next_generation("other")
    record = place.manager().record(ID)
    assert (record.state, record.epoch, record.identity) == ("linked", 1, "1:aa")


def test_a_clear_ends_what_it_cannot_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the session would be back with a lost state file."""
    manager = place.manager()
    place.live.mkdir(parents=True)
    (place.live / "auth.bin").write_bytes(b"key")
    manager.next_generation(ID)
    manager.backup(ID)
    with monkeypatch.context() as patch:
        unread_manifests(patch, place)
        place.manager().clear(ID)
    place.state.unlink()
    assert place.manager().record(ID).state == "closed"
    assert not place.manager().can_restore(ID)


@pytest.mark.parametrize("unread", [True, False])
def test_what_cannot_be_read_stops_all_pruning(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, unread: bool
) -> None:
    """Of quarantine too: torn or not given back, it may be what somebody needs."""
    manager = with_snapshots(place, 2)
    for _ in range(5):
        shutil.rmtree(place.live / "keys")
        manager.restore_from_backup(ID)
    before = len(manager.info(ID)["quarantine"])
    keep = Keep(last=1, hourly=0, daily=0)
    for text in "abc":
        write_key(place.live, text)
        manager.backup(ID)
    place.clock.now += 40 * DAY_S
    there = (place.manifests(), place.packs())
    with monkeypatch.context() as patch:
        if unread:
            unread_manifests(patch, place, 1)
        else:
            whole = (place.store / place.manifests()[0]).read_bytes()
            cut(place.store / place.manifests()[0])
        assert place.manager(keep=keep).cleanup_old_backups(ID) == []
        assert len(place.manager().info(ID)["quarantine"]) == before
        assert (place.manifests(), place.packs()) == there
        if not unread:
            (place.store / place.manifests()[0]).write_bytes(whole)
    assert place.manager(keep=keep).cleanup_old_backups(ID) != []


def test_no_verdict_without_what_it_is_compared_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emptied database looks whole beside nothing: it must not be called good."""
    manager = with_snapshots(place, 2)
    empty("store.db")(place.live)
    with monkeypatch.context() as patch:
        unread_manifests(patch, place)
        assert place.manager().backup(ID).verdict == "pending"
    manager = place.manager()
    assert manager.validate(ID, manager.snapshots(ID)[-1].id).verdict == "bad"


def test_an_empty_file_is_not_taken_for_whole_beside_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was emptied nobody knows now; a whole session starts all the same."""
    place.live.mkdir(parents=True)
    for name in ("auth.bin", "outbox.txt"):
        (place.live / name).write_bytes(b"needed, or not")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID)
    unread_manifests(monkeypatch, place)
    assert place.manager().check(ID).verdict == "passed"
    empty("auth.bin")(place.live)
    with pytest.raises(SupervisorError, match=r"auth\.bin is empty.*can't be read now"):
        place.manager().check(ID)


def test_an_older_snapshot_is_not_the_session_beside_one_that_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes again are a new snapshot: else the one between would pass for the newest."""
    manager = place.linked()
    was = (place.live / "keys" / "one").read_bytes()
    write_key(place.live, "between")
    manager.backup(ID)
    (place.live / "keys" / "one").write_bytes(was)
    with monkeypatch.context() as patch:
        unread_manifests(patch, place, 2)
        assert place.manager().backup(ID).seq == 3


def test_a_check_tells_a_torn_manifest_from_one_that_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is to be moved away, the other waits for its disk; no pack is called unneeded."""
    manager = with_snapshots(place, 3)
    cut(place.store / place.manifests()[0])
    unread_manifests(monkeypatch, place, 2)
    listing = manager.store.listing(ID)
    assert [m.seq for m in listing.manifests] == [2, 3], "as it was read before"
    found = checked(place.manager())
    assert (found.unreadable, list(found.unread)) == (
        [place.manifests()[0]],
        [place.manifests()[1]],
    )
    assert "Input/output error" in found.unread[place.manifests()[1]]
    assert not found.ok
    assert found.unneeded == []


@pytest.mark.parametrize("older", ["ask", "auto"])
def test_an_older_hot_one_does_not_come_back_for_a_good_one_that_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, older: str
) -> None:
    """Nobody was asked: it waits for the disk. Who consented to older ones gets the next best."""
    manager = place.linked(older=older)
    write_key(place.live, "hot")
    hot = manager.commit(manager.capture(ID, reason="hot", generation=1, hot=True))
    write_key(place.live, "newest and good")
    newest = manager.backup(ID)
    assert (hot.seq, newest.seq, newest.verdict) == (2, 3, "good")
    shutil.rmtree(place.live)
    names = {f".{newest.seq:06}."}
    with monkeypatch.context() as patch:
        failing_reads(patch, lambda path: any(name in path.name for name in names))
        if older == "auto":
            restored = place.manager(older=older).restore(ID).snapshot
            assert restored is not None
            assert restored.seq == 2
            return
        with pytest.raises(SupervisorError, match="can't be restored now") as told:
            place.manager(older=older).restore(ID)
        assert not isinstance(told.value, NothingToRestore)
    assert not place.live.exists()
    restored = place.manager().restore(ID).snapshot
    assert restored is not None
    assert restored.seq == 3


def test_a_newer_hot_one_may_come_back_for_a_good_one_that_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no step back: it would be the next one anyway, if the good one is damaged."""
    manager = place.linked()
    write_key(place.live, "hot and newest")
    capture = manager.capture(ID, reason="hot", generation=1, hot=True, frozen=False)
    hot = manager.commit(capture)
    assert hot.verdict == "fuzzy"
    shutil.rmtree(place.live)
    really = SessionManager._replace

    def replace(self: SessionManager, manifest: Manifest, *args: Any) -> Any:
        if manifest.seq == 1:
            raise UnreadableBlob("it can't be read now")
        return really(self, manifest, *args)

    monkeypatch.setattr(SessionManager, "_replace", replace)
    restored = place.manager().restore(ID).snapshot
    assert restored is not None
    assert restored.seq == 2
