"""Sessions and snapshots that are gone, torn, old or not taken: told, and mended as told."""

import base64
import json
import os
import time
from pathlib import Path

import pytest

from supervisor.control.journal import Journal
from supervisor.doctor import session
from supervisor.session.proof.kinds.baileys import KEYS
from tests.unit.doctor.kit import ID, Project
from tests.unit.doctor.test_doctor_service import supervised


def _journal(project: Project) -> Journal:
    return Journal(project.store / ".events.jsonl")


def test_a_session_that_was_emptied(project: Project) -> None:
    """A crash left nothing in its file: the snapshot comes back by the command that is told."""
    (project.live / "creds.json").write_bytes(b"")
    found = project.problem("session")
    assert found.seen.startswith("it is damaged: creds.json")
    project.follow(found)
    project.well()
    assert json.loads((project.live / "creds.json").read_text()) == {"me": "d1"}


def test_a_session_that_is_gone(project: Project) -> None:
    """Somebody deleted it."""
    (project.live / "creds.json").unlink()
    found = project.problem("session")
    assert found.seen.startswith("it is gone")
    project.follow(found)
    project.well()


def test_a_session_that_nothing_brings_back(project: Project) -> None:
    """Without a snapshot all that is left is a new link, and that is said."""
    for path in (*project.store.glob("session-*.json"), *project.store.glob("packs/*")):
        path.unlink()
    (project.live / "creds.json").unlink()
    found = {each.check: each for each in project.asked().of("problem")}
    assert set(found) == {"session"}
    assert "link it again" in found["session"].fix
    project.type(f"{found['session'].commands[0]} --yes")  # there is nobody to ask
    report = project.asked()
    assert not [each for each in report.of("problem") if each.check == "session"]


def test_nothing_is_linked_yet(bare: Project) -> None:
    """A session without a link is no fault; what is there will be copied."""
    assert bare.note("backups").seen == "there is no snapshot of it"
    (bare.live / "creds.json").unlink()
    report = bare.well()
    assert "nothing is linked yet" in [each.seen for each in report.of("ok")]


def test_a_torn_record(project: Project) -> None:
    """The state file is kept aside, and written anew, by the command that is told."""
    state = project.root / "session-state.json"
    state.write_text(state.read_text()[:40])
    found = project.problem("state")
    project.type(f"{found.commands[0]} --yes")  # there is nobody to ask
    project.well()
    assert project.manager().record(ID).identity == "d1"


def test_no_snapshot_of_a_linked_session(bare: Project) -> None:
    """It is linked, and the store is empty."""
    bare.manager().note_linked(ID, "d1")
    found = bare.problem("backups")
    bare.follow(found)
    bare.well()


def test_a_store_that_is_away(project: Project) -> None:
    """Somebody moved the packs: put back, they are there."""
    aside = project.home / "aside"
    (project.store / "packs").rename(aside)
    found = project.problem("backups")
    assert "packs is not there" in found.seen
    aside.rename(project.store / "packs")
    project.well()


def test_only_bad_snapshots(project: Project) -> None:
    """What the only one holds is no session: one of what is live is taken, by --fix too."""
    manager = project.manager()
    (newest,) = manager.store.listing(ID).snapshots
    manager.store.amend(newest, verdict="bad", why="creds.json is empty")
    found = project.problem("backups")
    assert found.seen == "all its snapshots are bad"
    assert found.cause == "creds.json is empty"
    done = project.doctor("--fix", "--yes")
    assert "done: stillhere session backup" in done.stderr
    assert done.returncode == 0, done.stdout
    project.well()


def _ago(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_an_old_snapshot(bare: Project) -> None:
    """A day old, and the session has changed since: a bot that was run by hand, say."""
    manager = bare.manager()
    manager._clock = lambda: time.time() - 86_400
    manager.note_linked(ID, "d1")
    _ago(bare.live / "creds.json", 90_000)
    _ago(bare.live, 90_000)
    manager.backup(ID)
    bare.well()  # as old, and nothing has changed
    (bare.live / "creds.json").write_text('{"me": "d1", "n": 1}')
    found = bare.problem("backups")
    assert found.seen.startswith("the newest snapshot is 24.0 hours old")
    bare.follow(found)
    bare.well()


def test_snapshots_that_fail(project: Project) -> None:
    """The journal's last word is a failure, and the session has changed since."""
    journal = _journal(project)
    journal.append("echo", "snapshot_failed", why="No space left on device", hint="make room")
    project.well()  # nothing is missing yet
    (project.live / "creds.json").write_text('{"me": "d1", "n": 1}')
    then = time.time() + 60
    os.utime(project.live / "creds.json", (then, then))
    found = project.problem("snapshot-failing")
    assert found.fix == "make room"
    project.follow(found)
    project.well()


def test_a_copy_that_can_t_be_read(project: Project) -> None:
    """A byte of the newest pack has changed: found, and stored again as told."""
    (pack,) = (project.store / "packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(data)
    found = project.problem("newest-copy")
    project.follow(found)
    project.well()


def test_another_device_s_session(project: Project) -> None:
    """It is whole, but not the one that was linked: both ways on are told."""

    def baileys(device: str) -> str:
        key = {
            "public": {"type": "Buffer", "data": base64.b64encode(device.encode() * 32).decode()}
        }
        given = {"me": {"id": device}, "signedIdentityKey": key}
        return json.dumps({**dict.fromkeys(KEYS, "x"), **given})

    creds = project.live / "creds.json"
    creds.write_text(baileys("a"))
    project.manager().backup(ID)
    project.well()
    creds.write_text(baileys("b"))
    found = project.problem("session")
    assert "another device's than before" in found.seen
    project.follow(found)
    creds.write_text(baileys("a"))
    project.well()


def test_a_large_snapshot_is_read_by_another_command(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes longer than a person waits here: it is said what would read it."""
    monkeypatch.setattr(session, "_READ_MAX_BYTES", 1)
    (found,) = project.asked().of("unknown")
    assert found.check == "newest-copy"
    assert f"stillhere session check {ID}" in found.seen


def test_a_snapshot_by_the_supervisor(project: Project) -> None:
    """Where one runs, --fix asks it: the session is its own."""
    _journal(project).append("echo", "snapshot_failed", why="the disk is full")
    then = time.time() + 60
    (project.live / "creds.json").write_text('{"me": "d1", "n": 1}')
    os.utime(project.live / "creds.json", (then, then))
    with supervised(project) as running:
        found = project.problem("snapshot-failing")
        assert found.mend is not None
        running.fake.results["session"] = {}
        found.mend.act()
        assert ("session", {"op": "backup", "id": ID}) in running.fake.asked
