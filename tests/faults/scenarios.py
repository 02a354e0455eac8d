"""What is being done to a session when the fault comes: many shapes of the same few operations.

A scenario is built once in a folder of its own; each fault then gets a copy of that. `Before`
says what was there and what may be there afterwards; `tests.faults.invariants` compares.
"""

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from supervisor.core.policy import Keep
from supervisor.session.manager import SessionManager
from supervisor.session.proof import checks
from tests.faults import shapes
from tests.faults.shapes import Tree
from tests.unit.session.amongkit import AmongPlace, settle_in
from tests.unit.session.sessionkit import ID, Clock, Looks, Place, tree

Operation = Literal["snapshot", "restore", "clear", "import", "prune"]


@dataclass(slots=True, kw_only=True)
class Before:
    """What was there before the fault. `wanted`: what the live session may also be afterwards.

    `good`: what each good snapshot holds. `must_stay`: those that no prune may take. `damaged`:
    those whose packs a test has damaged. `beside`: what else lies in the session's folder.
    """

    live: Tree | None
    wanted: Tree | None
    good: dict[str, Tree]
    must_stay: tuple[str, ...]
    damaged: tuple[str, ...]
    rollbacks: int
    epoch: int
    clock_s: float
    beside: Mapping[str, Looks]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`prepare` leaves the place as it is before; `act` is what the fault strikes.

    `prepare` returns what the live session is after a success, if not what it was before. `keep`:
    the retention. `mounted`: the session's folder is a mount point. `pending`: the new snapshot
    is not validated. `distrusts`: each snapshot is read back first. `among`: the session lies among
    a project's files.
    """

    name: str
    operation: Operation
    prepare: Callable[[Place], Tree | None]
    act: Callable[[SessionManager, Place], object]
    keep: Keep | None = None
    mounted: bool = False
    pending: bool = False
    distrusts: bool = False
    among: bool = False

    def place(self, root: Path, clock_s: float) -> Place:
        """Return the place at `root`, whose clock goes on from `clock_s`."""
        return (AmongPlace if self.among else Place)(root, Clock(clock_s))

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


# What the fault strikes: the last name of each scenario below.


def _backup(manager: SessionManager, _place: Place) -> object:
    return manager.backup(ID)


def _seal(manager: SessionManager, _place: Place) -> object:
    return manager.commit(manager.capture(ID, reason="seal", generation=1, hot=False))


def _precopied(manager: SessionManager, place: Place) -> object:
    before = manager.precapture(ID)
    with suppress(OSError):  # the bot's own call: where the fault strikes it, nothing moved
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


def _among(
    name: str,
    operation: Operation,
    prepare: Callable[[Place], Tree | None],
    act: Callable[[SessionManager, Place], object],
) -> Scenario:
    return Scenario(name=name, operation=operation, prepare=prepare, act=act, among=True)


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
        _scenario("snapshot-first", "snapshot", shapes.first, _backup),
        _scenario("snapshot-unlinked", "snapshot", shapes.unlinked, _backup),
        _scenario("snapshot-next", "snapshot", shapes.incremental, _backup),
        _scenario("snapshot-sealed", "snapshot", shapes.incremental, _seal),
        replace(
            _scenario("snapshot-pending", "snapshot", shapes.incremental, _commit), pending=True
        ),
        _scenario("snapshot-precopied", "snapshot", shapes.incremental, _precopied),
        _scenario("snapshot-prunes", "snapshot", shapes.to_prune, _backup, FEW),
        _scenario("snapshot-full", "snapshot", shapes.dragged, _backup),
        replace(
            _scenario("snapshot-heals", "snapshot", shapes.damaged_pack, _backup), distrusts=True
        ),
        _scenario("snapshot-no-state", "snapshot", shapes.torn_state, _backup),
        _scenario("restore-damaged", "restore", shapes.damaged, _restore),
        _scenario("restore-overwritten", "restore", shapes.overwritten, _restore),
        _scenario("restore-absent", "restore", shapes.absent, _restore),
        _scenario("restore-empty", "restore", shapes.emptied, _restore),
        _scenario("restore-strangers", "restore", shapes.strangers, _restore_newest),
        _scenario("restore-oldest", "restore", shapes.moved_on, _restore_oldest),
        _scenario("restore-prunes", "restore", shapes.moved_on, _restore_oldest, FEW),
        _scenario("restore-pending", "restore", shapes.pending, _restore),
        _scenario("restore-paired", "restore", shapes.refused, _restore_paired),
        _mounted("restore-mounted", "restore", shapes.damaged, _restore),
        _mounted("restore-mounted-strangers", "restore", shapes.strangers, _restore_newest),
        _mounted("restore-mounted-empty", "restore", shapes.emptied, _restore),
        _scenario("clear", "clear", shapes.incremental, _clear),
        _scenario("clear-nothing-live", "clear", shapes.nothing_live, _clear),
        _mounted("clear-mounted", "clear", shapes.incremental, _clear),
        _scenario(
            "import-folder", "import", lambda p: shapes.export(p, "elsewhere"), _import_folder
        ),
        _scenario(
            "import-tar", "import", lambda p: shapes.export(p, "elsewhere.tar.zst"), _import_tar
        ),
        _mounted(
            "import-mounted", "import", lambda p: shapes.export(p, "elsewhere"), _import_folder
        ),
        _among("snapshot-among", "snapshot", shapes.incremental, _backup),
        _among("restore-among", "restore", shapes.damaged, _restore),
        _among("restore-among-gone", "restore", shapes.gone, _restore),
        _among("restore-among-strangers", "restore", shapes.strangers, _restore_newest),
        _among("clear-among", "clear", shapes.incremental, _clear),
        _among("import-among", "import", lambda p: shapes.export(p, "elsewhere"), _import_folder),
        _scenario("prune", "prune", shapes.months_old, _prune, FEW),
        _scenario("prune-ended", "prune", shapes.other_epoch, _prune, FEW),
    )
}
# Those that a fault can strike without the rights to mount.
UNMOUNTED = [name for name, scenario in SCENARIOS.items() if not scenario.mounted]
# What a sample is taken of, where no scenarios are named: the others have long runs of their own.
SAMPLED = [name for name, scenario in SCENARIOS.items() if not scenario.among]


class Templates:
    """The scenarios, each built once below `folder`, and copied for each fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before: dict[str, Before] = {}

    def copied(self, scenario: Scenario) -> tuple[Place, Before]:
        """Return a copy, in the place of the one before it."""
        template = self.folder / scenario.name
        if scenario.name not in self._before:
            self._before[scenario.name] = build(scenario, template)
        before = self._before[scenario.name]
        place = scenario.place(self.folder / "place", before.clock_s)
        shutil.rmtree(place.root, ignore_errors=True)
        shutil.copytree(template, place.root, symlinks=True)
        return place, before


def build(scenario: Scenario, root: Path) -> Before:
    """Make the scenario at `root`. Returns what is there now."""
    root.mkdir()
    place = AmongPlace(root) if scenario.among else Place(root)
    if scenario.among:
        settle_in(place.live)
    wanted = scenario.prepare(place)
    manager = scenario.manager(place)
    listed = manager.snapshots(ID)
    damaged = tuple(item.id for item in listed if manager.verify(ID, item.id))
    good = [item for item in listed if item.verdict == "good" and item.id not in damaged]
    record = manager.record(ID)
    own = [item.id for item in good if item.epoch == record.epoch]
    return Before(
        live=place.content() if place.live.exists() else None,
        wanted=wanted,
        good={item.id: exported(manager, place, item.id) for item in good},
        must_stay=tuple(own[-2:]),
        damaged=damaged,
        rollbacks=record.rollback_count,
        epoch=record.epoch,
        clock_s=place.clock.now,
        beside=place.beside(),
    )


def exported(manager: SessionManager, place: Place, snapshot: str) -> Tree:
    """Return what a snapshot holds, by the way a person would take it out."""
    target = place.root / "taken-out"
    shutil.rmtree(target, ignore_errors=True)
    manager.export(ID, target, snapshot)
    found = tree(target)
    shutil.rmtree(target)
    return found
