"""The check of what is stored: found, said, healed; and the restore drill."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.session import audit
from supervisor.session.audit import carried_out
from supervisor.session.audited import Audited, Examined
from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import ID, Place, fill, tree, write_key


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    path.write_bytes(raw)


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    os.truncate(path, path.stat().st_size // 2)


DAMAGES = [flip, cut, Path.unlink]


def with_snapshots(place: Place, count: int) -> SessionManager:
    """Return a manager of a linked session with that many good snapshots, each with a pack."""
    manager = place.linked()
    for number in range(2, count + 1):
        write_key(place.live, f"key {number}")
        assert manager.backup(ID).verdict == "good"
    return manager


def checked(manager: SessionManager, **how: Any) -> Audited:
    """Return what a check finds."""
    return carried_out(manager.audit(ID, **how))


def by_seq(found: Audited) -> dict[int, Examined]:
    """Return the snapshots by their number."""
    return {one.seq: one for one in found.snapshots}


def test_whole_snapshots_are_restorable_and_nothing_is_written(place: Place) -> None:
    """Each with the command that brings it back; every byte of the packs was read, once."""
    with_snapshots(place, 3)
    before = {path: path.stat().st_mtime_ns for path in place.store.rglob("*.*")}
    found = checked(place.manager())
    assert found.ok
    assert [one.restorable for one in found.snapshots] == [True] * 3
    assert found.snapshots[1].todo == f"stillhere session restore {ID} --snapshot 2"
    packs = (place.store / "packs" / name for name in place.packs())
    assert found.bytes_read == sum(path.stat().st_size for path in packs)
    assert {path: path.stat().st_mtime_ns for path in place.store.rglob("*.*")} == before
    assert (found.check.verdict, found.check.identity) == ("passed", "1:aa")


def test_the_disk_is_read_and_not_the_memory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page cache knows of a pack or a manifest is dropped before the first reading."""
    manager = with_snapshots(place, 2)
    calls: list[tuple[str, str]] = []

    def spy(name: str) -> None:
        really = getattr(os, name)

        def call(fd: int, *args: int) -> Any:
            calls.append((name, Path(f"/proc/self/fd/{fd}").readlink().name))
            return really(fd, *args)

        monkeypatch.setattr(os, name, call)

    spy("posix_fadvise")
    spy("pread")
    checked(manager)
    for pack in place.packs():
        assert calls.index(("posix_fadvise", pack)) < calls.index(("pread", pack))
    for manifest in place.manifests():
        assert ("posix_fadvise", manifest) in calls


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


def test_one_damaged_snapshot_takes_no_other_along(place: Place) -> None:
    """Only who needs the torn pack is bad; the newest stays, and is what comes back."""
    manager = with_snapshots(place, 1)
    (place.live / "keys" / "late").write_bytes(os.urandom(500))
    manager.backup(ID)
    (place.live / "keys" / "late").unlink()
    manager.backup(ID)
    flip(place.store / "packs" / place.packs()[1])
    found = checked(place.manager())
    assert [one.restorable for one in found.snapshots] == [True, False, True]
    assert not found.ok
    told = found.as_json()["snapshots"][1]
    assert told["todo"] == "nothing: snapshot 3 is newer, and whole"
    again = checked(place.manager())
    assert again.ok, "a newer one made up for it"


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
    """The packs' disk was away for a while: no snapshot is lost for that."""
    with_snapshots(place, 3)
    packs = place.store / "packs"
    packs.rename(packs.with_name("away"))
    assert [one.verdict for one in checked(place.manager()).snapshots] == ["bad"] * 3
    packs.rmdir()
    packs.with_name("away").rename(packs)
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
    really = os.pread

    def fails(fd: int, length: int, offset: int) -> bytes:
        if Path(f"/proc/self/fd/{fd}").readlink().name == pack.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(fd, length, offset)

    monkeypatch.setattr(os, "pread", fails)
    found = checked(place.manager())
    assert "Input/output error" in str(by_seq(found)[2].why_not)
    assert found.damaged == []


def test_a_check_that_fails_leaves_no_words_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next work's progress would be told under them."""
    manager = with_snapshots(place, 1)
    monkeypatch.setattr(manager, "_examined", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checked(manager)
    assert manager.doing == ""


def test_a_read_error_condemns_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO is said, with what to do; but the manifest stays as it was."""
    manager = with_snapshots(place, 2)
    really = os.pread

    def fails(fd: int, length: int, offset: int) -> bytes:
        if Path(f"/proc/self/fd/{fd}").readlink().parent == place.store / "packs":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(fd, length, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fails)
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


def test_what_is_no_snapshot_is_listed(place: Place) -> None:
    """A torn manifest, a pack that nobody needs, what is in quarantine: whole or not."""
    manager = with_snapshots(place, 2)
    torn = place.store / place.manifests()[0]
    cut(torn)
    orphan = place.store / "packs" / f"session-{ID}.000077.20261124T220000Z.pack"
    orphan.write_bytes(b"nobody needs me")
    aside = place.store / "quarantine"
    fill(aside / f"session-{ID}.20261124T220000Z.e1.damaged")
    empty = aside / f"session-{ID}.20261124T220001Z.e1.damaged"
    empty.mkdir()
    found = checked(manager)
    assert found.unreadable == [torn.name]
    assert found.damaged == [torn.name]
    assert not found.ok
    assert orphan.name in found.unneeded
    held = {one.name: one.why_not for one in found.quarantine}
    assert held == {
        f"session-{ID}.20261124T220000Z.e1.damaged": None,
        empty.name: "there is no file in it",
    }


def test_a_manifest_that_tears_after_it_was_listed_is_read_as_torn(place: Place) -> None:
    """Its file is read again from the disk, whatever is remembered of it."""
    manager = with_snapshots(place, 2)
    path = place.store / place.manifests()[1]
    raw, times = bytearray(path.read_bytes()), path.stat()
    assert manager.snapshots(ID)
    raw[-40] ^= 1
    with path.open("r+b") as file:
        file.write(raw)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    found = by_seq(checked(manager))
    assert found[1].restorable
    assert not found[2].restorable
    assert "torn or was changed" in str(found[2].why_not)


def test_a_quarantined_manifest_is_read_as_well(place: Place) -> None:
    """What a restore replaced can be taken out as long as its bytes are whole."""
    manager = with_snapshots(place, 2)
    write_key(place.live, "replaced")
    assert manager.restore_from_backup(ID, "2").quarantined
    (one,) = checked(place.manager()).quarantine
    assert one.restorable
    for name in place.packs():
        flip(place.store / "packs" / name)
    (one,) = checked(place.manager()).quarantine
    assert not one.restorable
    assert one.why_not


def test_an_earlier_link_is_not_restorable_and_no_damage(place: Place) -> None:
    """Its snapshots can be exported; only one of this link makes the check pass."""
    manager = with_snapshots(place, 2)
    manager.note_linked(ID, "2:bb")
    found = checked(manager)
    assert not found.ok
    assert not found.damaged
    assert [one.why_not for one in found.snapshots] == ["it is of an earlier link (epoch 1)"] * 2
    assert found.snapshots[0].todo == f"stillhere session export {ID} FOLDER --snapshot 1"
    manager.backup(ID)
    assert checked(manager).ok


def test_a_snapshot_that_is_pruned_meanwhile_is_no_damage(place: Place) -> None:
    """Others work between two slices: what is gone by then is not spoken of."""
    manager = with_snapshots(place, 3)
    steps = manager.audit(ID)
    next(steps)
    other = place.manager()
    other.store.drop(ID, [other.store.find(ID, "2")])
    *_, found = steps
    assert list(by_seq(found)) == [1, 3]
    assert found.ok


def test_slices_end_after_so_many_bytes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large snapshot is read in parts, and nothing is held up by more than one."""
    manager = with_snapshots(place, 1)
    few = sum(1 for _ in manager.audit(ID))
    monkeypatch.setattr(audit, "SLICE_BYTES", 1)
    entries = manager.store.find(ID, "1").files
    blobs = {blob for entry in entries for blob in entry.blobs}
    assert sum(1 for _ in manager.audit(ID)) == few + len(blobs)


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


def test_progress_is_told_in_bytes(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way, how much of it is done, and how much there is."""
    monkeypatch.setattr("supervisor.session.progress._EVERY_S", 0.0)
    manager = with_snapshots(place, 2)
    heard: list[tuple[str, int, int]] = []
    manager.progress = lambda done, total: heard.append((manager.doing, done, total))
    found = checked(manager)
    assert {doing for doing, _, _ in heard} == {
        "reading snapshot 1 of 2",
        "reading snapshot 2 of 2",
    }
    assert heard[-1][1:] == (found.bytes_read, found.bytes_read)
    assert manager.doing == ""
    heard.clear()
    checked(manager, tell=False)
    assert heard == []
    write_key(place.live, "x" * 1000)
    manager.backup(ID)
    assert (1000, 1000) in {(done, total) for _, done, total in heard}


# --- the drill -------------------------------------------------------------------------------


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
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
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
    finally:
        subprocess.run(["umount", str(small)], check=True)


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
