"""A session that lies among a project's files goes elsewhere, and comes from there."""

import json
import os
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.proof import checks
from tests.unit.session.amongkit import PARTS, AmongPlace, neighbours, session
from tests.unit.session.sessionkit import ID, fill


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open no copies: a process for each takes most of the time."""
    monkeypatch.setattr(checks, "deep_problems", lambda *_args: [])


@pytest.fixture
def among(tmp_path: Path) -> AmongPlace:
    """Return an empty project."""
    return AmongPlace(tmp_path)


def test_an_import_takes_what_is_named(among: AmongPlace) -> None:
    """From a copy of a whole project as well: its code stays where it was, and that is said."""
    manager = among.linked()
    old = among.root / "old"
    (old / "node_modules").mkdir(parents=True)
    (old / "bot.py").write_text("print('an old bot')\n")
    os.mkfifo(old / "node_modules" / "not-even-looked-at")
    fill(old, device=2)
    beside = neighbours(among.live)
    manager.refuse_import(ID, old, among.root)
    assert manager.import_(ID, old) is not None
    assert neighbours(among.live) == beside
    assert json.loads((among.live / "creds.json").read_text())["device"] == 2
    assert manager.left_out == ["bot.py, node_modules: none of `session_files`"]
    with pytest.raises(SupervisorError, match="no whole session: there is no file in it"):
        manager.import_(ID, old / "node_modules")
    for own in (among.live / "keys", among.live):
        with pytest.raises(SupervisorError):
            manager.refuse_import(ID, own)


def test_an_archive_may_hold_more_than_is_named(among: AmongPlace) -> None:
    """It comes from another config; what of it is left out is said."""
    wide = among.linked(parts={ID: (*PARTS, "bot.py", "run.sh")})
    wanted = session(among.live)
    exported = wide.export(ID, among.root / "wide.tar.zst")
    beside = neighbours(among.live)
    manager = among.manager()
    manager.import_(ID, exported)
    assert manager.left_out == ["bot.py, run.sh: none of `session_files`"]
    assert session(among.live) == wanted
    assert neighbours(among.live) == beside


@pytest.mark.parametrize(
    "name", ["taken-out.tar.zst", pytest.param("taken-out", marks=pytest.mark.long)]
)
def test_an_export_may_lie_in_the_project(among: AmongPlace, name: str) -> None:
    """But not in the session; and what was exported comes in again."""
    manager = among.linked()
    wanted = session(among.live)
    exported = manager.export(ID, among.live / name)
    with pytest.raises(SupervisorError, match="would be written into"):
        manager.export(ID, among.live / "keys" / "out")
    among.lose()
    beside = neighbours(among.live)
    manager.import_(ID, exported)
    assert session(among.live) == wanted
    assert neighbours(among.live) == beside
