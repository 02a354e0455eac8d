"""What the session's commands advise fits what is live and what is stored; quarantine by name."""

import json
import os
import shutil
from pathlib import Path

import pytest

from supervisor.cli.main import execute
from supervisor.cli.session_check import told
from tests.unit.cli.projectkit import ID, Out, live
from tests.unit.session.diskkit import unopened

pytestmark = pytest.mark.usefixtures("folder")


def ruin(folder: Path) -> None:
    """Damage all that is stored."""
    for pack in (folder / ".session-cache" / "packs").iterdir():
        pack.write_bytes(b"")


def checked(capsys: Out, code: int = 1) -> str:
    """Check, and return what a person reads."""
    assert execute(["session", "check"]) == code
    return capsys.readouterr().out


def quarantined(folder: Path) -> str:
    """Return the name of the newest session in quarantine."""
    return max(path.stem for path in (folder / ".session-cache" / "quarantine").iterdir())


def test_with_nothing_live_no_snapshot_is_said_to_heal(folder: Path, capsys: Out) -> None:
    """All packs damaged and the session gone: a backup could store nothing, so none is advised."""
    ruin(folder)
    assert f"take one of what is live: stillhere session backup {ID}" in checked(capsys)
    shutil.rmtree(live(folder))
    out = checked(capsys)
    assert "backup" not in out
    assert "none of its snapshots can come back, and nothing is live" in out
    assert "put its packs back" in out
    assert "stillhere link" in out


def test_a_damaged_session_is_brought_back_without_a_choice(folder: Path, capsys: Out) -> None:
    """Where it is not whole, the plain restore does it, and so does the next start."""
    (live(folder) / "creds.json").write_text("")
    out = checked(capsys)
    assert f"to bring it back: stillhere session restore {ID} (the next start" in out
    assert execute(["session", "restore", ID]) == 0


def _second(folder: Path) -> None:
    """Take another snapshot, so that there is more than one pack."""
    (live(folder) / "n.json").write_text("{}")
    assert execute(["session", "backup"]) == 0


@pytest.mark.parametrize("damaged", [True, False])
def test_what_can_only_not_be_read_now_is_waited_for(
    folder: Path, capsys: Out, *, damaged: bool
) -> None:
    """With the packs away no backup can be taken, and to link anew would give the link up."""
    _second(folder)
    (folder / ".session-cache" / "packs").rename(folder / "elsewhere")
    if damaged:
        (live(folder) / "creds.json").write_text("")
    out = checked(capsys)
    assert "nothing comes back unasked before this can be read: " in out
    assert "backup" not in out
    assert "stillhere link" not in out
    assert (f"then: stillhere session restore {ID}" in out) is damaged
    assert ("what is live is whole, and goes on" in out) is not damaged
    (folder / "elsewhere").rename(folder / ".session-cache" / "packs")
    assert "nothing comes back unasked" not in checked(capsys, int(damaged))
    assert execute(["session", "restore", ID]) == 0


@pytest.mark.parametrize("torn", [True, False])
def test_an_older_one_is_not_said_to_come_by_itself(
    folder: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch, *, torn: bool
) -> None:
    """Where the newest manifest is torn, or can't be read now: the named command does it."""
    _second(folder)
    newest = max((folder / ".session-cache").glob("session-*.json"))
    (live(folder) / "creds.json").write_text("")
    if torn:
        os.truncate(newest, 50)
    else:
        unopened(monkeypatch, str(newest).__eq__)
    capsys.readouterr()
    assert execute(["session", "check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["unasked"] is None
    assert bool(found["waits"]) is not torn
    out = checked(capsys)
    assert "to bring it back" not in out
    assert f"if you mean it: stillhere session restore {ID} --snapshot 1" in out
    assert execute(["session", "restore", ID]) == 1
    assert execute(["session", "restore", ID, "--snapshot", "1", "--yes"]) == 0


def test_what_a_snapshot_does_not_hold_is_said(folder: Path, capsys: Out) -> None:
    """A pipe and a socket can't be stored: a person reads that, and it is in the JSON."""
    os.mkfifo(live(folder) / "queue")
    assert execute(["session", "backup"]) == 0
    (live(folder) / "n.json").write_text("{}")
    assert execute(["session", "backup"]) == 0
    capsys.readouterr()
    assert "not in the newest snapshot: queue is a pipe: left out" in checked(capsys, 0)
    assert execute(["session", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == ["queue is a pipe: left out"]


def test_what_the_disk_does_not_give_back_is_said() -> None:
    """It is not called torn."""
    lines = told({"id": ID, "unread": {"a.json": "Input/output error"}})
    assert any(line.startswith("a.json can't be read now: Input/output error") for line in lines)


def test_a_prune_that_was_stopped_says_by_what(folder: Path, capsys: Out) -> None:
    """A torn manifest may need any pack: nothing goes, and it is no success."""
    (manifest,) = (folder / ".session-cache").glob("session-*.json")
    assert execute(["session", "prune", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": ID, "removed": [], "stopped_by": []}
    os.truncate(manifest, 100)
    assert execute(["session", "prune"]) == 1
    err = capsys.readouterr().err
    assert f"nothing is pruned while this can't be read: {manifest.name}" in err
    assert "move it out of" in err
    assert execute(["session", "prune", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["stopped_by"] == [manifest.name]


def test_a_session_in_quarantine_comes_back_by_its_name(folder: Path, capsys: Out) -> None:
    """What was replaced is named by `info`; what it is is said; it needs consent like any."""
    creds = live(folder) / "creds.json"
    creds.write_text('{"me": "d1", "n": 2}')
    assert execute(["session", "restore", "--snapshot", "1", "--yes"]) == 0
    name = quarantined(folder)
    capsys.readouterr()
    assert execute(["session", "info"]) == 0
    assert name in capsys.readouterr().out
    assert execute(["session", "restore", "--snapshot", name]) == 1
    err = capsys.readouterr().err
    assert f"{name} is a session that was replaced (asked)" in err
    assert "--yes" in err
    assert execute(["session", "restore", "--snapshot", f"{name}.json", "--yes"]) == 0
    assert json.loads(creds.read_text())["n"] == 2


def test_a_torn_session_in_quarantine_is_not_called_whole(folder: Path, capsys: Out) -> None:
    """Once it was opened: it is refused, and the check says why."""
    (live(folder) / "creds.json").write_text('{"me": ')
    assert execute(["session", "restore"]) == 0
    name = quarantined(folder)
    assert execute(["session", "restore", "--snapshot", name, "--yes"]) == 1
    assert "is not whole: creds.json is no JSON" in capsys.readouterr().err
    assert f"in quarantine: {name}, not whole: creds.json is no JSON" in checked(capsys, 0)


def test_a_plain_folder_in_quarantine_is_imported(folder: Path, capsys: Out) -> None:
    """It is no snapshot: the command that takes it is named, and works."""
    assert execute(["session", "clear", "--yes"]) == 0
    (path,) = (folder / ".session-cache" / "quarantine").iterdir()
    assert path.is_dir()
    capsys.readouterr()
    assert execute(["session", "restore", "--snapshot", path.name, "--yes"]) == 1
    assert f"stillhere session import {ID} {path}" in capsys.readouterr().err
    assert execute(["session", "import", ID, str(path), "--yes"]) == 0
    assert (live(folder) / "creds.json").exists()
