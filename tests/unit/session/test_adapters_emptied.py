"""An emptied file is damage, until the bot has shown that it does without it."""

import os

import pytest

from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import ID, Place, write_key

NAMES = ["extra.db", "extra.json"]


def prepared(place: Place) -> SessionManager:
    """Return a manager of a session with a good snapshot in which both files have bytes."""
    manager = place.linked()
    (place.live / "extra.db").write_bytes((place.live / "store.db").read_bytes())
    (place.live / "extra.json").write_text('{"a": 1}')
    assert manager.backup(ID, "filled").verdict == "good"
    return manager


def run(place: Place, manager: SessionManager, name: str, proof: str = "identity") -> str:
    """Let a generation run, be verified if it has a `proof`, and empty the file; seal it.

    Returns the verdict of the seal.
    """
    generation = manager.next_generation(ID)
    manager.set_seat(ID, generation)
    if proof:
        manager.note_verified(ID, "1:aa", proof, 0.1)
    write_key(place.live, f"generation {generation}")
    os.truncate(place.live / name, 0)
    capture = manager.capture(ID, reason="seal", generation=generation, hot=False)
    verdict = manager.commit(capture, proof).verdict
    manager.set_seat(ID, None)
    return verdict


@pytest.mark.parametrize("name", NAMES)
def test_emptied_for_good_is_not_bad_for_ever(place: Place, name: str) -> None:
    """Damage and a restore the first time, a doubt the second, and then it is the bot's own way."""
    manager = prepared(place)
    assert run(place, manager, name) == "bad"
    assert manager.restore(ID).action == "restored"
    assert (place.live / name).stat().st_size
    assert run(place, manager, name) == "fuzzy"
    assert manager.restore(ID).action == "kept", "what ran verified is started as it is"
    assert run(place, manager, name) == "good"
    assert run(place, manager, name) == "good"


@pytest.mark.parametrize("name", NAMES)
def test_without_a_verified_device_it_stays_damage(place: Place, name: str) -> None:
    """A full disk empties a file twice as well: only the device tells."""
    manager = prepared(place)
    for _ in range(3):
        assert run(place, manager, name, proof="") == "bad"
        assert manager.restore(ID).action == "restored"


def test_the_generation_that_emptied_it_proves_nothing_of_it(place: Place) -> None:
    """It was verified when the file still had its bytes."""
    manager = prepared(place)
    generation = manager.next_generation(ID)
    manager.set_seat(ID, generation)
    manager.note_verified(ID, "1:aa", "roundtrip", 0.1)
    os.truncate(place.live / "extra.db", 0)
    for text in ("periodic", "stop", "seal"):
        write_key(place.live, text)
        capture = manager.capture(ID, reason=text, generation=generation, hot=text != "seal")
        assert manager.commit(capture, "roundtrip").verdict == "bad"


def test_a_file_that_the_kind_needs_is_never_given_up(place: Place) -> None:
    """Whatever was verified meanwhile."""
    manager = prepared(place)
    for _ in range(3):
        assert run(place, manager, "store.db") == "bad"
        assert manager.restore(ID).action == "restored"


def test_a_doubted_copy_displaces_no_good_one(place: Place) -> None:
    """The good one with the file in it stays the one to restore."""
    manager = prepared(place)
    good = manager.snapshots(ID)[-1]
    run(place, manager, "extra.db")
    manager.restore(ID)
    assert run(place, manager, "extra.db") == "fuzzy"
    restored = manager.restore_from_backup(ID).snapshot
    assert restored is not None
    assert restored.id == good.id
