"""What a restore has begun is finished: from its intent, whatever was done already."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session import restores
from supervisor.session.restoring.inplace import Steps
from supervisor.session.restoring.swap import intent_path
from tests.unit.session.damagekit import all_of_it, journals
from tests.unit.session.sessionkit import ID, Place, aside, fill, moved_whole, tree


def _begun(place: Place, **changed: Any) -> None:
    """Leave an intent as a crash leaves it."""
    value: dict[str, Any] = {
        "op": "restore",
        "token": "t",
        "id": ID,
        "live": str(place.live),
        "quarantine": str(place.store / "quarantine" / f"session-{ID}.20261124T220000Z.e1.asked"),
        "new": str(place.live.with_name(f".session-{ID}.new")),
        "phase": "out",
        "epoch": 1,
        "snapshot": 1,
        "why": "asked",
    }
    intent_path(place.store, ID).write_text(json.dumps(value | changed))


@pytest.mark.parametrize("phase", ["out", "in"])
def test_an_intent_of_an_older_version_is_finished(place: Place, phase: str) -> None:
    """It had no steps: the new folder comes into the old one's place, which goes to quarantine."""
    place.linked()
    wanted = tree(place.live)
    shutil.copytree(place.live, place.live.with_name(f".session-{ID}.new"))
    (place.live / "creds.json").write_text("{torn")
    broken = tree(place.live)
    _begun(place, phase=phase)
    if phase == "in":
        place.live.rename(place.store / "quarantine" / f"session-{ID}.20261124T220000Z.e1.asked")
    assert place.manager().restore(ID).action == "kept"
    assert tree(place.live) == wanted
    assert [aside(place, name) for name in moved_whole(place)] == [broken]
    assert place.manager().record(ID).rollback_count == 1


STEPS: dict[str, Any] = {"drop": [], "folders": [], "put": [], "modes": []}
BAD = {
    "no steps": {"phase": "place"},
    "steps and no place": {"phase": "out", "steps": STEPS},
    "outside": {"phase": "place", "steps": {**STEPS, "drop": ["../other"]}},
    "absolute": {"phase": "place", "steps": {**STEPS, "put": ["/etc/passwd"]}},
    "itself": {"phase": "place", "steps": {**STEPS, "drop": ["."]}},
    "no list": {"phase": "place", "steps": {**STEPS, "drop": 1}},
    "half": {"phase": "place", "steps": {"drop": []}},
    "a mode": {"phase": "place", "steps": {**STEPS, "modes": [["creds.json", 0o4755]]}},
    "text": {"phase": "place", "steps": "all"},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD.keys())
def test_an_intent_that_was_changed_is_refused(place: Place, changed: dict[str, Any]) -> None:
    """Rather no restore than one that reaches out of the session's folder."""
    place.linked()
    wanted = tree(place.live)
    _begun(place, **changed)
    with pytest.raises(SupervisorError, match="intent"):
        place.manager().restore(ID)
    assert tree(place.live) == wanted


def test_the_steps_may_come_twice(place: Place) -> None:
    """What a second pass finds done stays done, though the bot has not run in between."""
    manager = place.linked()
    (place.live / "current").symlink_to("keys/one")
    manager.backup(ID)
    wanted = tree(place.live)
    all_of_it(place.live)
    really = restores.Restores._begin

    def twice(self: Any, intent: Any) -> str | None:
        assert isinstance(intent.steps, Steps)
        name = really(self, intent)
        assert tree(place.live) == wanted
        assert really(self, intent) == name
        return name

    manager._begin = twice.__get__(manager)  # type: ignore[method-assign] # a look at the seam
    manager.restore_from_backup(ID)
    assert tree(place.live) == wanted
    assert manager.record(ID).rollback_count == 1


def test_each_step_is_on_the_disk_before_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intent, the end of the old journals, the new database, the end of the intent."""
    manager = place.linked()
    journals(place.live)
    done: list[tuple[str, str]] = []

    def noted(name: str) -> Callable[..., Any]:
        really = getattr(os, name)

        def call(*args: Any, **more: Any) -> Any:
            path = args[-1] if name == "rename" else args[0]
            if name == "fsync":
                path = Path(f"/proc/self/fd/{path}").readlink()
            done.append((name, str(Path(path).parent.resolve() / Path(path).name)))
            return really(*args, **more)

        return call

    for name in ("fsync", "rename", "unlink"):
        monkeypatch.setattr(os, name, noted(name))
    manager.restore_from_backup(ID)
    intent, live, root = str(intent_path(place.store, ID)), str(place.live), str(place.store)
    wanted = [
        ("rename", intent),
        ("fsync", root),
        ("unlink", f"{live}/store.db-wal"),
        ("fsync", live),
        ("rename", f"{live}/store.db"),
        ("fsync", live),
        ("unlink", intent),
        ("fsync", root),
    ]
    left = iter(done)
    assert all(step in left for step in wanted), done


def test_what_was_made_by_hand_after_a_crash_is_not_mixed_in(place: Place) -> None:
    """Both sessions that lay there are in quarantine, each for itself; no journal stays behind."""
    place.linked()
    wanted = tree(place.live)
    shutil.copytree(place.live, place.live.with_name(f".session-{ID}.new"))
    (place.live / "creds.json").write_text("{torn")
    broken = tree(place.live)
    _begun(place, phase="in")
    place.live.rename(place.store / "quarantine" / f"session-{ID}.20261124T220000Z.e1.asked")
    fill(place.live, device=2)
    (place.live / "store.db-wal").write_bytes(b"another's")
    made = tree(place.live)
    assert place.manager().restore(ID).action == "kept"
    assert tree(place.live) == wanted
    assert [aside(place, name) for name in sorted(moved_whole(place))] == [broken, made]


def test_a_session_that_was_removed_by_hand_after_a_crash_comes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What little was to be changed finds no folder: it goes in, and the check finds the rest."""
    manager = place.linked()
    wanted = tree(place.live)
    (place.live / "creds.json").write_text("{torn")
    (place.live / "keys" / "one").write_text("torn")
    (place.live / "keys" / "two").chmod(0o400)
    with monkeypatch.context() as crash:
        crash.setattr(manager, "_finish", lambda _intent: None)
        manager.restore_from_backup(ID)
    shutil.rmtree(place.live)
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted
