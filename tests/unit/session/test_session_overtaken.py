"""A bot is started by hand while a restore is half done: no mixture, and nothing of it is lost."""

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor.session.restoring import inplace, swap
from tests.unit.session.damagekit import flip
from tests.unit.session.diskkit import unopened
from tests.unit.session.sessionkit import ID, Place, aside, fill, moved_whole, tree, write_key

Tree = Mapping[str, bytes | str | None]


class Crash(BaseException):
    """The end of the process."""


def _crash(*_args: Any) -> None:
    raise Crash


def _cut_short(place: Place, at: str, room: Any = inplace) -> tuple[Tree, Tree]:
    """Leave a restore in place that ended before `at`. Returns the snapshot and the old session."""
    fill(place.live, rows=2800)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    wanted = tree(place.live)
    with (place.live / "store.db").open("r+b") as file:
        file.seek(500_000)
        file.write(b"overwritten")
    write_key(place.live, "moved on")
    (place.live / "creds.json").write_text("{torn")
    broken = tree(place.live)
    with pytest.MonkeyPatch.context() as crash:
        crash.setattr(room, at, _crash)
        with pytest.raises(Crash):
            manager.restore(ID)
    return wanted, broken


def test_a_bot_that_went_on_is_put_aside_whole(place: Place) -> None:
    """Its database beside the snapshot's keys would have passed for a session."""
    wanted, broken = _cut_short(place, "_make_of_old")
    with (place.live / "store.db").open("r+b") as file:
        file.write(b"SQLite format 3 by hand")
    write_key(place.live, "by hand")
    made = tree(place.live)
    manager = place.manager()
    assert manager.restore(ID).action == "kept"
    assert tree(place.live) == wanted
    first, second = [held["name"] for held in manager.info(ID)["quarantine"]]
    assert (aside(place, first), aside(place, second)) == (broken, made)
    assert moved_whole(place) == [second]
    assert manager.record(ID).rollback_count == 1


@pytest.mark.parametrize("path", ["keys/two", "new.json", "keys/one"])
def test_one_file_is_enough(place: Place, path: str) -> None:
    """Of those that the restore leaves as they are, a new one, or one that is still to come."""
    wanted, _broken = _cut_short(place, "_make_of_old")
    (place.live / path).write_text("by hand")
    place.manager().restore(ID)
    assert tree(place.live) == wanted
    (name,) = moved_whole(place)
    assert aside(place, name)[path] == b"by hand"


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES])
def test_what_cant_be_read_since_is_put_aside(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """No restore that was begun may be impossible to end."""
    # As if all were as young as some are: each has to be read.
    monkeypatch.setattr("supervisor.session.copying.capture.YOUNG_FINE_NS", 2 * 10**9)
    wanted, _broken = _cut_short(place, "_make_of_old")
    write_key(place.live, "by hand")
    made = tree(place.live)
    unopened(monkeypatch, lambda path: path.startswith(f"{place.live}/keys/"), error)
    place.manager().recover(ID)
    monkeypatch.undo()
    assert tree(place.live) == wanted
    (name,) = moved_whole(place)
    assert aside(place, name) == made


@pytest.mark.parametrize("at", ["_sync_parents", "_make_of_old", "_write_over"])
def test_with_nobody_in_between_no_folder_is_moved(place: Place, at: str) -> None:
    """Copied from a disk, too, where each file looks another: its bytes are the old ones."""
    wanted, broken = _cut_short(place, at)
    for path in place.live.rglob("*"):
        os.utime(path)
    manager = place.manager()
    manager.restore(ID)
    assert tree(place.live) == wanted
    assert not moved_whole(place)
    (held,) = manager.info(ID)["quarantine"]
    assert aside(place, held["name"]) == broken


def test_who_went_on_with_what_was_restored_keeps_it(place: Place) -> None:
    """All was done but the end of the intent: what the bot wrote since is newer, and whole."""
    _cut_short(place, "remove_intent", swap)
    write_key(place.live, "moved on since")
    newer = tree(place.live)
    manager = place.manager()
    assert manager.restore(ID).action == "kept"
    assert tree(place.live) == newer
    assert manager.record(ID).rollback_count == 1


def test_what_is_staged_is_placed_where_the_snapshot_is_lost_since(place: Place) -> None:
    """It may be all there is of it; what was made by hand is in quarantine first."""
    wanted, _broken = _cut_short(place, "_make_of_old")
    write_key(place.live, "by hand")
    made = tree(place.live)
    pack = min((place.store / "packs").iterdir())
    flip(pack, pack.stat().st_size // 2)
    manager = place.manager()
    manager.recover(ID)
    assert tree(place.live) == wanted
    (name,) = moved_whole(place)
    assert aside(place, name) == made


def test_nothing_is_overtaken_where_nothing_lives(place: Place) -> None:
    """Somebody removed the session, and what was put aside of it: the rest is placed."""
    wanted, _broken = _cut_short(place, "_make_of_old")
    shutil.rmtree(place.live)
    for path in (place.store / "quarantine").glob("*.json"):
        path.unlink()
    place.manager().recover(ID)
    assert tree(place.live).items() <= wanted.items()
    place.manager().restore(ID)
    assert tree(place.live) == wanted


def test_a_crash_while_the_whole_one_is_built_is_finished(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was staged stays until the other intent is on the disk, and no half folder is left."""
    wanted, _broken = _cut_short(place, "_make_of_old")
    write_key(place.live, "by hand")
    made = tree(place.live)
    really = swap.write_intent
    for before in (True, False):

        def crash(*args: Any, before: bool = before) -> None:
            if not before:
                really(*args)
            raise Crash

        with monkeypatch.context() as patch:
            patch.setattr(swap, "write_intent", crash)
            with pytest.raises(Crash):
                place.manager().recover(ID)
        assert tree(place.live) == made
    place.manager().recover(ID)
    assert tree(place.live) == wanted
    (name,) = moved_whole(place)
    assert aside(place, name) == made
    place.manager().recover(ID)
    left = {path.name for path in place.live.parent.iterdir()} - {Path(place.live).name}
    assert all(name.endswith(".lock") for name in left)
