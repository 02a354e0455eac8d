"""A session is of the kind that it had, whatever else comes to lie in its folder."""

from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.proof.kinds.chromium import CHROMIUM
from supervisor.session.proof.profile import GENERIC
from tests.unit.session.sessionkit import ID, Place, aside, moved_whole, tree


def _generic(place: Place) -> SessionManager:
    """Return the manager of a linked session of no kind, with its own idea of a cache."""
    (place.live / "Cache").mkdir(parents=True)
    (place.live / "login.json").write_text('{"key": 1}')
    (place.live / "Cache" / "identity.key").write_bytes(b"the only one")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    return manager


def _become_a_browser(folder: Path) -> None:
    (folder / "Default").mkdir(parents=True)
    (folder / "Local State").write_text("{}")
    (folder / "Default" / "Preferences").write_text("{}")
    (folder / "Default" / "Cookies").write_bytes(b"x" * 10)


@pytest.mark.parametrize("given", [False, True])
def test_a_folder_is_folded_as_its_own_link_had_it(place: Place, *, given: bool) -> None:
    """The bot is a browser's now: what that makes anew was the other one's key."""
    manager = _generic(place)
    (place.live / "Cache" / "identity.key").write_bytes(b"newer, the only copy")
    wanted = tree(place.live)
    manager.clear(ID)
    _become_a_browser(place.live)
    manager = place.manager(profile=CHROMIUM) if given else manager
    (name,) = manager.fold_quarantine(ID)
    assert not moved_whole(place)
    assert aside(place, name) == wanted


def test_what_was_never_stored_is_folded_by_its_looks(place: Place) -> None:
    """There is no snapshot of it that could tell: a browser's cache goes, and no other."""
    _become_a_browser(place.live)
    (place.live / "Default" / "Cache").mkdir()
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.clear(ID)
    (name,) = manager.fold_quarantine(ID)
    assert "Default/Cache" not in aside(place, name)


@pytest.mark.parametrize("whole", [False, True])
def test_a_browsers_files_condemn_no_snapshot_without_them(place: Place, *, whole: bool) -> None:
    """A good snapshot of no kind stays one; and the live session is judged as what it is now."""
    manager = _generic(place)
    wanted = tree(place.live)
    _become_a_browser(place.live)
    if not whole:
        (place.live / "Default" / "Cookies").unlink()
    place.clock.now += 60  # a browser is on the disk by then
    drilled = manager.drill(ID)
    assert drilled is not None
    assert drilled.outcome == "passed"
    assert manager.check(ID).verdict == "passed"
    manager.backup(ID)
    listed = [(m.profile, m.verdict) for m in manager.store.listing(ID).snapshots]
    kind = CHROMIUM.name if whole else GENERIC.name
    assert listed == [(GENERIC.name, "good"), (kind, "good")]
    assert manager.restore_from_backup(ID, "1").action == "restored"
    assert tree(place.live) == wanted
