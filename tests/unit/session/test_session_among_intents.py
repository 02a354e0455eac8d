"""What a crash left half done of a session among other files is finished from its intent.

Or refused: nothing that is none of the session's is moved by it, whatever it says, and whoever
changed the config meanwhile.
"""

import json
import shutil
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.proof import checks
from supervisor.session.restoring.swap import intent_path
from tests.unit.session.amongkit import PARTS, AmongPlace, neighbours, session
from tests.unit.session.sessionkit import ID, tree


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open no copies: a process for each takes most of the time."""
    monkeypatch.setattr(checks, "deep_problems", lambda *_args: [])


@pytest.fixture
def among(tmp_path: Path) -> AmongPlace:
    """Return an empty project."""
    return AmongPlace(tmp_path)


def _begun(among: AmongPlace, **changed: object) -> None:
    value: dict[str, object] = {
        "op": "close",
        "token": "t",
        "id": ID,
        "live": str(among.live),
        "quarantine": str(among.store / "quarantine" / f"session-{ID}.20261124T220000Z.e1.asked"),
        "new": "",
        "phase": "out",
        "epoch": 1,
        "snapshot": 1,
        "why": "asked",
        "patterns": list(PARTS),
    }
    intent_path(among.store, ID).write_text(json.dumps(value | changed))


STEPS: dict[str, list[object]] = {"drop": [], "folders": [], "put": [], "modes": []}
NEW = f".session-{ID}.new"


@pytest.mark.parametrize(
    "changed",
    [
        {"patterns": []},
        {"patterns": ["*"]},
        {"patterns": ["creds.json"]},
        {"phase": "place", "steps": {**STEPS, "drop": ["bot.py"]}},
        {"phase": "place", "steps": {**STEPS, "put": ["node_modules/x"]}},
        {"phase": "place", "steps": {**STEPS, "folders": ["src"]}},
        {"phase": "place", "steps": {**STEPS, "modes": [["secret", 0o700]]}},
    ],
)
def test_an_intent_that_speaks_of_other_files_is_refused(
    among: AmongPlace, changed: dict[str, object]
) -> None:
    """The config may have changed since the crash, and nothing is moved by an old one."""
    among.linked()
    if "steps" in changed:
        (among.live / NEW).mkdir()
        changed = {**changed, "op": "restore", "new": str(among.live / NEW)}
    _begun(among, **changed)
    own, beside = session(among.live), neighbours(among.live)
    with pytest.raises(SupervisorError, match="session_files"):
        among.manager().cleanup_old_backups(ID)
    assert session(among.live) == own
    assert neighbours(among.live) == beside


def test_an_intent_of_the_whole_folder_is_refused_by_a_session_among_others(
    among: AmongPlace,
) -> None:
    """As a program left it that knew of no such thing: the project would go to quarantine."""
    among.linked()
    _begun(among, patterns=[])
    with pytest.raises(SupervisorError, match="session_files"):
        among.manager().clear(ID)
    assert (among.live / "bot.py").exists()


def test_what_somebody_wrote_between_a_crash_and_its_recovery_is_kept(among: AmongPlace) -> None:
    """One file of the snapshot lay there, a bot was started by hand: no mixture, and no loss."""
    manager = among.linked()
    wanted = session(among.live)
    staged = among.live / NEW
    staged.mkdir()
    for name in ("store.db", "keys"):
        (among.live / name).rename(staged / name)
    (among.live / "creds.json").write_text('{"device": 9, "fingerprint": "by hand"}')
    by_hand, beside = session(among.live), neighbours(among.live)
    _begun(among, op="restore", phase="in", new=str(staged))
    manager = among.manager()
    manager.cleanup_old_backups(ID)
    assert session(among.live) == wanted
    assert {n: v for n, v in neighbours(among.live).items() if not n.startswith(NEW)} == {
        n: v for n, v in beside.items() if not n.startswith(NEW)
    }
    (held,) = (path for path in (among.store / "quarantine").iterdir() if path.is_dir())
    assert tree(held) == by_hand
    assert not staged.exists()


def test_what_was_staged_and_is_not_named_is_not_placed(among: AmongPlace) -> None:
    """Whatever lies in the staging folder: a name of the project's comes to nothing."""
    manager = among.linked()
    wanted, beside = session(among.live), neighbours(among.live)
    staged = among.live / NEW
    manager.export(ID, staged)
    (staged / "bot.py").write_text("print('no bot of ours')")
    (staged / "not-there.py").write_text("print('nor this')")
    (staged / "store.db-journal").write_text("beside a database, if nothing else lies there")
    among.lose()
    (among.live / "store.db-journal").mkdir()
    (among.live / "store.db-journal" / "mine").write_text("of the project")
    _begun(among, op="restore", phase="in", new=str(staged))
    among.manager().cleanup_old_backups(ID)
    assert tree(among.live / "store.db-journal") == {"mine": b"of the project"}
    shutil.rmtree(among.live / "store.db-journal")
    assert session(among.live) == wanted
    assert neighbours(among.live) == beside
