"""`stillhere session import` asks twice before it takes what may be no session."""

from pathlib import Path

import pytest

from supervisor.cli.main import execute
from tests.unit.cli.projectkit import ID, Out, live

pytestmark = pytest.mark.usefixtures("folder")


def test_a_folder_of_the_machine_is_refused(folder: Path, capsys: Out) -> None:
    """Also with --yes: no session lies there."""
    assert execute(["session", "import", ID, "/etc", "--yes"]) == 1
    err = capsys.readouterr().err
    assert "error: /etc is a folder of the machine, and no session" in err
    assert "hint: " in err
    assert (live(folder) / "creds.json").read_text() == '{"me": "d1"}'


def test_what_is_not_recognised_needs_a_yes(tmp_path: Path, folder: Path, capsys: Out) -> None:
    """The doubt is said first; who says yes gets it, with the old one in quarantine."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"png")
    assert execute(["session", "import", ID, str(pictures)]) == 1
    err = capsys.readouterr().err
    assert "this may be no session: nothing in it looks like a session" in err
    assert "all the same?" in err
    assert (live(folder) / "creds.json").exists()
    assert execute(["session", "import", ID, str(pictures), "--yes"]) == 0
    assert (live(folder) / "a.png").exists()
    assert "is in quarantine" in capsys.readouterr().out


def test_a_session_raises_no_doubt(tmp_path: Path, capsys: Out) -> None:
    """What `export` wrote comes in with the usual question alone."""
    assert execute(["session", "export", ID, str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert execute(["session", "import", ID, str(tmp_path / "out")]) == 1
    assert "may be no session" not in capsys.readouterr().err


def test_the_project_itself_is_refused(folder: Path, capsys: Out) -> None:
    """Also with --yes, and before anything is asked: the link goes on."""
    for name in (".", "sessions", ".session-cache", f"sessions/session-{ID}"):
        assert execute(["session", "import", ID, name, "--yes"]) == 1
        err = capsys.readouterr().err
        assert "hint: " in err
        assert "unexpected" not in err
    assert (live(folder) / "creds.json").read_text() == '{"me": "d1"}'
