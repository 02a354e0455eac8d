"""An older snapshot that a person brought back stays: what is newer is no measure for it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.core.policy import Keep
from supervisor.session.manager import SessionManager
from tests.unit.session.leveldbkit import Set
from tests.unit.session.sessionkit import ID, Place, fill, tree, write_key

Change = Callable[[Path], object]


def _records(*more: bytes) -> Change:
    return lambda live: Set(records=[b"b" * 30, b"d" * 900, *more]).write(live / "state")


def _later(data: bytes) -> Change:
    def change(live: Path) -> None:
        (live / "later.json").write_bytes(data)

    return change


# What is damage beside the second one: a log that got shorter, a file that is empty.
PAIRS = {
    "a log that grew": (_records(), _records(b"e" * 500)),
    "a file that was filled": (_later(b""), _later(b"{}")),
}


@pytest.fixture(params=list(PAIRS.values()), ids=list(PAIRS))
def gone_back(request: pytest.FixtureRequest, place: Place) -> SessionManager:
    """Return a manager of a session with two good snapshots, gone back to the first."""
    first, second = request.param
    fill(place.live)
    first(place.live)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    was = tree(place.live)
    second(place.live)
    assert manager.backup(ID).verdict == "good"
    manager.restore_from_backup(ID, "1")
    assert tree(place.live) == was
    return manager


def _ran(manager: SessionManager) -> int:
    """Let a bot have run, which wrote nothing of all that."""
    generation = manager.next_generation(ID)
    manager.set_seat(ID, generation)
    manager.set_seat(ID, None)
    return generation


def test_it_passes_the_next_check(gone_back: SessionManager, place: Place) -> None:
    """Of another process, too, which keeps it as it is."""
    was = tree(place.live)
    for manager in (gone_back, place.manager(owned=True)):
        assert manager.check(ID, full=False).verdict == "passed"
        assert manager.restore(ID).action == "kept"
    assert tree(place.live) == was


def test_it_passes_after_a_bot_ran_with_it(gone_back: SessionManager, place: Place) -> None:
    """A crash leaves no seal: the next start compares with what was brought back as well."""
    _ran(gone_back)
    write_key(place.live, "written")
    assert gone_back.restore(ID).action == "kept"


def test_its_next_snapshot_is_good(gone_back: SessionManager, place: Place) -> None:
    """It goes on from what was brought back, and is the measure from then on."""
    sealed = gone_back.commit(
        gone_back.capture(ID, reason="sealed", generation=_ran(gone_back), hot=False)
    )
    assert (sealed.seq > 2, sealed.verdict) == (True, "good")
    assert gone_back.restore(ID).action == "kept"
    (place.live / "creds.json").unlink()
    restored = gone_back.restore(ID).snapshot
    assert restored is not None
    assert restored.seq == sealed.seq


def test_its_damage_is_seen_and_it_comes_again(gone_back: SessionManager, place: Place) -> None:
    """The person has chosen: the one that was gone back from does not come unasked."""
    was = tree(place.live)
    os.truncate(place.live / "store.db", 4096)
    assert gone_back.check(ID).verdict == "damaged"
    restored = gone_back.restore(ID).snapshot
    assert restored is not None
    assert restored.seq == 1
    assert tree(place.live) == was


def test_what_was_gone_back_from_can_come_again(gone_back: SessionManager, place: Place) -> None:
    """And is the measure of what is live then."""
    gone_back.restore_from_backup(ID, "2")
    assert gone_back.check(ID).verdict == "passed"
    os.truncate(place.live / "store.db", 4096)
    restored = gone_back.restore(ID).snapshot
    assert restored is not None
    assert restored.seq == 2


def test_the_one_that_was_chosen_stays(gone_back: SessionManager, place: Place) -> None:
    """However many come after it, while none of them is good."""
    gone_back.keep = Keep(last=1, hourly=0, daily=0)
    for number in range(3):
        write_key(place.live, f"key {number}")
        capture = gone_back.capture(
            ID, reason="periodic", generation=_ran(gone_back), hot=True, frozen=False
        )
        assert gone_back.commit(capture).verdict == "fuzzy"
    gone_back.cleanup_old_backups(ID)
    assert 1 in [snapshot.seq for snapshot in gone_back.snapshots(ID)]
