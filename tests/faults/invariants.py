"""What must hold after any fault, once the next supervisor has recovered. Written as literals.

Nothing here trusts what the code under test says of itself where the bytes can be looked at.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from supervisor.session.storage.store import Store
from tests.faults.scenarios import Before, Scenario, exported
from tests.faults.shapes import Tree
from tests.unit.session.sessionkit import ID, Place, tree


@dataclass(frozen=True, slots=True)
class Seen:
    """What is live after the recovery, and what is known of the operation: see `recovered`."""

    live: Tree | None
    finished: bool
    doubtful: bool


def everything(place: Place) -> Tree:
    """Return all that lies in the project, but the locks' bodies."""
    found = tree(place.root)
    return {name: item for name, item in found.items() if not name.endswith(".lock")}


def quarantined(manager: SessionManager, place: Place) -> list[Tree]:
    """Return each session that lies in quarantine, as it was."""
    found: list[Tree] = []
    root = place.store / "quarantine"
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if path.is_dir():
            found.append(tree(path))
        elif path.suffix == ".json":
            found.append(exported(manager, place, path.stem))
    return found


def _holds(found: Tree, live: Tree, wanted: Tree) -> bool:
    """Return whether `live` is there, whole, and beside it only what a broken move leaves.

    Where entries are copied, and the process ends before the source is gone, one may come a
    second time, in part, as NAME~2; as may one that was being put in place.
    """
    if any(name not in found or found[name] != item for name, item in live.items()):
        return False
    for name in found.keys() - live.keys():
        top, mark, rest = name.partition("/")
        first = re.sub(r"~\d+$", "", top) + mark + rest
        if all(first not in known or known[first] != found[name] for known in (live, wanted)):
            return False
    return True


def recovered(
    scenario: Scenario, place: Place, before: Before, *, finished: bool, doubtful: bool = False
) -> None:
    """Recover as the next supervisor would, and look at everything. Raises: AssertionError.

    `finished`: the operation had come to its end. `doubtful`: something could not be read
    meanwhile, so that what was copied then may be called less than good.
    """
    manager = scenario.manager(place)
    manager.cleanup_old_backups(ID)
    _settled(scenario, place)
    live = place.content() or None
    assert place.beside() == before.beside, "what is none of the session's was touched"
    listed = {snapshot.id: snapshot for snapshot in manager.snapshots(ID)}
    assert not manager.store.listing(ID).unreadable, "a manifest that can't be read"
    fresh = [n for n, item in listed.items() if item.verdict == "good" and n not in before.good]
    for name in (*before.must_stay, *fresh)[-2:]:
        assert name in listed, f"{name} was one of the newest two good ones, and is gone"
        assert doubtful or listed[name].verdict == "good", f"{name} is no longer good"
    for name, wanted in before.good.items():
        if name in listed and listed[name].verdict == "good":
            assert exported(manager, place, name) == wanted, f"{name} holds something else"
            assert not manager.verify(ID, name)
    for name in fresh:
        if name not in before.damaged:
            content = exported(manager, place, name)
            assert content in (before.live, before.wanted), f"{name} is a mixture"
            assert not manager.verify(ID, name)
    if before.live:
        stored = [exported(manager, place, n) for n in listed if n not in before.damaged]
        held = quarantined(manager, place)
        there = before.live in (live, *held, *stored)
        if scenario.mounted:
            there = there or any(_holds(one, before.live, before.wanted or {}) for one in held)
        assert there, "what was live is nowhere any more"
    seen = Seen(live=live, finished=finished and not doubtful, doubtful=doubtful)
    _LIVE[scenario.operation](scenario, place, before, seen)
    _goes_on(scenario, place, before, doubtful=doubtful)


def _settled(scenario: Scenario, place: Place) -> None:
    """Nothing half-done is left, and a second recovery has nothing to do."""
    left = sorted(path.name for path in (place.store / "tmp").iterdir())
    assert not left, f"left in tmp: {left}"
    around = {place.live, place.live.parent} - {place.root}
    listed = [path.name for folder in around if folder.exists() for path in folder.iterdir()]
    beside = [name for name in listed if ".new" in name or ".whole" in name]
    assert not beside, f"a half-built session: {beside}"
    assert not list(place.store.glob(".intent*")), "an intent that nobody finished"
    moving = list(place.root.rglob(".moving-*"))
    assert not moving, f"a half-copied entry: {moving}"
    needed = needed_packs(place)
    packs = set(place.packs())
    assert needed <= packs, f"packs that are needed and gone: {needed - packs}"
    assert packs <= needed, f"packs that nobody needs: {packs - needed}"
    once = everything(place)
    scenario.manager(place).cleanup_old_backups(ID)
    assert everything(place) == once, "a second recovery changed something"


def needed_packs(place: Place) -> set[str]:
    """Return the packs that some manifest refers to."""
    store = Store(place.store)
    return {pack.name for held in store.listing(ID).manifests for pack in held.packs.values()}


def _live_untouched(scenario: Scenario, place: Place, before: Before, seen: Seen) -> None:
    live, finished = seen.live, seen.finished
    assert live == before.live, "the live session was touched"
    record = scenario.manager(place).record(ID)
    assert record.rollback_count == before.rollbacks
    if finished and scenario.operation == "snapshot":
        newest = scenario.manager(place).snapshots(ID)[-1]
        assert newest.id not in before.good, "said to be stored, and is not"
        assert newest.verdict == ("pending" if scenario.pending else "good")


def _live_restored(scenario: Scenario, place: Place, before: Before, seen: Seen) -> None:
    live, finished = seen.live, seen.finished
    old = before.live or None
    whole = [old, before.wanted, *(before.good.values() if seen.doubtful else ())]
    assert live in whole, "the live session is a mixture"
    record = scenario.manager(place).record(ID)
    rose = record.rollback_count - before.rollbacks
    assert rose == (live != old), f"rollback_count rose by {rose}"
    assert record.epoch == before.epoch
    if finished:
        assert live == before.wanted, "said to be restored, and is not"


def _live_cleared(scenario: Scenario, place: Place, before: Before, seen: Seen) -> None:
    live, finished = seen.live, seen.finished
    if scenario.manager(place).record(ID).state != "closed":
        assert not finished, "said to be cleared, and is not"
        assert live == (before.live or None), "not cleared, and not there either"
        return
    for state in ("kept", "lost"):
        assert live is None, "cleared, and still there"
        try:
            scenario.manager(place).restore(ID)
        except NothingToRestore:
            pass
        else:
            raise AssertionError(f"a cleared session came back (state file {state})")
        place.state.unlink(missing_ok=True)


def _live_imported(scenario: Scenario, place: Place, before: Before, seen: Seen) -> None:
    live, finished = seen.live, seen.finished
    assert live in (before.live or None, before.wanted), "the live session is a mixture"
    record = scenario.manager(place).record(ID)
    if live == before.wanted:
        assert record.epoch > before.epoch, "imported into the old link's epoch"
    else:
        assert not finished, "said to be imported, and is not"
        assert record.epoch == before.epoch


_LIVE = {
    "snapshot": _live_untouched,
    "prune": _live_untouched,
    "restore": _live_restored,
    "clear": _live_cleared,
    "import": _live_imported,
}


def _goes_on(scenario: Scenario, place: Place, before: Before, *, doubtful: bool) -> None:
    """The next start brings the session back; the next change is stored, and comes back too."""
    manager = scenario.manager(place)
    stays = scenario.operation in ("snapshot", "restore", "prune")
    if stays and before.good and not doubtful and not _is_whole(place):
        assert manager.restore(ID).action == "restored"
        assert place.content() == before.wanted
    if not place.content():
        return
    if not _is_whole(place):
        return
    (place.live / "keys" / "one").write_text("after the fault")
    wanted = place.content()
    taken = manager.backup(ID)
    assert taken.verdict == "good"
    place.empty()
    assert manager.restore_from_backup(ID, taken.id).action == "restored"
    assert place.content() == wanted
    assert place.beside() == before.beside


def _is_whole(place: Place) -> bool:
    try:
        return place.manager().check(ID, quick=True).verdict == "passed"
    except SupervisorError:
        return False


def empty(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
