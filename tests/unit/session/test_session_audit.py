"""The check of what is stored: every byte is read, and what is found is said."""

import os
from pathlib import Path
from typing import Any

import pytest

from supervisor.session import audit
from tests.unit.session.auditkit import by_seq, checked
from tests.unit.session.damagekit import cut, flip
from tests.unit.session.sessionkit import ID, Place, fill, with_snapshots, write_key


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


def test_a_check_that_fails_leaves_no_words_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next work's progress would be told under them."""
    manager = with_snapshots(place, 1)
    monkeypatch.setattr(manager, "_examined", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checked(manager)
    assert manager.doing == ""


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


@pytest.mark.parametrize("writes", ["always", "once"])
def test_a_bot_that_writes_at_each_look_is_not_called_damaged(
    place: Place, monkeypatch: pytest.MonkeyPatch, writes: str
) -> None:
    """What is left half written stays as it is; what is being written moves."""
    manager = with_snapshots(place, 1)
    again, creds = writes == "always", place.live / "creds.json"
    os.truncate(creds, 5)
    really, looks = manager.check, list[int]()

    def check(session_id: str, **how: Any) -> Any:
        looks.append(1)
        if again or len(looks) == 1:
            os.utime(creds, (len(looks), len(looks)))
        return really(session_id, **how)

    monkeypatch.setattr(manager, "check", check)
    with (place.live / "store.db").open("rb"):
        found = checked(manager)
    assert found.hot
    assert len(looks) > 1
    assert (found.check.verdict, found.ok) == (("passed", True) if again else ("damaged", False))
    assert "creds.json is no JSON" in found.check.why


def test_what_was_caught_half_written_is_looked_at_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of the check it is whole."""
    manager = with_snapshots(place, 1)
    creds = place.live / "creds.json"
    whole = creds.read_bytes()
    os.truncate(creds, 0)
    monkeypatch.setattr(manager, "_foretell", lambda _found: None)
    reading = manager.audit(ID)
    with (place.live / "store.db").open("rb"):
        assert next(reading).check.verdict == "damaged"
        creds.write_bytes(whole)
        found = list(reading)[-1]
    assert (found.check.verdict, found.check.why, found.ok) == ("passed", "", True)
