"""What comes back, or why nothing does: the choice among the snapshots of a link."""

import os

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from tests.unit.session.diskkit import failing_reads
from tests.unit.session.sessionkit import ID, Place, tree


def proved(manager: SessionManager, generation: int, *, proof: str = "roundtrip") -> None:
    """Let a generation have the seat, and prove its device."""
    manager.set_seat(ID, generation)
    manager.note_verified(ID, "1:aa", proof, 1.0)
    manager.mark_proof(ID, generation, proof)


def sealed_empty(place: Place) -> SessionManager:
    """Empty the database under a proved generation, whose seal is taken after that."""
    manager = place.linked()
    proved(manager, 7)
    os.truncate(place.live / "store.db", 0)
    manager.set_seat(ID, None)
    seal = manager.commit(
        manager.capture(ID, reason="sealed", generation=7, hot=False), "roundtrip"
    )
    assert (seal.verdict, seal.proof) == ("bad", "roundtrip")
    assert seal.why == place.manager().check(ID).why
    return manager


def test_an_emptied_database_is_no_flaw_that_a_device_lived_with(place: Place) -> None:
    """Its seal has the proof of before, and the good snapshot is damaged: no bot starts on it."""
    sealed_empty(place)
    (place.store / "packs" / place.packs()[0]).write_bytes(b"damaged")
    with pytest.raises(SupervisorError):
        place.manager().restore(ID)
    assert (place.live / "store.db").stat().st_size == 0


def test_what_can_not_be_read_now_is_waited_for_before_a_flaw_is_accepted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good snapshot may be read the next time."""
    sealed_empty(place)
    first = place.packs()[0]
    with monkeypatch.context() as patch:
        failing_reads(patch, lambda path: path.name == first)
        with pytest.raises(SupervisorError, match="can't be restored now") as told:
            place.manager().restore(ID)
        assert not isinstance(told.value, NothingToRestore)
    restored = place.manager().restore(ID)
    assert restored.snapshot is not None
    assert restored.snapshot.seq == 1
    assert tree(place.live)["store.db"]
