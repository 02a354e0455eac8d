"""The check: a whole session is kept as it is, and what is damage and what is not."""

import json
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from supervisor.session.proof import checks
from tests.unit.session.damagekit import empty, tear
from tests.unit.session.sessionkit import ID, Place, fill, tree, write_key


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
    depths: tuple[dict[str, Any], ...] = ({"quick": True}, {"full": False}, {"full": True})
    for depth in depths:
        assert manager.check(ID, **depth).verdict == "passed"
    assert manager.restore(ID).action == "kept"
    sealed = manager.commit(manager.capture(ID, reason="sealed", generation=1, hot=False))
    assert sealed.verdict == "good"
    assert (place.live / "auth.bin").read_bytes() == b"the second key"


def test_a_running_bot_may_empty_a_file_and_nothing_else(place: Place) -> None:
    """It has the seat: it did it, and the file comes back only if somebody else emptied it."""
    manager = place.linked()
    manager.set_seat(ID, 1)
    empty("keys/one")(place.live)
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
    tear("creds.json")(place.live)
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

    monkeypatch.setattr("supervisor.session.proof.checks.deep_problems", deep)
    assert manager.check(ID, full=False).verdict == "passed"
    assert opened == []
    assert manager.check(ID).verdict == "passed"
    assert opened == ["full"]


def test_a_look_opens_only_what_is_not_known_yet(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick check is part of the gap: of ten thousand media files it opens the new ones."""
    monkeypatch.setattr("supervisor.session.copying.capture.YOUNG_FINE_NS", 2 * 10**9)
    fill(place.live)
    for name in ("old", "new"):
        (place.live / name).write_bytes(bytes(500))
    manager = place.manager()
    manager.backup(ID)
    opened: list[str] = []

    def head(path: Path) -> bytes:
        opened.append(path.name)
        return path.read_bytes()[:100]

    monkeypatch.setattr("supervisor.session.proof.checks._head", head)
    (place.live / "new").write_bytes(bytes(501))
    assert manager.check(ID, quick=True).verdict == "passed"
    assert sorted(opened) == ["new", "store.db"]


def test_stat_proves_nothing_in_another_boot(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may leave the times of bytes that never reached the disk."""
    manager = place.linked()
    manager.commit(manager.capture(ID, reason="sealed", generation=1, hot=False))
    opened: list[str] = []
    deep = checks.deep_problems

    def counting(root: Path, formats: Mapping[str, str], work: Path | None) -> list[Any]:
        opened.extend(formats)
        return deep(root, formats, work)

    monkeypatch.setattr(checks, "deep_problems", counting)
    assert manager.check(ID, full=False).verdict == "passed"
    assert not opened
    monkeypatch.setattr("supervisor.session.checked.boot_id", lambda: "another")
    assert manager.check(ID, full=False).verdict == "passed"
    assert "store.db" in opened


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


@pytest.mark.parametrize("bad", ["", "a/b", "..", "a..b", " a", "a\n", "x" * 200])
def test_an_id_is_a_plain_name(place: Place, bad: str) -> None:
    """Everything else is refused with a reason."""
    manager = place.manager()
    for act in (manager.check, manager.restore, manager.backup, manager.clear, manager.info):
        with pytest.raises(SupervisorError, match="the session id"):
            act(bad)


@pytest.mark.parametrize("keys", [6000, 70_000])
def test_a_large_file_that_is_torn_is_seen_before_the_next_start(place: Place, keys: int) -> None:
    """What a restart looks at is enough for that, however large it is."""
    fill(place.live)
    large = place.live / "auth.json"
    large.write_text(json.dumps({"keys": ["k" * 60] * keys}))
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    manager.set_seat(ID, 1)
    os.utime(large)
    assert manager.check(ID, quick=True).verdict == "passed"
    os.truncate(large, large.stat().st_size * 3 // 4)
    manager.set_seat(ID, None)
    check = manager.check(ID, quick=True)
    assert check.verdict == "damaged"
    assert "auth.json is no JSON" in check.why
