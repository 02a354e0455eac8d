"""An intent that leads elsewhere is refused, and nothing outside of the session is changed.

Each runs in a child whose current folder is a sacrifice, and that sees all else read-only.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor.session.restoring.swap import intent_path
from tests import boxkit
from tests.unit.session.amongkit import PARTS, AmongPlace
from tests.unit.session.sessionkit import ID, Place

_CHILD = """
import json
import sys
from pathlib import Path
from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
root = Path(sys.argv[1])
manager = SessionManager(
    root / "sessions",
    root / ".session-cache",
    root / "session-state.json",
    paths={sys.argv[2]: Path(sys.argv[5])},
    parts={sys.argv[2]: tuple(json.loads(sys.argv[6]))},
)
for intent in json.loads(sys.argv[4]):
    Path(sys.argv[3]).write_text(json.dumps(intent))
    try:
        manager.restore(sys.argv[2])
    except (SupervisorError, OSError):
        continue
    sys.exit(f"not refused: {intent}")
"""
_STEPS: dict[str, Any] = {"drop": [], "folders": [], "put": [], "modes": []}
_ELSEWHERE = ("", ".", "/", "..", "{root}/sessions/session-other", "{root}/here", "{root}")
_AMONG = ("{root}/project", "{root}/project/node_modules", "{root}/project/bot.py")

pytestmark = boxkit.needs_root


def _listing(root: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.startswith((".session-cache", "session-state")) or path.suffix == ".lock":
            continue
        held = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "-"
        found[name] = f"{path.lstat().st_mode:o} {held}"
    return found


def _intents(
    place: Place, phase: str, elsewhere: Sequence[str] = _ELSEWHERE, **more: Any
) -> list[dict[str, Any]]:
    right: dict[str, Any] = {
        "op": "restore",
        "token": "t",
        "id": ID,
        "live": str(place.live),
        "quarantine": str(place.store / "quarantine" / f"session-{ID}.20261124T220000Z.e1.a"),
        "new": str(place.live.with_name(f".session-{ID}.new")),
        "phase": phase,
        "epoch": 1,
        "snapshot": 1,
        "why": "asked",
    }
    right |= more
    if phase == "place":
        right["steps"] = _STEPS
    return [
        right | {key: wrong.format(root=place.root)}
        for key in ("live", "quarantine", "new")
        for wrong in elsewhere
        if wrong.format(root=place.root) != right[key]
        if key != "new" or wrong or phase == "place"  # else nothing comes: so a close is written
    ]


@pytest.mark.parametrize("phase", ["out", "in", "place"])
def test_an_intent_that_leads_elsewhere_changes_nothing(place: Place, phase: str) -> None:
    """Each path of an intent wrong in turn: it is refused, and all lies as it lay."""
    place.linked()
    for name in ("here", "sessions/session-other"):
        (place.root / name).mkdir(parents=True)
        (place.root / name / "precious").write_text(name)
    _all_refused(place, _intents(place, phase))


@pytest.mark.parametrize(
    "phase", ["place", *(pytest.param(phase, marks=pytest.mark.long) for phase in ("out", "in"))]
)
def test_nothing_of_a_project_is_changed_by_a_wrong_intent(tmp_path: Path, phase: str) -> None:
    """The same where a session lies among other files: the project is no place to move it to."""
    place = AmongPlace(tmp_path)
    place.linked()
    for name in ("here", "sessions/session-other"):
        (place.root / name).mkdir(parents=True)
        (place.root / name / "precious").write_text(name)
    more = {"new": str(place.live / f".session-{ID}.new"), "patterns": list(PARTS)}
    intents = _intents(place, phase, (*_ELSEWHERE, *_AMONG), **more)
    _all_refused(place, intents, PARTS)


def _all_refused(place: Place, intents: list[dict[str, Any]], parts: Sequence[str] = ()) -> None:
    before = _listing(place.root)
    where = (str(place.root), ID, str(intent_path(place.store, ID)))
    what = (json.dumps(intents), str(place.live), json.dumps(parts))
    child = [sys.executable, "-c", _CHILD, *where, *what]
    done = boxkit.boxed(place.root, child)
    assert _listing(place.root) == before, done.stderr
    assert done.returncode == 0, (done.returncode, done.stderr)
