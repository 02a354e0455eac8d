"""A seal that waits for its verdict is no witness for what it holds itself."""

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot
from tests.unit.session.sessionkit import ID, Place


def sealed(manager: SessionManager) -> Snapshot:
    """Copy the session at rest, as after a stop; it is judged later."""
    capture = manager.capture(ID, reason="sealed", generation=1, hot=False)
    return manager.commit(capture, validate=False)


@pytest.mark.parametrize("length", [6, 300_000])
def test_a_file_torn_by_the_stop_is_damage_also_before_its_seal_is_judged(
    place: Place, length: int
) -> None:
    """It held JSON in the newest good snapshot: the torn copy of it tells nothing else."""
    manager = place.linked()
    path = place.live / "chats.json"
    whole = f'{{"a": "{"x" * length}"}}'
    path.write_text(whole)
    assert manager.backup(ID).verdict == "good"
    path.write_text(whole[:-3])
    assert manager.check(ID).verdict == "damaged"
    assert sealed(manager).verdict == "pending"
    assert manager.check(ID).verdict == "damaged"
    assert manager.restore(ID).action == "restored"
    assert path.read_text() == whole


def test_what_never_held_json_is_still_the_bots_own_affair(place: Place) -> None:
    """A name alone promises nothing, whatever waits for its verdict."""
    manager = place.linked()
    path = place.live / "log.json"
    path.write_text("no JSON at all")
    assert manager.backup(ID).verdict == "good"
    path.write_text("none either")
    assert sealed(manager).verdict == "pending"
    assert manager.check(ID).verdict == "passed"
