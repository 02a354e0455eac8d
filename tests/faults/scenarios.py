"""What is being done to a session when the fault comes: many shapes of the same few operations.

A scenario is built once in a folder of its own; each fault then gets a copy of that. `Before`
says what was there and what may be there afterwards; `tests.faults.invariants` compares.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from supervisor.core.policy import Keep
from supervisor.session.manager import SessionManager
from supervisor.session.proof import checks
from tests.unit.session.sessionkit import ID, Clock, Place, fill, tree, write_key

Tree = Mapping[str, bytes | str | None]
Operation = Literal["snapshot", "restore", "clear", "import", "prune"]
# Long enough for the quarantine's and the hourly rules to have something to remove.
MONTHS_S = 90 * 86_400.0


@dataclass(slots=True, kw_only=True)
class Before:
    """What was there before the fault. `wanted`: what the live session may also be afterwards.

    `good`: what each good snapshot holds. `must_stay`: those that no prune may take. `damaged`:
    those whose packs a test has damaged.
    """

    live: Tree | None
    wanted: Tree | None
    good: dict[str, Tree]
    must_stay: tuple[str, ...]
    damaged: tuple[str, ...]
    rollbacks: int
    epoch: int
    clock_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`prepare` leaves the place as it is before; `act` is what the fault strikes.

    `prepare` returns what the live session is after a success, if not what it was before. `keep`:
    the retention. `mounted`: the session's folder is a mount point. `pending`: the new snapshot
    is not validated. `distrusts`: each snapshot is read back first.
    """

    name: str
    operation: Operation
    prepare: Callable[[Place], Tree | None]
    act: Callable[[SessionManager, Place], object]
    keep: Keep | None = None
    mounted: bool = False
    pending: bool = False
    distrusts: bool = False

    def manager(self, place: Place) -> SessionManager:
        """Return a new manager, as another process would make one."""
        manager = place.manager(keep=self.keep)
        if self.distrusts:
            for snapshot in manager.snapshots(ID):
                manager.verify(ID, snapshot.id)
        return manager


def without_validator() -> None:
    """Let no subprocess open the copies: it takes most of the time, and changes nothing here."""
    assert callable(checks.deep_problems)
    checks.deep_problems = lambda *_args: []


def at(root: Path, clock_s: float) -> Place:
    """Return the place at `root`, whose clock goes on from `clock_s`."""
    return Place(root, Clock(clock_s))


# --- shapes ----------------------------------------------------------------------------------


def change(place: Place, number: int) -> None:
    """Change a little everywhere: a key, a row, a page of a large file, a new file, a gone one."""
    write_key(place.live, f"key {number}")
    with closing(sqlite3.connect(place.live / "store.db")) as database, database:
        database.execute("UPDATE keys SET key = ? WHERE id = 3", (os.urandom(400),))
    with (place.live / "bulk").open("r+b") as file:
        file.seek(70_000 + number * 5000)
        file.write(os.urandom(300))
    (place.live / "keys" / f"new-{number}").write_bytes(os.urandom(900))
    (place.live / "keys" / f"new-{number - 2}").unlink(missing_ok=True)


def session(place: Place) -> None:
    """Write a session with all that a session has: a database, keys, links, empty folders."""
    fill(place.live)
    (place.live / "bulk").write_bytes(os.urandom(150_000) + bytes(50_000) + os.urandom(9_000))
    (place.live / "empty").mkdir()
    (place.live / "current").symlink_to("keys/one")
    (place.live / "none").write_bytes(b"")


def linked(place: Place, snapshots: int = 1, **options: object) -> SessionManager:
    """Link the session and take that many good snapshots, each of a changed session."""
    session(place)
    manager = place.manager(**options)
    manager.note_linked(ID, "1:aa")
    for number in range(snapshots):
        if number:
            change(place, number)
        assert manager.backup(ID, "linked").verdict == "good"
    return manager


def _first(place: Place) -> Tree:
    session(place)
    place.manager().note_linked(ID, "1:aa")
    return tree(place.live)


def _unlinked(place: Place) -> Tree:
    session(place)
    return tree(place.live)


def _incremental(place: Place) -> Tree:
    linked(place, 2)
    change(place, 9)
    return tree(place.live)


def _to_prune(place: Place) -> Tree:
    linked(place, 5)
    change(place, 9)
    return tree(place.live)


def _dragged(place: Place) -> Tree:
    """Make a store that holds so much for the newest snapshot that a full one is due."""
    linked(place)
    block, count = 64 << 10, 24
    for number in range(6):
        with (place.live / "large").open("wb" if number == 0 else "r+b") as file:
            file.seek(number * 2 * block)
            file.write(os.urandom((count - number * 2) * block))
        place.manager().backup(ID)
    change(place, 9)
    return tree(place.live)


def _damaged_pack(place: Place) -> Tree:
    linked(place)
    change(place, 1)
    newest = place.manager().backup(ID)
    (pack,) = [name for name in place.packs() if f".{newest.seq:06}." in name]
    flip(place.store / "packs" / pack)
    change(place, 9)
    return tree(place.live)


def flip(path: Path) -> None:
    """Change a byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.chmod(0o600)
    path.write_bytes(data)


def _torn_state(place: Place) -> Tree:
    linked(place)
    place.state.write_text('{"version": 1, "sess')
    change(place, 9)
    return tree(place.live)


def _broken(place: Place) -> None:
    (place.live / "creds.json").write_text("{torn")
    (place.live / "store.db-wal").write_text("of the old one")


def _damaged(place: Place) -> Tree:
    linked(place, 2)
    wanted = tree(place.live)
    _broken(place)
    return wanted


def _absent(place: Place) -> Tree:
    linked(place, 2)
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    return wanted


def _emptied(place: Place) -> Tree:
    wanted = _absent(place)
    place.live.mkdir()
    return wanted


def _strangers(place: Place) -> Tree:
    """Leave files and folders in the live session that no snapshot has."""
    linked(place, 2)
    wanted = tree(place.live)
    (place.live / "keys" / "stranger").write_text("unknown")
    (place.live / "another" / "deep").mkdir(parents=True)
    (place.live / "another" / "deep" / "file").write_bytes(os.urandom(3000))
    (place.live / "current").unlink()
    (place.live / "current").mkdir()
    (place.live / "bulk").unlink()
    return wanted


def _moved_on(place: Place) -> Tree:
    linked(place)
    wanted = tree(place.live)
    for number in (1, 2):
        change(place, number)
        place.manager().backup(ID)
    change(place, 9)
    return wanted


def _pending(place: Place) -> Tree:
    manager = linked(place)
    change(place, 1)
    wanted = tree(place.live)
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    assert manager.commit(capture, validate=False).verdict == "pending"
    _broken(place)
    return wanted


def _refused(place: Place) -> Tree:
    manager = linked(place)
    wanted = tree(place.live)
    assert manager.next_generation(ID) == 1
    manager.set_seat(ID, 1)
    change(place, 9)
    return wanted


def _whole(place: Place) -> Tree:
    linked(place, 2)
    change(place, 9)
    return tree(place.live)


def _nothing_live(place: Place) -> None:
    _absent(place)


def _export(place: Place, name: str) -> Tree:
    linked(place)
    change(place, 1)
    manager = place.manager()
    manager.backup(ID)
    manager.export(ID, place.root / name)
    wanted = tree(place.live)
    change(place, 9)
    return wanted


def _months_old(place: Place) -> Tree:
    """Make a store with too many snapshots and sessions in quarantine, all of them old."""
    linked(place, 5)
    for number in range(3):
        _broken(place)
        (place.live / "round").write_text(str(number))
        place.manager().restore(ID)
    place.clock.now += MONTHS_S
    return tree(place.live)


def _other_epoch(place: Place) -> Tree:
    """End one link long ago, with snapshots and a quarantined session; begin another."""
    linked(place, 3)
    place.manager().clear(ID)
    place.clock.now += MONTHS_S
    session(place)
    place.manager().note_linked(ID, "1:aa")
    place.manager().backup(ID)
    return tree(place.live)


# --- what is done ----------------------------------------------------------------------------


def _backup(manager: SessionManager, _place: Place) -> object:
    return manager.backup(ID)


def _seal(manager: SessionManager, _place: Place) -> object:
    return manager.commit(manager.capture(ID, reason="seal", generation=1, hot=False))


def _precopied(manager: SessionManager, place: Place) -> object:
    before = manager.precapture(ID)
    os.utime(place.live / "keys" / "two")
    return manager.commit(manager.capture(ID, reason="stop", generation=1, hot=True, pre=before))


def _commit(manager: SessionManager, _place: Place) -> object:
    capture = manager.capture(ID, reason="seal", generation=1, hot=False)
    return manager.commit(capture, validate=False)


def _restore(manager: SessionManager, _place: Place) -> object:
    return manager.restore(ID)


def _restore_oldest(manager: SessionManager, _place: Place) -> object:
    return manager.restore_from_backup(ID, "1")


def _restore_newest(manager: SessionManager, _place: Place) -> object:
    return manager.restore_from_backup(ID)


def _restore_paired(manager: SessionManager, _place: Place) -> object:
    return manager.restore(ID, because="pairing")


def _clear(manager: SessionManager, _place: Place) -> object:
    return manager.clear(ID)


def _import_folder(manager: SessionManager, place: Place) -> object:
    return manager.import_(ID, place.root / "elsewhere")


def _import_tar(manager: SessionManager, place: Place) -> object:
    return manager.import_(ID, place.root / "elsewhere.tar.zst")


def _prune(manager: SessionManager, _place: Place) -> object:
    return manager.cleanup_old_backups(ID)


FEW = Keep(last=2, hourly=0, daily=0)


def _scenario(
    name: str,
    operation: Operation,
    prepare: Callable[[Place], Tree | None],
    act: Callable[[SessionManager, Place], object],
    keep: Keep | None = None,
) -> Scenario:
    return Scenario(name=name, operation=operation, prepare=prepare, act=act, keep=keep)


def _mounted(
    name: str,
    operation: Operation,
    prepare: Callable[[Place], Tree | None],
    act: Callable[[SessionManager, Place], object],
) -> Scenario:
    return Scenario(name=name, operation=operation, prepare=prepare, act=act, mounted=True)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        _scenario("snapshot-first", "snapshot", _first, _backup),
        _scenario("snapshot-unlinked", "snapshot", _unlinked, _backup),
        _scenario("snapshot-next", "snapshot", _incremental, _backup),
        _scenario("snapshot-sealed", "snapshot", _incremental, _seal),
        replace(_scenario("snapshot-pending", "snapshot", _incremental, _commit), pending=True),
        _scenario("snapshot-precopied", "snapshot", _incremental, _precopied),
        _scenario("snapshot-prunes", "snapshot", _to_prune, _backup, FEW),
        _scenario("snapshot-full", "snapshot", _dragged, _backup),
        replace(_scenario("snapshot-heals", "snapshot", _damaged_pack, _backup), distrusts=True),
        _scenario("snapshot-no-state", "snapshot", _torn_state, _backup),
        _scenario("restore-damaged", "restore", _damaged, _restore),
        _scenario("restore-absent", "restore", _absent, _restore),
        _scenario("restore-empty", "restore", _emptied, _restore),
        _scenario("restore-strangers", "restore", _strangers, _restore_newest),
        _scenario("restore-oldest", "restore", _moved_on, _restore_oldest),
        _scenario("restore-prunes", "restore", _moved_on, _restore_oldest, FEW),
        _scenario("restore-pending", "restore", _pending, _restore),
        _scenario("restore-paired", "restore", _refused, _restore_paired),
        _mounted("restore-mounted", "restore", _damaged, _restore),
        _mounted("restore-mounted-strangers", "restore", _strangers, _restore_newest),
        _mounted("restore-mounted-empty", "restore", _emptied, _restore),
        _scenario("clear", "clear", _whole, _clear),
        _scenario("clear-nothing-live", "clear", _nothing_live, _clear),
        _mounted("clear-mounted", "clear", _whole, _clear),
        _scenario("import-folder", "import", lambda p: _export(p, "elsewhere"), _import_folder),
        _scenario("import-tar", "import", lambda p: _export(p, "elsewhere.tar.zst"), _import_tar),
        _mounted("import-mounted", "import", lambda p: _export(p, "elsewhere"), _import_folder),
        _scenario("prune", "prune", _months_old, _prune, FEW),
        _scenario("prune-ended", "prune", _other_epoch, _prune, FEW),
    )
}


def build(scenario: Scenario, root: Path) -> Before:
    """Make the scenario at `root`. Returns what is there now."""
    root.mkdir()
    place = Place(root)
    wanted = scenario.prepare(place)
    manager = scenario.manager(place)
    listed = manager.snapshots(ID)
    damaged = tuple(item.id for item in listed if manager.verify(ID, item.id))
    good = [item for item in listed if item.verdict == "good" and item.id not in damaged]
    record = manager.record(ID)
    own = [item.id for item in good if item.epoch == record.epoch]
    return Before(
        live=tree(place.live) if place.live.exists() else None,
        wanted=wanted,
        good={item.id: exported(manager, place, item.id) for item in good},
        must_stay=tuple(own[-2:]),
        damaged=damaged,
        rollbacks=record.rollback_count,
        epoch=record.epoch,
        clock_s=place.clock.now,
    )


def exported(manager: SessionManager, place: Place, snapshot: str) -> Tree:
    """Return what a snapshot holds, by the way a person would take it out."""
    target = place.root / "taken-out"
    shutil.rmtree(target, ignore_errors=True)
    manager.export(ID, target, snapshot)
    found = tree(target)
    shutil.rmtree(target)
    return found
