"""What is live and may not be read, or can't for want of a descriptor, is neither good nor bad."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import SnapshotFailed, Unjudged
from supervisor.session.proof import validate
from tests.unit.session.diskkit import unopened
from tests.unit.session.leveldbkit import Set
from tests.unit.session.oddkit import without_rights
from tests.unit.session.sessionkit import ID, Place, tree, write_key

LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def _moved_on(place: Place) -> SessionManager:
    """Return a manager of a healthy session that is newer than its newest snapshot."""
    manager = place.linked()
    seal = manager.capture(ID, reason="sealed", generation=1, hot=False)
    assert manager.commit(seal).verdict == "good"
    write_key(place.live, "moved on")
    os.utime(place.live / "creds.json", (1e9, 1e9))
    return place.manager()


@pytest.mark.parametrize("name", ["creds.json", "store.db", "keys"])
def test_what_may_not_be_read_is_not_rolled_back(reachable: Place, name: str) -> None:
    """The check says what it is, and nothing older comes back; with the right, all is as it was."""
    place = reachable
    _moved_on(place)
    was = tree(place.live)
    barred = place.live / name
    mode = barred.stat().st_mode
    with without_rights(place):
        barred.chmod(0)
        manager = place.manager()
        with pytest.raises(
            Unjudged, match=f"^session {ID}: .* Permission denied: whether it is whole"
        ):
            manager.check(ID, quick=True)
        with pytest.raises(SupervisorError, match="can't be told now") as refused:
            manager.restore(ID)
        assert "chmod" in refused.value.hint
        assert "can't be told now" in manager.info(ID)["why_not"]
        barred.chmod(mode)
    assert manager.restore(ID).action == "kept"
    assert tree(place.live) == was


def test_what_the_validator_may_not_read_is_not_damaged(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone opens the tables of a LevelDB."""
    manager = place.linked()
    folder = Set().write(place.live / "cache")

    def run(*_args: Any, **_how: Any) -> Any:
        answers = [[str(folder), "can't be read: Permission denied", errno.EACCES]]
        return subprocess.CompletedProcess([], 0, json.dumps(answers))

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(Unjudged, match=r"cache/CURRENT: can't be read: Permission denied"):
        manager.check(ID)


def test_the_validator_says_why_it_cannot_read(tmp_path: Path) -> None:
    """By its errno: 0 for what is merely wrong."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "torn").write_text("{")
    jobs = [["json", str(tmp_path / name)] for name in ("loop", "torn")]
    program = [sys.executable, "-I", "-S", validate.__file__]
    done = subprocess.run(program, input=json.dumps(jobs).encode(), capture_output=True, check=True)
    assert [failed for _path, _why, failed in json.loads(done.stdout)] == [errno.ELOOP, 0]


def test_a_file_that_was_never_to_be_read_is_no_reason(reachable: Place) -> None:
    """Nobody knows what it is for, and the bot runs with it: so it may go on."""
    place = reachable
    place.linked()
    (place.live / "of-root.json").write_text("[1, 2, 3]" * 20)
    with without_rights(place):
        (place.live / "of-root.json").chmod(0)
        assert place.manager().check(ID, quick=True).verdict == "passed"


def test_a_sealed_session_is_not_missing_what_may_not_be_read(reachable: Place) -> None:
    """Nor is one absent of which nothing may be read."""
    place = reachable
    (place.live / "keys").mkdir(parents=True)
    (place.live / "keys" / "one").write_text("first")
    manager = place.manager()
    manager.note_linked(ID, None)
    manager.commit(manager.capture(ID, reason="sealed", generation=1, hot=False))
    for barred in (place.live / "keys", place.live):
        with without_rights(place):
            barred.chmod(0)
            with pytest.raises(Unjudged, match="Permission denied"):
                place.manager().restore(ID)
            barred.chmod(0o700)
    assert place.manager().check(ID).verdict == "passed"


@pytest.mark.parametrize("error", LACKS)
@pytest.mark.parametrize("name", ["creds.json", "store.db"])
def test_our_own_lack_rolls_nothing_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, error: int
) -> None:
    """It passes, and says nothing of the file: once, or each time."""
    manager = _moved_on(place)
    os.utime(place.live / "store.db", (1e9, 1e9))
    with monkeypatch.context() as patch:
        unopened(patch, {str(place.live / name)}.__contains__, error)
        for look in (manager.check, manager.restore):
            with pytest.raises(Unjudged, match=os.strerror(error)):
                look(ID)
    assert manager.restore(ID).action == "kept"
    assert (place.live / "keys" / "one").read_text() == "moved on"


@pytest.mark.parametrize("error", LACKS)
def test_a_folder_is_not_left_out_for_our_own_lack(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """No check calls missing what is in it, and no snapshot is taken without it."""
    manager = _moved_on(place)
    really = os.scandir

    def fails(folder: str | int) -> object:
        path = Path(f"/proc/self/fd/{folder}").readlink() if isinstance(folder, int) else folder
        if str(path).endswith("/keys"):
            raise OSError(error, os.strerror(error), path)
        return really(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", fails)
        with pytest.raises(Unjudged, match=os.strerror(error)):
            manager.check(ID)
        with pytest.raises(SnapshotFailed, match=os.strerror(error)):
            manager.backup(ID)
    assert manager.backup(ID).verdict == "good"


def test_a_disk_that_fails_twice_is_damage(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no want of a right, and it does not pass."""
    _moved_on(place)
    with monkeypatch.context() as patch:
        live = {str(Path(place.live / "creds.json"))}
        unopened(patch, live.__contains__, errno.EIO)
        check = place.manager().check(ID)
    assert check.verdict == "damaged"
    assert "creds.json can't be read: Input/output error" in check.why
