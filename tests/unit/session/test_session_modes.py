"""What may not be read or entered: said, never called good, and no reason to have nothing."""

import os
import shutil
import stat

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.model import Unjudged
from tests.unit.session.oddkit import said, without_rights
from tests.unit.session.sessionkit import ID, Place


@pytest.fixture
def open_place(reachable: Place) -> Place:
    """Return a project below a folder that everybody may enter, with a session of plain files."""
    reachable.live.mkdir(parents=True)
    for name in ("one", "two"):
        (reachable.live / name).write_text(name)
    return reachable


def test_odd_modes_come_back_but_for_group_and_others(place: Place) -> None:
    """0000 and 0400 as they were; a file that everybody could read is private afterwards."""
    manager = place.linked()
    modes = {"none": 0o000, "read": 0o400, "all": 0o666, "run": 0o755, "set": 0o4755}
    for name, mode in modes.items():
        (place.live / name).write_text(name)
        (place.live / name).chmod(mode)
    if os.geteuid() != 0:
        (place.live / "none").unlink()
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "good"
    shutil.rmtree(place.live)
    manager.restore_from_backup(ID)
    for name, mode in modes.items():
        if (place.live / name).exists():
            assert stat.S_IMODE((place.live / name).stat().st_mode) == mode & 0o700


def test_what_may_not_be_read_is_said_and_not_called_good(open_place: Place) -> None:
    """A file and a folder; the rest is in the snapshot, and the snapshot can be used."""
    place = open_place
    (place.live / "locked").mkdir()
    (place.live / "locked" / "inside").write_text("inside")
    (place.live / "secret").write_text("secret")
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        (place.live / "secret").chmod(0)
        (place.live / "locked").chmod(0)
        snapshot = manager.backup(ID)
        assert snapshot.verdict == "fuzzy"
        text = said(manager, snapshot)
        assert "secret can't be read (Permission denied): left out" in text
        assert "locked/ can't be read (Permission denied): left out" in text
        assert manager.check(ID).verdict == "passed"
        manager.info(ID)
        assert manager.restore_from_backup(ID, snapshot.id).action == "restored"
        assert (place.live / "one").read_text() == "one"
        assert not (place.live / "secret").exists()


def test_a_session_whose_own_folder_may_not_be_read_is_refused_in_words(open_place: Place) -> None:
    """It is not taken for an empty one."""
    place = open_place
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        assert manager.backup(ID).verdict == "good"
        place.live.chmod(0)
        with pytest.raises(SupervisorError, match="Permission denied"):
            manager.backup(ID)
        with pytest.raises((SupervisorError, OSError)):
            manager.check(ID)
        place.live.chmod(0o700)


def test_a_folder_that_can_be_listed_and_not_entered_is_said(open_place: Place) -> None:
    """Its names are seen, and nothing behind them: that is no reason to have no snapshot."""
    place = open_place
    (place.live / "listed").mkdir()
    (place.live / "listed" / "inside").write_text("inside")
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        (place.live / "listed").chmod(0o400)
        snapshot = manager.backup(ID)
        assert snapshot.verdict == "fuzzy"
        assert "listed/inside can't be looked at (Permission denied)" in said(manager, snapshot)
        (place.live / "listed").chmod(0o700)


def test_a_json_file_that_may_not_be_read_any_more_is_no_damage(open_place: Place) -> None:
    """What can't be looked at is not torn: whether it is can't be told now."""
    place = open_place
    (place.live / "state.json").write_text("{}")
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        assert manager.backup(ID).verdict == "good"
        (place.live / "state.json").chmod(0)
        for quick in (True, False):
            with pytest.raises(Unjudged, match=r"state\.json can't be read"):
                manager.check(ID, quick=quick)
