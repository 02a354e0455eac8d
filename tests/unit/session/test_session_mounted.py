"""Mount points within a session, and what no copy can move: nothing ends half done, or lost."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.restoring import delta
from supervisor.session.restoring.swap import intent_path
from tests.unit.session.damagekit import tear
from tests.unit.session.diskkit import bound_at, disk_at
from tests.unit.session.sessionkit import ID, Place, aside, fill, tree


def _whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each restore put a new folder in the old one's place."""
    monkeypatch.setattr(delta, "surely_much", lambda *_args: True)


def _clear(manager: SessionManager, _place: Place) -> str | None:
    return manager.clear(ID)


def _import(manager: SessionManager, place: Place) -> str | None:
    fill(place.root / "other", device=2)
    return manager.import_(ID, place.root / "other")


def _restore(manager: SessionManager, place: Place) -> str | None:
    tear("creds.json")(place.live)
    return manager.restore(ID).quarantined


@pytest.mark.parametrize("act", [_clear, _import, _restore])
def test_sockets_and_pipes_go_where_all_is_copied(
    place: Place, act: Callable[[SessionManager, Place], str | None]
) -> None:
    """They can't be taken to another disk: what was begun would never be ended."""
    place.live.mkdir(parents=True)
    with disk_at(place.live):
        manager = place.linked()
        wanted = tree(place.live)
        os.mkfifo(place.live / "ctl")
        here = Path.cwd()
        os.chdir(place.live)  # a socket's path is short
        try:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind("zz.sock")
        finally:
            os.chdir(here)
        held = act(manager, place)
        assert held is not None
        assert not {"ctl", "zz.sock"} & set(tree(place.live))
        assert aside(place, held).keys() == wanted.keys()
        assert not intent_path(place.store, ID).exists()


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("length", [250, 255])
def test_the_longest_names_come_back_on_a_volume(
    place: Place, monkeypatch: pytest.MonkeyPatch, length: int, *, whole: bool
) -> None:
    """Nothing that we put beside one of them has a longer name."""
    place.live.mkdir(parents=True)
    with disk_at(place.live):
        manager = place.linked()
        (place.live / ("k" * length)).write_text("one")
        assert manager.backup(ID).verdict == "good"
        wanted = tree(place.live)
        (place.live / ("k" * length)).write_text("other")
        tear("creds.json")(place.live)
        broken = tree(place.live)
        if whole:
            _whole(monkeypatch)
        held = manager.restore_from_backup(ID).quarantined
        assert tree(place.live) == wanted
        assert held is not None
        assert aside(place, held) == broken


def test_a_file_that_is_a_mount_of_its_own_is_written_over(place: Place) -> None:
    """It can't be replaced; and a plain file beside it would be hidden by the next mount."""
    manager = place.linked()
    wanted = tree(place.live)
    with bound_at(place, "creds.json") as outside:
        outside.write_text("{torn")
        held = manager.restore(ID).quarantined
        assert tree(place.live) == wanted
        assert outside.read_bytes() == wanted["creds.json"]
        assert not intent_path(place.store, ID).exists()
        assert held is not None
        assert aside(place, held)["creds.json"] == b"{torn"


def test_a_large_mounted_file_is_not_moved_to_be_changed(place: Place) -> None:
    """Little of it differs: it is written over all the same where it lies."""
    fill(place.live, rows=9000)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID)
    wanted = tree(place.live)
    with bound_at(place, "store.db") as outside:
        with outside.open("r+b") as file:
            file.write(b"no database")
        manager.restore(ID)
        assert outside.read_bytes() == wanted["store.db"]
        assert tree(place.live) == wanted
        assert not intent_path(place.store, ID).exists()


@pytest.mark.parametrize("inside", ["creds.json", "keys"])
def test_a_mount_in_a_volume_is_emptied_and_filled(
    place: Place, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    """Neither it nor the volume can go: what was in it is in quarantine, and leads to no link."""
    _whole(monkeypatch)
    place.live.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(disk_at(place.live))
        manager = place.linked()
        wanted = tree(place.live)
        stack.enter_context(bound_at(place, inside))
        tear("store.db")(place.live)
        (place.live / "keys" / "one").write_text("moved on")
        broken = tree(place.live)
        held = manager.restore(ID).quarantined
        assert held is not None
        assert tree(place.live) == wanted
        assert aside(place, held) == broken
        held = manager.clear(ID)
        assert held is not None
        assert aside(place, held) == wanted
        assert not any(tree(place.live).values())
        assert not intent_path(place.store, ID).exists()


def test_a_mount_that_went_along_with_a_cleared_session_keeps_its_files(place: Place) -> None:
    """They lie elsewhere and may be another's: neither folding nor pruning empties it."""
    place.linked()
    with bound_at(place, "keys") as outside:
        wanted, before = tree(outside), tree(place.live)
        manager = place.manager()
        name = manager.clear(ID)
        assert manager.fold_quarantine(ID) == []
        place.clock.now += 31 * 86_400
        manager.cleanup_old_backups(ID)
        assert tree(outside) == wanted
        assert name is not None
        assert aside(place, name) == before
    assert manager.fold_quarantine(ID)
    assert tree(outside) == wanted


def test_what_is_mounted_read_only_in_a_volume_is_said_before(place: Place) -> None:
    """Half of the session would be gone, and no later command could end it."""
    place.live.mkdir(parents=True)
    with ExitStack() as stack:
        stack.enter_context(disk_at(place.live))
        manager = place.linked()
        stack.enter_context(bound_at(place, "creds.json", writable=False))
        before = tree(place.live)
        with pytest.raises(SupervisorError, match=r"creds\.json is mounted read-only") as refused:
            manager.clear(ID)
        assert refused.value.hint
        assert tree(place.live) == before
        assert not intent_path(place.store, ID).exists()
