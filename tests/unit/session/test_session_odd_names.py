"""Names are any bytes, links are kept and not followed, and what lies there may change its kind."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.model import Snapshot
from tests.unit.session.oddkit import round_trip
from tests.unit.session.sessionkit import ID, Place, aside, fill, tree, write_key

NAMES = {
    "no UTF-8": b"\xff\xfe\x80.json",
    "a newline": b"two\nlines.db",
    "255 bytes": b"n" * 255,
    "255 bytes, no UTF-8": b"\xe4" * 255,
    "spaces": b" begins and ends ",
    "a glob": b"[*]?.json",
    "quotes": b"'\"%41#?&.db",
    "a surrogate's bytes": b"\xed\xa0\x80",
    "a dash": b"-rf",
}


@pytest.mark.parametrize("database", [True, False])
@pytest.mark.parametrize("what", NAMES)
def test_a_name_is_any_bytes(place: Place, what: str, *, database: bool) -> None:
    """Also where the file is a database, or JSON, that is opened to validate it."""
    manager = place.linked()
    folder = place.live / "odd"
    folder.mkdir()
    content = (place.live / "store.db").read_bytes() if database else b'{"a": 1}'
    (folder / os.fsdecode(NAMES[what])).write_bytes(content)
    before = tree(place.live)
    assert round_trip(place, manager).verdict == "good"
    assert tree(place.live) == before


def test_links_are_kept_and_never_followed(place: Place, tmp_path: Path) -> None:
    """Inside, to nowhere, outside, to a folder, to itself, in a ring, of 1,000 bytes."""
    manager = place.linked()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not ours")
    targets = {
        "inside": "keys/one",
        "dangling": "nowhere",
        "out-file": str(outside / "secret"),
        "out-folder": str(outside),
        "up": "../..",
        "itself": "itself",
        "ring-a": "ring-b",
        "ring-b": "ring-a",
        "long": "x" * 1000,
        "odd": os.fsdecode(b"\xff\n"),
        "link.json": "keys/one",
        "link.db": "store.db",
    }
    for name, target in targets.items():
        (place.live / name).symlink_to(target)
    before = tree(place.live)
    assert round_trip(place, manager).verdict == "good"
    assert tree(place.live) == before
    assert (outside / "secret").read_text() == "not ours"


@pytest.mark.parametrize("name", ["creds.json", "store.db"])
def test_a_required_file_that_became_a_link_is_damage(place: Place, name: str) -> None:
    """What it points to is no part of the session, and would not come back with it."""
    manager = place.linked()
    (place.live / name).rename(place.root / name)
    (place.live / name).symlink_to(place.root / name)
    assert name in manager.check(ID).why
    assert manager.backup(ID).verdict == "bad"


def test_a_session_folder_that_is_a_ring_of_links_is_refused_in_words(place: Place) -> None:
    """By every command, with our own error and no other."""
    manager = place.linked()
    shutil.rmtree(place.live)
    place.live.symlink_to(place.live.name)
    for command in (manager.backup, manager.check, manager.restore_from_backup, manager.info):
        with pytest.raises((SupervisorError, OSError)):
            command(ID)


def test_a_session_folder_may_be_a_link(place: Place, tmp_path: Path) -> None:
    """What it points to is the session, and the link stays."""
    fill(tmp_path / "elsewhere")
    place.live.parent.mkdir(parents=True)
    place.live.symlink_to(tmp_path / "elsewhere")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    before = tree(tmp_path / "elsewhere")
    write_key(place.live, "other")
    assert manager.restore_from_backup(ID).action == "restored"
    assert tree(tmp_path / "elsewhere") == before
    assert place.live.is_symlink()


def test_a_folder_becomes_a_file_and_a_folder_again(place: Place) -> None:
    """Each snapshot has what there was, and comes back over what there is."""
    manager = place.linked()
    thing = place.live / "thing"
    states: list[tuple[Snapshot, Any]] = []
    for state in ("folder", "file", "link", "folder"):
        if thing.is_symlink() or thing.is_file():
            thing.unlink()
        elif thing.exists():
            shutil.rmtree(thing)
        if state == "folder":
            thing.mkdir()
            (thing / "inside").write_text(f"{len(states)}")
        elif state == "file":
            thing.write_text("a file now")
        else:
            thing.symlink_to("keys")
        states.append((manager.backup(ID), tree(place.live)))
    for snapshot, content in states:
        assert snapshot.verdict == "good"
        assert manager.restore_from_backup(ID, snapshot.id).action == "restored"
        assert tree(place.live) == content


def test_what_is_only_called_like_shared_memory_is_kept(place: Place) -> None:
    """SQLite's is a plain file beside its database; all else of that name is the bot's own."""
    fill(place.live)
    (place.live / "alice-shm").mkdir()
    (place.live / "alice-shm" / "identity.key").write_bytes(b"a key")
    (place.live / "bob-shm").write_bytes(b"a key")
    wanted = tree(place.live)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    (place.live / "store.db-shm").write_bytes(b"made anew")
    assert round_trip(place, manager).verdict == "good"
    assert tree(place.live) == wanted
    (place.live / "bob-shm").write_bytes(b"another key")
    broken = tree(place.live)
    held = manager.restore_from_backup(ID).quarantined
    assert tree(place.live) == wanted
    assert held is not None
    assert aside(place, held) == broken
