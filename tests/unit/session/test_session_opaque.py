"""Of a kind that nobody knows: what an accident alone does to a file at rest is damage."""

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import ID, Place

KEY = "0123456789abcdef" * 4
BINARY = bytes(range(256)) * 3
LINES = "alice\nbob\ncarol\n"


def sealed(place: Place) -> SessionManager:
    """Return the manager of a linked session whose bot has stopped in good order."""
    place.live.mkdir(parents=True)
    (place.live / "device.key").write_text(KEY)
    (place.live / "state.bin").write_bytes(BINARY)
    (place.live / "allowed.txt").write_text(LINES)
    manager = place.manager()
    manager.note_linked(ID, None)
    capture = manager.capture(ID, reason="sealed", generation=0, hot=False)
    assert manager.commit(capture).verdict == "good"
    assert manager.check(ID).verdict == "passed"
    return manager


def halve(path: Path) -> None:
    """Cut it, as a full disk does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    """Put other bytes in its place."""
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize(
    ("name", "do", "said"),
    [
        ("device.key", halve, "device.key is torn: 32 bytes instead of 64"),
        ("state.bin", halve, "state.bin is torn: 384 bytes instead of 768"),
        ("allowed.txt", halve, "allowed.txt is torn: 8 bytes instead of 16"),
        ("device.key", spoil, "device.key was overwritten: it was text, and is none any more"),
    ],
)
def test_what_only_an_accident_does_is_damage(
    place: Place, name: str, do: Callable[[Path], None], said: str, *, quick: bool
) -> None:
    """A bot in another language would start with half a key: it comes back byte for byte."""
    manager = sealed(place)
    before = (place.live / name).read_bytes()
    do(place.live / name)
    check = manager.check(ID, quick=quick)
    assert (check.verdict, check.why) == ("damaged", said)
    assert manager.restore(ID).action == "restored"
    assert (place.live / name).read_bytes() == before


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("allowed.txt", b"alice\nbob\n"),
        ("allowed.txt", b"alice\nbob"),
        ("allowed.txt", LINES.encode() + b"dave\n"),
        ("device.key", b"another key, put there by hand"),
        ("state.bin", bytes(768)),
    ],
)
def test_what_a_person_may_have_done_is_none(place: Place, name: str, data: bytes) -> None:
    """Whole lines taken out, another text, other bytes of what was never text."""
    manager = sealed(place)
    (place.live / name).write_bytes(data)
    assert manager.check(ID).verdict == "passed"


def test_what_a_bot_did_since_is_none(place: Place) -> None:
    """It may write what it wants: only what changed while nobody ran is an accident's."""
    manager = sealed(place)
    manager.set_seat(ID, manager.next_generation(ID))
    halve(place.live / "device.key")
    assert manager.check(ID).verdict == "passed"
