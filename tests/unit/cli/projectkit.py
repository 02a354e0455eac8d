"""A project with a linked session, for the tests of the session's commands."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager

ID = "971505760056"
CONFIG = f'[bot.echo]\ncommand = ["python", "bot.py"]\nsession = "{ID}"\n'
Out = pytest.CaptureFixture[str]


@pytest.fixture(name="folder")
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a project with a linked session and one snapshot."""
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    live = tmp_path / "sessions" / f"session-{ID}"
    live.mkdir(parents=True)
    (live / "creds.json").write_text('{"me": "d1"}')
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        monkeypatch.setenv("TMPDIR", short)
        manager = SessionManager(state=tmp_path / "session-state.json")
        manager.note_linked(ID, "d1")
        manager.backup(ID)
        yield tmp_path


def live(folder: Path) -> Path:
    """Return the live session's folder."""
    return folder / "sessions" / f"session-{ID}"
