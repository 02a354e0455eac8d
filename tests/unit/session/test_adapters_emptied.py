"""An emptied or overwritten file is damage, until the bot has shown that it does without it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import ID, Place, write_key

Spoil = Callable[[Path], None]


def empty(path: Path) -> None:
    """Leave no byte of it."""
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """Let it begin with other bytes than a database or JSON does."""
    with path.open("r+b") as file:
        file.write(bytes(16))


def fill_again(path: Path) -> None:
    """Write a database in its place."""
    path.write_bytes((path.parent / "store.db").read_bytes())


CASES = [
    ("extra.db", empty),
    ("extra.json", empty),
    ("extra.db", overwrite),
    ("extra.json", overwrite),
    ("large.json", overwrite),
]


def prepared(place: Place) -> SessionManager:
    """Return a manager of a session with a good snapshot in which all files have bytes."""
    manager = place.linked()
    (place.live / "extra.db").write_bytes((place.live / "store.db").read_bytes())
    (place.live / "extra.json").write_text('{"a": "and some more"}')
    (place.live / "large.json").write_text(json.dumps({"a": "more" * (3 << 19)}))
    assert manager.backup(ID, "filled").verdict == "good"
    return manager


def run(
    place: Place,
    manager: SessionManager,
    name: str,
    spoil: Spoil = empty,
    proof: str = "identity",
) -> str:
    """Let a generation run, be verified if it has a `proof`, and spoil the file; seal it.

    Returns the verdict of the seal.
    """
    generation = manager.next_generation(ID)
    manager.set_seat(ID, generation)
    if proof:
        manager.note_verified(ID, "1:aa", proof, 0.1)
    write_key(place.live, f"generation {generation}")
    spoil(place.live / name)
    capture = manager.capture(ID, reason="seal", generation=generation, hot=False)
    verdict = manager.commit(capture, proof).verdict
    manager.set_seat(ID, None)
    return verdict


@pytest.mark.parametrize(("name", "spoil"), CASES)
def test_what_is_so_for_good_is_not_bad_for_ever(place: Place, name: str, spoil: Spoil) -> None:
    """Damage and a restore the first time, a doubt the second, and then it is the bot's own way."""
    manager = prepared(place)
    whole = (place.live / name).read_bytes()
    assert run(place, manager, name, spoil) == "bad"
    assert manager.restore(ID).action == "restored"
    assert (place.live / name).read_bytes() == whole
    assert run(place, manager, name, spoil) == "fuzzy"
    assert manager.restore(ID).action == "kept", "what ran verified is started as it is"
    assert run(place, manager, name, spoil) == "good"
    assert run(place, manager, name, spoil) == "good"


def test_a_damaged_copy_is_no_measure_before_it_has_its_verdict(place: Place) -> None:
    """The seal is committed before the start's check, and judged after it."""
    manager = prepared(place)
    manager.set_seat(ID, manager.next_generation(ID))
    overwrite(place.live / "extra.db")
    manager.set_seat(ID, None)
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    seal = manager.commit(capture, "roundtrip", validate=False)
    assert manager.restore(ID).action == "restored"
    assert manager.validate(ID, seal.id).verdict == "bad"
    assert manager.check(ID).verdict == "passed"


def test_a_file_that_grows_by_lines_of_json_is_whole(place: Place) -> None:
    """It is called .json, and was JSON as long as it had one line. Half a line is none."""
    manager = place.linked()
    events = place.live / "events.json"
    events.write_text('{"event": 1}\n')
    assert manager.backup(ID).verdict == "good"
    events.write_text('{"event": 1}\n{"event": 2}\n')
    assert manager.check(ID).verdict == "passed"
    assert manager.backup(ID).verdict == "good"
    events.write_text('{"event": 1}\n{"eve')
    assert manager.check(ID).verdict == "damaged"


@pytest.mark.parametrize(("name", "spoil"), CASES)
def test_without_a_verified_device_it_stays_damage(place: Place, name: str, spoil: Spoil) -> None:
    """A full disk empties a file twice as well: only the device tells."""
    manager = prepared(place)
    for _ in range(3):
        assert run(place, manager, name, spoil, proof="") == "bad"
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


@pytest.mark.parametrize("spoil", [empty, overwrite])
def test_a_file_that_the_kind_needs_is_never_given_up(place: Place, spoil: Spoil) -> None:
    """Whatever was verified meanwhile."""
    manager = prepared(place)
    for _ in range(3):
        assert run(place, manager, "store.db", spoil) == "bad"
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


@pytest.mark.parametrize(("name", "spoil"), CASES)
def test_a_copy_of_a_running_bot_is_not_what_the_next_one_starts_with(
    place: Place, name: str, spoil: Spoil
) -> None:
    """It caught the bot as it wrote the file anew; what is found after the next one is damage."""
    manager = prepared(place)
    whole = (place.live / name).read_bytes()
    generation = manager.next_generation(ID)
    manager.set_seat(ID, generation)
    manager.note_verified(ID, "1:aa", "identity", 0.1)
    spoil(place.live / name)
    capture = manager.capture(ID, reason="periodic", generation=generation, hot=True)
    assert manager.commit(capture, "identity").verdict == "bad"
    (place.live / name).write_bytes(whole)
    capture = manager.capture(ID, reason="seal", generation=generation, hot=False)
    assert manager.commit(capture, "identity").verdict == "good"
    assert run(place, manager, name, spoil) == "bad"


def test_a_file_that_was_filled_in_between_is_doubted_again(place: Place) -> None:
    """Nothing was brought back, but no generation started with it empty."""
    manager = prepared(place)
    assert run(place, manager, "extra.db") == "bad"
    for spoil, verdict in ((fill_again, "good"), (empty, "fuzzy")):
        assert run(place, manager, "extra.db", spoil) == verdict


def test_what_can_not_be_read_back_any_more_proves_nothing(place: Place) -> None:
    """A copy whose bytes are damaged was no JSON that the bot had made something else of."""
    manager = prepared(place)
    assert run(place, manager, "extra.json", fill_again) == "bad"
    assert manager.restore(ID).action == "restored"
    seal = next(s for s in reversed(manager.snapshots(ID)) if s.verdict == "bad")
    [pack] = (place.store / "packs").glob(f"*.{seal.seq:06}.*")
    pack.write_bytes(bytes(pack.stat().st_size))
    assert run(place, manager, "extra.json", overwrite) == "bad"
