"""A large file of which little differs: only that is written, and never a mixture is left."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.restoring import inplace, moving
from tests.unit.session.sessionkit import ID, Place, aside, moved_whole, tree

SIZE = 2 << 20


def linked(place: Place) -> SessionManager:
    """Return a manager of a linked session with a large file, in a good snapshot."""
    manager = place.linked()
    (place.live / "large").write_bytes(os.urandom(SIZE + 77))
    assert manager.backup(ID).verdict == "good"
    return manager


def overwrite(path: Path, at: int = 900_000, length: int = 5000) -> None:
    """Write over a part of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(length))


def grow(path: Path) -> None:
    """Overwrite a part, and write beyond the end."""
    overwrite(path)
    overwrite(path, SIZE + 60, 100_000)


@pytest.mark.parametrize("damage", [overwrite, grow], ids=["overwritten", "longer"])
def test_only_what_differs_is_written(place: Place, damage: Callable[[Path], None]) -> None:
    """The file stays where it is, with the bytes and times it had; the old bytes are kept."""
    manager = linked(place)
    wanted, large = tree(place.live), place.live / "large"
    before = large.stat()
    damage(large)
    broken = tree(place.live)
    quarantined = manager.restore_from_backup(ID).quarantined
    assert quarantined is not None
    assert tree(place.live) == wanted
    after = large.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not moved_whole(place)
    assert aside(place, quarantined) == broken
    assert not list(place.live.parent.glob(".session-*.new"))


def _other_name(place: Place) -> None:
    (place.root / "twin").hardlink_to(place.live / "large")


def _much(place: Place) -> None:
    overwrite(place.live / "large", 0, SIZE // 3)


def _shorter(place: Place) -> None:
    os.truncate(place.live / "large", SIZE)


@pytest.mark.parametrize("reason", [_other_name, _much, _shorter])
def test_else_a_new_file_comes(place: Place, reason: Callable[[Place], None]) -> None:
    """Where it has another name too, or most of it would be written, or it would have to grow."""
    manager = linked(place)
    wanted, large = tree(place.live), place.live / "large"
    inode = large.stat().st_ino
    overwrite(large)
    reason(place)
    broken = large.read_bytes()
    manager.restore_from_backup(ID)
    assert tree(place.live) == wanted
    assert large.stat().st_ino != inode
    if reason is _other_name:
        assert (place.root / "twin").read_bytes() == broken


def fail(*_args: object) -> None:
    """Stand for a power cut."""
    raise OSError(5, "the power is gone")


def test_what_somebody_wrote_after_a_crash_is_not_written_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It crashed before the old file was moved away, and a bot was started by hand."""
    manager = linked(place)
    wanted, large = tree(place.live), place.live / "large"
    overwrite(large)
    with monkeypatch.context() as patch:
        patch.setattr(moving, "move_entry", fail)
        with pytest.raises(SupervisorError, match="the power is gone"):
            manager.restore_from_backup(ID)
    overwrite(large, 40_000)
    theirs = large.read_bytes()
    with place.manager().owning(ID):
        pass
    (held,) = moved_whole(place)
    assert aside(place, held)["large"] == theirs
    assert tree(place.live) == wanted
    assert not list(place.store.glob(".intent*"))


@pytest.mark.parametrize("step", ["_write_over", "_sync_parents"])
def test_what_somebody_put_there_after_a_crash_makes_no_mixture(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It crashed after the old file was moved away; what comes is the snapshot's, whole."""
    manager = linked(place)
    wanted, large = tree(place.live), place.live / "large"
    overwrite(large)
    with monkeypatch.context() as patch:
        patch.setattr(inplace, step, fail)
        with pytest.raises(SupervisorError, match="the power is gone"):
            manager.restore_from_backup(ID)
    if step == "_write_over":
        assert not large.exists()
        large.write_bytes(b"a new device")
    with place.manager().owning(ID):
        pass
    assert tree(place.live) == wanted
    assert not list(place.live.parent.glob(".session-*.new"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"path": "large"', '"path": "other"'),
        ('"size": ', '"size": -'),
        ('"ranges": [[', '"ranges": [["0", 1], ['),
    ],
)
def test_an_intent_with_odd_parts_is_not_carried_out(
    place: Place, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    """It is said that it can't be read, and nothing is written."""
    manager = linked(place)
    overwrite(place.live / "large")
    with monkeypatch.context() as patch:
        patch.setattr(inplace, "carry_out", fail)
        with pytest.raises(SupervisorError):
            manager.restore_from_backup(ID)
    (intent,) = place.store.glob(".intent*")
    text = intent.read_text()
    assert old in text
    intent.write_text(text.replace(old, new, 1))
    broken = tree(place.live)
    with pytest.raises(SupervisorError, match="can't be read"), place.manager().owning(ID):
        pass
    assert tree(place.live) == broken
