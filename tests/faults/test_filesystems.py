"""One life of a session on every kind of filesystem there is here, and on one that is full."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.core.policy import Keep
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from tests.faults.invariants import quarantined
from tests.faults.mounts import bound, mounted
from tests.faults.scenarios import exported
from tests.faults.shapes import change, session
from tests.unit.session.sessionkit import ID, Place, tree, write_key

# Where the project lies, where its sessions do, and whether the session is a mount point.
PLACES = {
    "ext4": ("ext4", "ext4", False),
    "xfs": ("xfs", "xfs", False),
    "btrfs": ("btrfs", "btrfs", False),
    "tmpfs": ("tmpfs", "tmpfs", False),
    "apart": ("ext4", "xfs", False),
    "apart-too": ("btrfs", "tmpfs", False),
    "mount-point": ("ext4", "ext4", True),
    "mount-point-xfs": ("xfs", "xfs", True),
    "mount-point-apart": ("tmpfs", "ext4", True),
}


@pytest.fixture(params=PLACES)
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Yield a project's folder on such filesystems."""
    own, other, as_mount = PLACES[request.param]
    with ExitStack() as stack:
        place = Place(stack.enter_context(mounted(own, tmp_path)) / "project")
        place.root.mkdir()
        if other != own:
            root = stack.enter_context(mounted(other, tmp_path))
            (place.root / "sessions").symlink_to(root)
        if as_mount:
            place.live.mkdir(parents=True)
            stack.enter_context(bound(place.live))
        yield place


def test_one_life_of_a_session(somewhere: Place, tmp_path: Path) -> None:
    """Snapshots, damage, restore, export, clear, import: byte for byte, and nothing is lost."""
    place = somewhere
    session(place)
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    wanted = {}
    for number in range(3):
        change(place, number)
        taken = manager.backup(ID)
        assert taken.verdict == "good"
        wanted[taken.id] = tree(place.live)
    for name, content in wanted.items():
        assert exported(manager, place, name) == content

    (place.live / "creds.json").write_text("{torn")
    (place.live / "store.db-wal").write_text("of the old one")
    damaged = tree(place.live)
    assert place.manager().check(ID).verdict == "damaged"
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == content
    assert quarantined(manager, place) == [damaged]
    assert place.manager().restore(ID).action == "kept"

    manager.export(ID, tmp_path / "out.tar.zst")
    assert manager.restore_from_backup(ID, "1").action == "restored"
    assert tree(place.live) == wanted[next(iter(wanted))]
    manager.clear(ID)
    assert not place.live.exists() or not os.listdir(place.live)
    with pytest.raises(NothingToRestore):
        place.manager().restore(ID)
    manager.import_(ID, tmp_path / "out.tar.zst")
    assert tree(place.live) == content
    assert place.manager().backup(ID).verdict == "good"
    assert not list((place.store / "tmp").iterdir())


def test_a_disk_that_fills_up_costs_nothing(tmp_path: Path) -> None:
    """Snapshot, restore, prune and clear on a full disk: said, and all goes on with space again."""
    with mounted("ext4", tmp_path) as root:
        place = Place(root / "project")
        place.root.mkdir()
        session(place)
        manager = place.manager(keep=Keep(last=500))
        manager.note_linked(ID, "1:aa")
        wanted = _until_full(place, manager)
        assert len(wanted) >= 3
        live = tree(place.live)
        for act in (
            lambda: place.manager().backup(ID),
            lambda: place.manager().cleanup_old_backups(ID),
            lambda: place.manager().restore_from_backup(ID, "1"),
        ):
            _said_or_done(act)
            found = tree(place.live)
            assert found == live or live in quarantined(place.manager(), place)
            assert not [p for p in (place.store / "tmp").iterdir() if not _is_swept(place, p)]
            _all_there(place, wanted, tmp_path)
            live = found
        _fill(root)
        before = tree(place.live)
        _said_or_done(lambda: place.manager().clear(ID))
        (root / "filler").unlink(missing_ok=True)
        manager = place.manager()
        manager.cleanup_old_backups(ID)
        cleared = manager.record(ID).state == "closed"
        there = quarantined(manager, place) if cleared else [tree(place.live)]
        assert before in there
        if not cleared:
            manager.clear(ID)
        with pytest.raises(NothingToRestore):
            place.manager().restore(ID)
        session(place)
        manager.note_linked(ID, "1:aa")
        assert manager.backup(ID).verdict == "good"
        shutil.rmtree(place.live)
        assert place.manager().restore(ID).action == "restored"


def _until_full(place: Place, manager: SessionManager) -> dict[str, object]:
    """Take snapshots until one is refused, the last part of it by a few bytes at a time."""
    wanted: dict[str, object] = {}
    for number in range(200):
        write_key(place.live, f"key {number}")
        with (place.live / "bulk").open("r+b") as file:
            file.write(os.urandom(120_000))
        if number == 3:
            _fill(place.root.parent, leave_bytes=1 << 20)
        try:
            taken = manager.backup(ID)
        except SupervisorError as error:
            assert "No space left" in error.message  # noqa: PT017 - the loop goes on otherwise
            assert error.hint  # noqa: PT017 - the same
            return wanted
        assert taken.verdict == "good"
        wanted[taken.id] = tree(place.live)
    raise AssertionError("the disk never became full")


def _fill(root: Path, leave_bytes: int = 0) -> None:
    """Write zeros until nothing more fits, or so many bytes are left."""
    with (root / "filler").open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
                    if free - size < leave_bytes:
                        break
                    file.write(bytes(size))
            except OSError:
                continue


def _said_or_done(act: object) -> None:
    assert callable(act)
    try:
        act()
    except SupervisorError as error:
        assert error.message  # noqa: PT017 - either end is right
        assert error.hint  # noqa: PT017 - the same


def _is_swept(place: Place, path: Path) -> bool:
    """Return whether the next recovery removes it."""
    place.manager().cleanup_old_backups(ID)
    return not path.exists()


def _all_there(place: Place, wanted: dict[str, object], outside: Path) -> None:
    """Every listed snapshot holds what it held; the newest two are listed."""
    manager = place.manager()
    listed = {item.id: item.verdict for item in manager.snapshots(ID)}
    for name in list(wanted)[-2:]:
        assert listed[name] == "good"
    for name, content in wanted.items():
        if name in listed:
            target = outside / "taken-out"
            manager.export(ID, target, name)
            assert tree(target) == content
            shutil.rmtree(target)
