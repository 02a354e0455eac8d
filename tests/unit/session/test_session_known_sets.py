"""What a session was tells what it lacks: a LevelDB without its heads, a kind that was not known.

Two of three names make a LevelDB; one that lost both of its heads is known by the last snapshot.
"""

import json
from pathlib import Path

import pytest

from supervisor.session.proof.kinds.generic import GENERIC
from supervisor.session.proof.kinds.model import Profile
from tests.unit.session.leveldbkit import Set
from tests.unit.session.sessionkit import ID, Place

LOST = [("CURRENT", "MANIFEST-000002"), ("MANIFEST-000002", "000009.ldb", "000008.log")]


def _without(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (folder / name).unlink()


@pytest.mark.parametrize("lost", LOST)
def test_a_leveldb_that_lost_its_heads_is_damaged(place: Place, lost: tuple[str, ...]) -> None:
    """The quick check sees it, and the snapshot brings it back."""
    manager = place.linked()
    folder = Set().write(place.live / "state")
    assert manager.backup(ID).verdict == "good"
    _without(folder, lost)
    check = place.manager().check(ID, quick=True)
    assert check.verdict == "damaged"
    assert "state/CURRENT" in check.why
    assert place.manager().restore(ID).action == "restored"
    assert all((folder / name).is_file() for name in lost)


@pytest.mark.parametrize("lost", LOST)
def test_a_copy_of_one_that_lost_its_heads_is_bad(place: Place, lost: tuple[str, ...]) -> None:
    """Also for a process that knows nothing but what is stored."""
    manager = place.linked()
    folder = Set().write(place.live / "state")
    assert manager.backup(ID).verdict == "good"
    _without(folder, lost)
    snapshot = place.manager().backup(ID)
    assert snapshot.verdict == "bad"
    assert "LevelDB" in snapshot.why


def test_a_leveldb_that_is_gone_whole_was_removed(place: Place) -> None:
    """A bot may do without it: nobody tears out all of it by accident."""
    manager = place.linked()
    folder = Set().write(place.live / "state")
    assert manager.backup(ID).verdict == "good"
    _without(folder, ("CURRENT", "MANIFEST-000002", "000009.ldb", "000008.log"))
    manager.set_seat(ID, 1)
    assert place.manager().check(ID, quick=True).verdict == "passed"
    assert place.manager().backup(ID).verdict == "good"


def test_another_kind_of_session_is_looked_through_whole(place: Place) -> None:
    """What is the same as in a good snapshot was opened as the old kind asked, and no further."""
    place.live.mkdir(parents=True)
    (place.live / "auth.bin").write_bytes(b"key")
    (place.live / "creds.conf").write_text(json.dumps({"me": "a"}))
    manager = place.manager(profile=GENERIC)
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    (place.live / "auth.bin").write_bytes(b"another")
    strict = Profile(name="strict", formats=(("creds.conf", "json me key"),))
    snapshot = place.manager(profile=strict).backup(ID)
    assert (snapshot.verdict, snapshot.why) == ("bad", "creds.conf lacks key")
