"""A sealed snapshot says itself that it is the session at rest, until somebody gets the seat."""

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot
from tests.unit.session.sessionkit import ID, Place, write_key


def _run_once(manager: SessionManager, place: Place, text: str) -> Snapshot:
    """Let a generation write `text` and end, and seal what it left."""
    generation = manager.next_generation(ID)
    manager.set_seat(ID, generation)
    write_key(place.live, text)
    manager.set_seat(ID, None)
    return _seal(manager, generation)


def _seal(manager: SessionManager, generation: int) -> Snapshot:
    return manager.commit(
        manager.capture(ID, reason="sealed", generation=generation, hot=False), "identity"
    )


def test_a_seal_is_in_its_manifest_alone(place: Place) -> None:
    """Nothing else is written for it, and another process sees it all the same."""
    manager = place.linked()
    generation = manager.next_generation(ID)
    manager.set_seat(ID, generation)
    write_key(place.live, "written")
    manager.set_seat(ID, None)
    before = place.state.read_bytes()
    sealed = _seal(manager, generation)
    assert place.state.read_bytes() == before
    assert place.manager().record(ID).sealed == sealed.seq


def test_who_gets_the_seat_breaks_the_seal(place: Place) -> None:
    """Whatever the manifest says: the count of those who had the seat has moved on."""
    manager = place.linked()
    _run_once(manager, place, "one")
    manager.set_seat(ID, manager.next_generation(ID))
    assert place.manager().record(ID).sealed is None


def test_what_did_not_change_is_sealed_as_the_snapshot_that_is_there(place: Place) -> None:
    """A generation that wrote nothing leaves the session that the last one left."""
    manager = place.linked()
    sealed = _run_once(manager, place, "one")
    again = _run_once(manager, place, "one")
    assert again.seq == sealed.seq
    assert place.manager().record(ID).sealed == sealed.seq


def test_a_state_file_of_the_past_brings_no_seal_back(place: Place) -> None:
    """It counts fewer seats than the newest seal knows: then nobody can tell."""
    manager = place.linked()
    _run_once(manager, place, "one")
    past = place.state.read_bytes()
    newest = _run_once(manager, place, "two")
    place.state.write_bytes(past)
    record = place.manager().record(ID)
    assert record.sealed != newest.seq
    manager.set_seat(ID, manager.next_generation(ID))
    assert place.manager().record(ID).sealed is None


@pytest.mark.parametrize("generations", [1, 2, 3])
def test_a_lost_state_file_brings_no_seal_back(place: Place, generations: int) -> None:
    """Not at once, and not when the seats are counted from the beginning again."""
    manager = place.linked()
    for number in range(generations):
        _run_once(manager, place, f"key {number}")
    place.state.unlink()
    for _ in range(5):
        assert place.manager().record(ID).sealed is None
        manager.set_seat(ID, manager.next_generation(ID))
        manager.set_seat(ID, None)


def test_a_restore_breaks_the_seal_of_what_was_there(place: Place) -> None:
    """The session at rest is then the one that came back."""
    manager = place.linked()
    older = _run_once(manager, place, "one")
    newer = _run_once(manager, place, "two")
    manager.restore(ID, older.id)
    assert place.manager().record(ID).sealed == older.seq
    manager.restore(ID, newer.id)
    assert place.manager().record(ID).sealed == newer.seq
