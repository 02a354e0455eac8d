"""What is written down stays: true counters, durable, and back again when the file is lost."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session import files, state
from tests.unit.session.sessionkit import ID, Place, fill, write_key

GARBAGE = [b"", b"\0" * 500, b"{", b"[]", b'{"version": 1}', b"[" * 200_000, b"\xff\xfe"]


def _lived(place: Place) -> dict[str, object]:
    """Give the session a past, and return what must be remembered of it."""
    manager = place.linked()
    for _ in range(3):
        manager.note_qr(ID)
    for generation in (1, 2):
        assert manager.next_generation(ID) == generation
        manager.set_seat(ID, generation)
        manager.note_verified(ID, "1:aa", "roundtrip", 0.25)
    (place.live / "creds.json").unlink()
    manager.restore(ID)
    write_key(place.live, "lived")
    manager.backup(ID)
    return {key: manager.info(ID)[key] for key in REMEMBERED}


REMEMBERED = (
    *("state", "identity", "epoch", "restore_count", "rollback_count", "link_count"),
    *("qr_count", "last_restore_s", "snapshots"),
)


def test_the_counters_are_true(place: Place) -> None:
    """Restores are starts verified with the same identity; rollbacks come from a snapshot."""
    assert _lived(place) | {"snapshots": None} == {
        "state": "linked",
        "identity": "1:aa",
        "epoch": 1,
        "restore_count": 2,
        "rollback_count": 1,
        "link_count": 1,
        "qr_count": 3,
        "last_restore_s": 0.25,
        "snapshots": None,
    }


def test_a_folder_in_the_state_files_place_is_kept_aside(place: Place) -> None:
    """As any other that can't be read: nothing fails for it, and nothing in it is lost."""
    before = _lived(place)
    place.state.unlink()
    place.state.mkdir()
    (place.state / "notes").write_text("precious")
    manager = place.manager()
    assert {key: manager.info(ID)[key] for key in REMEMBERED} == before
    assert manager.check(ID).verdict == "passed"
    manager.note_qr(ID)
    (aside,) = manager.kept_aside()
    assert (aside / "notes").read_text() == "precious"
    assert place.state.is_file()


@pytest.mark.parametrize("garbage", [None, *GARBAGE])
def test_a_lost_state_file_comes_back_from_the_store(place: Place, garbage: bytes | None) -> None:
    """Missing, emptied or garbage: the same counters, and the unreadable one is kept aside."""
    before = _lived(place)
    generation = place.manager().record(ID).generation
    if garbage is None:
        place.state.unlink()
    else:
        place.state.write_bytes(garbage)
    manager = place.manager()
    assert {key: manager.info(ID)[key] for key in REMEMBERED} == before
    assert manager.next_generation(ID) > generation
    assert {key: place.manager().info(ID)[key] for key in REMEMBERED} == before
    assert json.loads(place.state.read_text())["sessions"][ID]["qr_count"] == 3
    aside = list(place.root.glob("session-state.json.unreadable-*"))
    assert [path.read_bytes() for path in aside] == ([] if garbage is None else [garbage])
    assert all(path.stat().st_mode & 0o7777 == 0o600 for path in aside if garbage)


def test_one_broken_record_does_not_cost_the_others(place: Place) -> None:
    """It alone is rebuilt."""
    before = _lived(place)
    place.manager().save_state("other", note="mine")
    value = json.loads(place.state.read_text())
    value["sessions"][ID]["qr_count"] = "many"
    place.state.write_text(json.dumps(value))
    manager = place.manager()
    manager.note_state(ID, "offline")
    assert {key: manager.info(ID)[key] for key in REMEMBERED} == before
    assert manager.record("other").fields == {"note": "mine"}


def test_a_broken_file_stays_until_a_whole_one_takes_its_place(place: Place) -> None:
    """A change that is refused costs the other sessions nothing of what could still be read."""
    place.linked()
    place.manager().save_state("other", note="mine")
    value = json.loads(place.state.read_text())
    value["sessions"][ID]["qr_count"] = "many"
    place.state.write_text(json.dumps(value))
    with pytest.raises(SupervisorError, match="JSON"):
        place.manager().save_state(ID, note=object())
    assert json.loads(place.state.read_text()) == value
    assert place.manager().record("other").fields == {"note": "mine"}


def test_a_newer_programs_file_is_left_alone(place: Place) -> None:
    """It is no garbage: nothing is rebuilt over it."""
    place.linked()
    text = '{"version": 2, "sessions": {}}'
    place.state.write_text(text)
    with pytest.raises(SupervisorError, match="version 2"):
        place.manager().note_qr(ID)
    assert place.state.read_text() == text


def test_an_old_state_file_beside_a_newer_store(place: Place) -> None:
    """A restored backup of the file does not bring a cleared epoch back, nor a counter down."""
    manager = place.linked()
    old = place.state.read_bytes()
    manager.note_qr(ID)
    manager.clear(ID)
    place.state.write_bytes(old)
    record = place.manager().record(ID)
    assert record.state == "closed"
    assert not place.manager().can_restore(ID)
    fill(place.live, device=2)
    manager = place.manager()
    manager.note_linked(ID, "2:bb")
    manager.backup(ID)
    place.state.write_bytes(old)
    record = place.manager().record(ID)
    assert (record.epoch, record.state, record.identity) == (2, "linked", "2:bb")
    assert (record.link_count, record.qr_count) == (2, 1)


def test_an_end_that_cannot_be_read_is_an_end(place: Place) -> None:
    """With the state file lost and the tombstone torn: rather a QR code than a cleared device."""
    manager = place.linked()
    manager.clear(ID)
    place.state.unlink()
    tombstone = place.store / place.manifests()[-1]
    assert ".closed-cleared." in tombstone.name
    tombstone.write_bytes(tombstone.read_bytes()[:100])
    assert place.manager().record(ID).state == "closed"


def test_the_file_is_private_and_its_keys_are_fixed(place: Place) -> None:
    """Other programs read it."""
    _lived(place)
    assert place.state.stat().st_mode & 0o7777 == 0o600
    value = json.loads(place.state.read_text())
    assert value["version"] == 1
    assert set(value["sessions"][ID]) >= {*REMEMBERED} - {"snapshots"}


def test_many_writers_lose_nothing(place: Place) -> None:
    """Threads with managers of their own, as processes would have: no update is lost."""
    place.manager(owned=True).note_qr(ID)

    def work(name: str) -> None:
        manager = place.manager(owned=True)
        for _ in range(10):
            manager.note_qr(ID)
            manager.note_qr(name)

    threads = [threading.Thread(target=work, args=(f"bot{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    manager = place.manager()
    assert manager.record(ID).qr_count == 41
    assert [manager.record(f"bot{n}").qr_count for n in range(4)] == [10] * 4


def test_a_link_without_change_opens_no_epoch(place: Place) -> None:
    """The bot says again what it said before."""
    manager = place.linked()
    assert manager.note_linked(ID, "1:aa") == 1
    assert manager.note_linked(ID, None) == 1
    assert manager.info(ID)["link_count"] == 1
    assert manager.note_linked(ID, "2:bb") == 2
    assert manager.info(ID)["link_count"] == 2


def test_another_identity_is_no_restore(place: Place) -> None:
    """A re-link by hand opens a new epoch, and is not counted as a return."""
    manager = place.linked()
    manager.note_verified(ID, "2:bb", "identity", 1.0)
    info = manager.info(ID)
    assert (info["epoch"], info["identity"], info["restore_count"]) == (2, "2:bb", 0)


def test_a_proof_goes_to_that_generations_snapshots(place: Place) -> None:
    """Never to others, never down."""
    manager = place.linked()
    write_key(place.live, "two")
    manager.commit(manager.capture(ID, reason="stop", generation=2, hot=False))
    manager.mark_proof(ID, 2, "roundtrip")
    manager.mark_proof(ID, 2, "ready")
    assert [s.proof for s in place.manager().snapshots(ID)] == ["", "roundtrip"]


def test_info_has_the_fixed_keys(place: Place) -> None:
    """Also of a session that never was."""
    keys = {
        *("id", "path", "exists", "restorable", "why_not", "state", "identity", "epoch"),
        *("size_bytes", "files", "restore_count", "rollback_count", "link_count", "qr_count"),
        *("last_restore_s", "snapshots", "quarantine"),
    }
    assert set(place.manager().info("nobody")) == keys
    assert not place.manager().info("nobody")["restorable"]
    info = place.linked().info(ID)
    assert set(info) == keys
    assert info["restorable"]
    assert info["why_not"] is None
    assert json.loads(json.dumps(info)) == info
    assert set(info["snapshots"][0]) == {
        *("id", "seq", "epoch", "taken_at", "reason", "verdict", "proof", "size_bytes"),
        *("new_bytes", "duration_s", "why"),
    }
    assert place.manager().ids() == [ID]


def test_fields_of_ones_own(place: Place) -> None:
    """They are kept, merged, removed by None, and must be JSON."""
    manager = place.manager()
    manager.save_state(ID, phone="+971", tags=["a"])
    manager.save_state(ID, tags=None, count=2)
    assert place.manager().record(ID).fields == {"phone": "+971", "count": 2}
    with pytest.raises(SupervisorError, match="JSON"):
        manager.save_state(ID, bad=object())
    assert place.manager().record(ID).fields == {"phone": "+971", "count": 2}


def test_a_state_file_on_another_filesystem(place: Place, tmp_path: Path) -> None:
    """The store may lie elsewhere."""
    elsewhere = Path("/dev/shm")  # noqa: S108 - a real other filesystem
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second filesystem to write to")
    folder = elsewhere / f"stillhere-test-{os.getpid()}"
    folder.mkdir()
    try:
        place.store.symlink_to(folder)
        manager = place.linked()
        (place.live / "creds.json").unlink()
        assert manager.restore(ID).quarantined
        assert manager.clear(ID)
        assert not place.live.exists()
        assert place.manager().record(ID).state == "closed"
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.rmdir()


def test_an_old_file_is_read_once_until_another_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who changes what it got changes nothing; what another process wrote is seen at once."""
    monkeypatch.setattr(state, "_YOUNG_FINE_NS", 2 * 10**9)
    manager, other = place.linked(), place.manager()
    read: list[Path] = []
    really = files.read_file

    def counted(path: Path, limit: int) -> bytes:
        read.append(path)
        return really(path, limit)

    monkeypatch.setattr(files, "read_file", counted)
    assert manager.record(ID).qr_count == manager.record(ID).qr_count == 0
    assert read.count(place.state) == 2  # a young one may have been written twice at once
    monkeypatch.setattr(state, "time_ns", lambda: time.time_ns() + 10**10)
    manager.record(ID).tried.append("of no account")
    assert manager.record(ID).tried == []
    assert read.count(place.state) == 3
    assert other.record(ID).tried == []  # two hundred bots have one file, and hold it once
    assert read.count(place.state) == 3
    other.note_qr(ID)
    assert manager.record(ID).qr_count == 1
