"""`stillhere session ...` on real sessions, with and without a supervisor."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from supervisor.cli.main import execute
from supervisor.control import paths
from supervisor.session.lock import OwnerLock
from supervisor.session.manager import SessionManager
from supervisor.session.model import Restored
from tests.session_keys import INFO, SNAPSHOT
from tests.unit.cli.projectkit import CONFIG, ID, Out, live
from tests.unit.control.fake_runner import running

pytestmark = pytest.mark.usefixtures("folder")


def test_info_has_the_promised_keys(capsys: Out) -> None:
    """With ID, its bot's name, the folder's name, or nothing: the same session."""
    for name in ([], [ID], ["echo"], [f"session-{ID}"]):
        assert execute(["session", "info", *name, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["id"] == ID
    assert set(found) >= INFO
    assert set(found["snapshots"][0]) == SNAPSHOT
    assert execute(["session", "info"]) == 0
    assert "device       d1" in capsys.readouterr().out


def test_list_and_snapshots(folder: Path, capsys: Out) -> None:
    """The list has no snapshots in it; the snapshots are their own list."""
    assert execute(["session", "list", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["id"] == ID
    assert "snapshots" not in one
    assert execute(["session", "snapshots", "--json"]) == 0
    (snapshot,) = json.loads(capsys.readouterr().out)
    assert snapshot["reason"] == "manual"
    assert execute(["session", "list"]) == 0
    assert execute(["session", "snapshots"]) == 0
    assert "manual" in capsys.readouterr().out
    (folder / "sessions" / "session-2").mkdir()
    assert execute(["session", "list", "--json"]) == 0
    assert [s["id"] for s in json.loads(capsys.readouterr().out)] == [ID, "2"]


def test_a_flaw_that_is_lived_with_is_not_called_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """It did not pass, and that is said."""
    kept = Restored(action="kept", flaw="odd.db: row 3 is odd")
    monkeypatch.setattr(SessionManager, "restore", lambda *_: kept)
    assert execute(["session", "restore"]) == 0
    out = capsys.readouterr().out
    assert f"session {ID} does not pass its check: odd.db: row 3 is odd" in out
    assert "passed" not in out


@pytest.mark.parametrize("command", ["info", "check", "restore", "list"])
def test_a_file_in_the_sessions_place_is_said(folder: Path, capsys: Out, command: str) -> None:
    """With what to do; and then that works."""
    shutil.rmtree(live(folder))
    live(folder).write_text("precious")
    assert execute(["session", command]) == 1
    err = capsys.readouterr().err
    assert "is a file, and a session is a folder" in err
    assert "hint: move it away" in err
    (folder / "sessions" / "session-2").mkdir()
    assert execute(["session", "list", "--json"]) == 1
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == ["2"]
    live(folder).rename(folder / "aside")
    assert execute(["session", "restore"]) == 0
    assert (live(folder) / "creds.json").exists()


@pytest.mark.parametrize("command", ["info", "list", "check", "backup", "snapshots"])
def test_a_torn_state_file_is_said(folder: Path, capsys: Out, command: str) -> None:
    """What is shown comes from the snapshots then; nobody else would learn of it."""
    assert execute(["session", command]) == 0
    assert "session-state.json" not in capsys.readouterr().err
    (folder / "session-state.json").write_text("{torn")
    assert execute(["session", command]) == 0
    err = capsys.readouterr().err
    assert err.count("session-state.json can't be read: what it said") == 1


def test_reading_writes_nothing(folder: Path) -> None:
    """info, list, snapshots and check leave every file as it is."""

    def everything() -> dict[str, tuple[int, int]]:
        scratch = folder / ".session-cache" / "tmp"  # a check opens copies, never the session
        found = {str(p): p.lstat() for p in folder.rglob("*") if p != scratch}
        return {name: (s.st_size, s.st_mtime_ns) for name, s in found.items()}

    before = everything()
    for command in ("info", "list", "snapshots", "check"):
        assert execute(["session", command]) == 0
    assert everything() == before


def test_check_says_what_is_wrong(folder: Path, capsys: Out) -> None:
    """Exit code 0 for a whole session, 1 for a damaged and a missing one."""
    assert execute(["session", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "passed"
    (live(folder) / "creds.json").write_text("")
    assert execute(["session", "check"]) == 1
    assert f"session {ID} damaged" in capsys.readouterr().out


def test_restore_brings_a_damaged_session_back(folder: Path, capsys: Out) -> None:
    """Kept while it is whole; restored when it is not; nothing is asked for that."""
    assert execute(["session", "restore"]) == 0
    assert "kept as it is" in capsys.readouterr().out
    (live(folder) / "creds.json").write_text("")
    assert execute(["session", "restore"]) == 0
    assert f"session {ID} restored from" in capsys.readouterr().out
    assert json.loads((live(folder) / "creds.json").read_text()) == {"me": "d1"}


def test_restore_of_one_snapshot_needs_consent(folder: Path, capsys: Out) -> None:
    """Age and cost are said; without a terminal it needs --yes; then it is done."""
    (live(folder) / "creds.json").write_text('{"me": "d1", "n": 2}')
    assert execute(["session", "restore", "--snapshot", "1"]) == 1
    err = capsys.readouterr().err
    assert "old: chats that moved on since may show Bad MAC" in err
    assert "--yes" in err
    assert execute(["session", "restore", "--snapshot", "99", "--yes"]) == 1
    assert "has no snapshot '99'" in capsys.readouterr().err
    assert execute(["session", "restore", "--snapshot", "1", "--yes"]) == 0
    assert json.loads((live(folder) / "creds.json").read_text()) == {"me": "d1"}


def test_clear_needs_consent_and_keeps_the_old_session(folder: Path, capsys: Out) -> None:
    """It says what it will do, and does nothing without a yes."""
    assert execute(["session", "clear"]) == 1
    err = capsys.readouterr().err
    assert "unlinked here" in err
    assert "quarantine" in err
    assert "a new QR code will be shown" in err
    assert live(folder).exists()
    assert execute(["session", "clear", "--yes"]) == 0
    out = capsys.readouterr().out
    assert "is in quarantine" in out
    assert not live(folder).exists()
    assert execute(["session", "info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["restorable"] is False
    assert len(found["quarantine"]) == 1


def test_backup_takes_a_snapshot(folder: Path, capsys: Out) -> None:
    """Its fields as JSON, or one line."""
    (live(folder) / "creds.json").write_text('{"me": "d1", "n": 2}')
    assert execute(["session", "backup", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seq"] == 2
    assert execute(["session", "backup"]) == 0
    assert capsys.readouterr().out.startswith("snapshot ")


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (["backup"], {"op": "backup", "id": ID}),
        (["clear", "--yes"], {"op": "clear", "id": ID}),
        (["restore"], {"op": "restore", "id": ID}),
        (["restore", "--yes", "--snapshot", "1"], {"op": "restore", "id": ID, "snapshot": "1"}),
    ],
)
def test_changes_go_through_a_running_supervisor(
    args: list[str], asked: dict[str, str], folder: Path
) -> None:
    """With one running, this process changes nothing itself."""
    with running(paths.socket_path(folder / "config.toml"), alive_s=0.05) as server:
        server.fake.results["session"] = {"action": "restored", "quarantined": "q1"}
        assert execute(["session", *args]) == 0
        assert server.fake.asked == [("session", asked)]
    assert live(folder).exists()


def test_an_owner_that_cannot_be_asked_is_named(folder: Path, capsys: Out) -> None:
    """Who owns the session, and what to do; nothing is changed."""
    with OwnerLock(folder / "sessions", ID):
        assert execute(["session", "clear", "--yes"]) == 1
    err = capsys.readouterr().err
    assert f"session {ID} is in use by pid " in err
    assert "hint: " in err
    assert live(folder).exists()


def test_an_owner_with_another_config_is_asked(folder: Path) -> None:
    """The lock says where its owner listens."""
    with (
        tempfile.TemporaryDirectory() as short,
        running(Path(short) / "c" / "x.sock", alive_s=0.05) as server,
    ):
        server.fake.results["session"] = {"quarantined": "q1"}
        lock = OwnerLock(folder / "sessions", ID)
        lock.acquire(control=str(server.path))
        try:
            assert execute(["session", "clear", "--yes"]) == 0
        finally:
            lock.release()
        assert server.fake.asked == [("session", {"op": "clear", "id": ID})]


def test_without_a_config_the_folder_is_enough(folder: Path, capsys: Out) -> None:
    """After `dev -- COMMAND` the sessions are found where they are by default."""
    (folder / "config.toml").unlink()
    assert execute(["session", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == ID


def test_several_sessions_have_to_be_named(folder: Path, capsys: Out) -> None:
    """Which ones there are is said."""
    (folder / "config.toml").write_text(CONFIG + '[bot.two]\ncommand = ["python", "x.py"]\n')
    assert execute(["session", "info"]) == 2
    err = capsys.readouterr().err
    assert "which session?" in err
    assert f"{ID}, two" in err
