"""Check and restore: a whole session is kept, a damaged one comes back, nothing is lost."""

import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from tests.unit.session.sessionkit import ID, Place, aside, fill, tree, write_key


def _drop(name: str) -> Callable[[Path], None]:
    return lambda live: (live / name).unlink()


def _empty(name: str) -> Callable[[Path], None]:
    return lambda live: os.truncate(live / name, 0)


def _tear(name: str) -> Callable[[Path], None]:
    return lambda live: os.truncate(live / name, (live / name).stat().st_size // 2)


def _overwrite_database(live: Path) -> None:
    whole = (live / "store.db").read_bytes()
    (live / "store.db").write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))


def _empty_folder(live: Path) -> None:
    shutil.rmtree(live)
    live.mkdir()


DAMAGES = {
    "no creds": _drop("creds.json"),
    "no database": _drop("store.db"),
    "creds emptied": _empty("creds.json"),
    "database emptied": _empty("store.db"),
    "key emptied": _empty("keys/one"),
    "creds torn": _tear("creds.json"),
    "database torn": _tear("store.db"),
    "database overwritten": _overwrite_database,
    "creds are no JSON": lambda live: (live / "creds.json").write_text("null}"),
    "all gone": shutil.rmtree,
    "emptied folder": _empty_folder,
}


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


def test_a_live_session_that_passes_is_kept(place: Place) -> None:
    """Newer than every snapshot, without a file that the bot has used up: it is the session."""
    manager = place.linked()
    write_key(place.live, "newer than the snapshot")
    (place.live / "keys" / "two").unlink()
    wanted = tree(place.live)
    assert manager.restore(ID).action == "kept"
    assert tree(place.live) == wanted
    assert manager.info(ID)["rollback_count"] == 0


def _sealed(manager: SessionManager) -> None:
    manager.set_seat(ID, manager.next_generation(ID))
    manager.set_seat(ID, None)
    manager.commit(manager.capture(ID, reason="seal", generation=1, hot=False))


def test_a_file_missing_from_a_sealed_session_is_damage(place: Place) -> None:
    """Nobody may have written since the seal, so nobody may have removed it."""
    manager = place.linked()
    _sealed(manager)
    assert manager.check(ID, full=False).verdict == "passed"
    (place.live / "keys" / "two").unlink()
    assert place.manager().check(ID, full=False).why == "keys/two is missing"
    manager.restore(ID)
    assert (place.live / "keys" / "two").read_bytes() == b"second key"


@pytest.mark.parametrize("seat", [1, None])
def test_what_a_bot_empties_is_no_damage(place: Place, seat: int | None) -> None:
    """An outbox that was sent: the session is whole, and so is every snapshot from then on."""
    place.live.mkdir(parents=True)
    (place.live / "auth.bin").write_bytes(b"key 1")
    (place.live / "outbox.txt").write_text("to be sent")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.set_seat(ID, 1)
    assert manager.backup(ID, "linked").verdict == "good"
    (place.live / "auth.bin").write_bytes(b"the second key")
    os.truncate(place.live / "outbox.txt", 0)
    manager.set_seat(ID, seat)
    for depth in ({"quick": True}, {"full": False}, {"full": True}):
        assert manager.check(ID, **depth).verdict == "passed"
    assert manager.restore(ID).action == "kept"
    sealed = manager.commit(manager.capture(ID, reason="sealed", generation=1, hot=False))
    assert sealed.verdict == "good"
    assert (place.live / "auth.bin").read_bytes() == b"the second key"


def test_a_running_bot_may_empty_a_file_and_nothing_else(place: Place) -> None:
    """It has the seat: it did it, and the file comes back only if somebody else emptied it."""
    manager = place.linked()
    manager.set_seat(ID, 1)
    _empty("keys/one")(place.live)
    assert manager.check(ID).verdict == "passed"
    manager.set_seat(ID, None)
    assert manager.check(ID).why == "keys/one is empty"


@pytest.mark.parametrize("text", ["", "{}\n{}\n", "// a remark\n{}"])
def test_a_name_alone_promises_no_json(place: Place, text: str) -> None:
    """What never was JSON is no damage, whatever it is called; what was, and is not, is."""
    place.live.mkdir(parents=True)
    (place.live / "odd.json").write_text(text)
    (place.live / "creds.json").write_text("{}")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID, "linked").verdict == "good"
    assert manager.check(ID).verdict == "passed"
    wanted = tree(place.live)
    _tear("creds.json")(place.live)
    assert "creds.json" in manager.check(ID).why
    assert manager.restore(ID).action == "restored"
    assert tree(place.live) == wanted
    (place.live / "creds.json").write_text("{")
    assert manager.backup(ID).verdict == "bad"


def test_a_session_that_ran_by_hand_since_its_seal_is_kept(place: Place) -> None:
    """A changed file says that somebody wrote: then a missing one is the bot's own doing."""
    manager = place.linked()
    _sealed(manager)
    (place.live / "keys" / "two").unlink()
    write_key(place.live, "run by hand")
    assert manager.check(ID).verdict == "passed"
    assert manager.restore(ID).action == "kept"


def test_a_seal_ends_when_the_seat_passes_on(place: Place) -> None:
    """Also when it is committed only after that."""
    manager = place.linked()
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    manager.set_seat(ID, manager.next_generation(ID))
    manager.commit(capture)
    (place.live / "keys" / "two").unlink()
    manager.set_seat(ID, None)
    assert manager.check(ID).verdict == "passed"


def test_a_sealed_session_passes_without_opening_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cheap check is one walk; the full one opens copies."""
    manager = place.linked()
    _sealed(manager)
    opened: list[str] = []

    def deep(*_args: object) -> list[str]:
        opened.append("full")
        return []

    monkeypatch.setattr("supervisor.session.checks.deep_problems", deep)
    assert manager.check(ID, full=False).verdict == "passed"
    assert opened == []
    assert manager.check(ID).verdict == "passed"
    assert opened == ["full"]


def test_a_look_opens_only_what_is_not_known_yet(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick check is part of the gap: of ten thousand media files it opens the new ones."""
    fill(place.live)
    for name in ("old", "new"):
        (place.live / name).write_bytes(bytes(500))
    manager = place.manager()
    manager.backup(ID)
    opened: list[str] = []

    def head(path: Path) -> bytes:
        opened.append(path.name)
        return path.read_bytes()[:100]

    monkeypatch.setattr("supervisor.session.checks._head", head)
    (place.live / "new").write_bytes(bytes(501))
    assert manager.check(ID, quick=True).verdict == "passed"
    assert sorted(opened) == ["new", "store.db"]


def test_the_check_changes_nothing(place: Place) -> None:
    """Not a byte, not a time, and no journal is eaten."""
    manager = place.linked()
    with closing(sqlite3.connect(place.live / "store.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("INSERT INTO keys(key) VALUES ('in the wal')")
        before = {path: path.lstat()[:9] for path in place.live.rglob("*") if path.is_file()}
        content = tree(place.live)
        assert manager.check(ID).verdict == "passed"
        after = {path: path.lstat()[:9] for path in place.live.rglob("*") if path.is_file()}
        assert {p: s[:7] for p, s in before.items()} == {p: s[:7] for p, s in after.items()}
        assert tree(place.live) == content


@pytest.mark.parametrize("suffix", ["-wal", "-journal", "-shm"])
def test_no_journal_of_the_old_database_survives(place: Place, suffix: str) -> None:
    """It would be replayed into the restored one."""
    manager = place.linked()
    os.truncate(place.live / "store.db", 5000)
    (place.live / f"store.db{suffix}").write_bytes(b"of another time")
    manager.restore(ID)
    assert f"store.db{suffix}" not in tree(place.live)


def test_another_device_is_foreign_not_damaged(place: Place) -> None:
    """A re-link by hand is used as it is, and said."""
    manager = place.linked()
    shutil.rmtree(place.live)
    fill(place.live, device=2)
    check = manager.check(ID)
    assert (check.verdict, check.foreign, check.identity) == ("passed", True, "2:bb")
    assert manager.restore(ID).action == "kept"
    assert manager.note_linked(ID, "2:bb") == 2
    assert manager.check(ID).foreign is False


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


# --- never across an epoch -------------------------------------------------------------------


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


# --- quarantine ------------------------------------------------------------------------------


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
    assert manager.info(ID)["quarantine"] == []


def test_quarantine_is_never_the_only_copy(place: Place) -> None:
    """With no good snapshot the newest stays, however old it is."""
    manager = place.linked()
    _tear("store.db")(place.live)
    manager.restore(ID)
    for path in place.store.glob("session-*.json"):
        path.unlink()
    place.clock.now += 31 * 86_400
    manager.cleanup_old_backups(ID)
    assert len(manager.info(ID)["quarantine"]) == 1


def test_an_ended_epoch_goes_after_thirty_days(place: Place) -> None:
    """Its snapshots and its quarantine; its end stays known."""
    manager = place.linked()
    manager.clear(ID)
    manager.cleanup_old_backups(ID)
    assert len(place.manifests()) == 2
    place.clock.now += 31 * 86_400
    manager.cleanup_old_backups(ID)
    assert [".closed-cleared." in name for name in place.manifests()] == [True]
    assert place.packs() == []
    assert manager.info(ID)["quarantine"] == []


# --- where two renames will not do -----------------------------------------------------------


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
    if real:
        mount = ["mount", "-t", "tmpfs", "tmpfs", str(place.live)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("this machine does not let us mount a tmpfs")
    else:
        _busy(place.live, monkeypatch)
    try:
        manager = place.linked()
        wanted = tree(place.live)
        _tear("store.db")(place.live)
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
    finally:
        if real:
            subprocess.run(["umount", str(place.live)], check=True)


def test_a_restore_cut_short_on_a_mount_point_is_whole_afterwards(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends while what is placed is removed at its old place: no part is taken for the whole."""
    monkeypatch.setattr("supervisor.session.delta.surely_much", lambda *_args: True)
    manager = place.linked()
    wanted = tree(place.live)
    _tear("store.db")(place.live)
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
    _tear("store.db")(real)
    manager.restore(ID)
    assert place.live.is_symlink()
    assert tree(real) == wanted


@pytest.mark.parametrize("bad", ["", "a/b", "..", "a..b", " a", "a\n", "x" * 200])
def test_an_id_is_a_plain_name(place: Place, bad: str) -> None:
    """Everything else is refused with a reason."""
    manager = place.manager()
    for act in (manager.check, manager.restore, manager.backup, manager.clear, manager.info):
        with pytest.raises(SupervisorError, match="the session id"):
            act(bad)


def test_a_flaw_that_a_proved_device_lived_with_does_not_cost_the_link(place: Place) -> None:
    """A database whose check always complained is no damage; a new flaw still is."""
    manager = place.manager()
    live = place.live
    fill(live)
    with closing(sqlite3.connect(live / "odd.db")) as odd:
        odd.executescript(
            "CREATE TABLE t (a); INSERT INTO t VALUES (NULL); PRAGMA writable_schema=1"
        )
        odd.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE t (a NOT NULL)'")
        odd.commit()
    manager.note_linked(ID, "device:1")
    manager.set_seat(ID, 1)
    snapshot = manager.commit(
        manager.capture(ID, reason="linked", generation=1, hot=True), "roundtrip"
    )
    assert snapshot.verdict == "bad"
    assert manager.check(ID).verdict == "damaged"
    restored = manager.restore(ID)
    assert (restored.action, "odd.db" in restored.flaw) == ("kept", True)
    os.truncate(live / "store.db", 0)
    with pytest.raises(NothingToRestore):
        manager.restore(ID)
