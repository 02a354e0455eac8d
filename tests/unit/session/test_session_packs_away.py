"""The packs' folder as a whole is not there: a disk that is not mounted, a folder moved away."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.core.policy import Keep
from supervisor.session.model import NothingToRestore, SnapshotFailed
from tests.unit.session.auditkit import checked
from tests.unit.session.damagekit import tear
from tests.unit.session.sessionkit import ID, Place, tree, with_snapshots, write_key


def moved(packs: Path) -> None:
    """Move the folder away."""
    packs.rename(packs.with_name("away"))


def unmounted(packs: Path) -> None:
    """Leave the folder that the disk was mounted at."""
    moved(packs)
    packs.mkdir()


def linked_to_nothing(packs: Path) -> None:
    """Leave a link to a disk that is not there."""
    moved(packs)
    packs.symlink_to("nowhere")


def back(packs: Path) -> None:
    """Put all in its place again."""
    if packs.is_symlink():
        packs.unlink()
    elif packs.exists():
        packs.rmdir()
    packs.with_name("away").rename(packs)


WAYS = [moved, unmounted, linked_to_nothing]


@pytest.mark.parametrize("away", WAYS)
def test_nothing_is_condemned_or_pruned(place: Place, away: Callable[[Path], None]) -> None:
    """A check says what is missing, and what to do; later all is as it was."""
    with_snapshots(place, 4)
    packs = place.store / "packs"
    away(packs)
    there = place.manifests()
    found = checked(place.manager())
    assert found.check.verdict == "passed"
    assert not found.ok
    assert {one.verdict for one in found.snapshots} == {"good"}
    for one in found.snapshots:
        assert str(packs) in str(one.why_not)
        assert "mount it" in str(one.todo)
    manager = place.manager(keep=Keep(last=1, hourly=0, daily=0))
    assert manager.cleanup_old_backups(ID) == []
    assert place.manifests() == there
    back(packs)
    assert checked(place.manager()).ok
    assert len(manager.cleanup_old_backups(ID)) == 2


@pytest.mark.parametrize("away", WAYS)
@pytest.mark.parametrize("because", ["damaged", "pairing", "asked"])
def test_no_link_ends_for_it(place: Place, away: Callable[[Path], None], because: str) -> None:
    """The live session is as it was, whatever that is, and comes back once the packs are."""
    wanted = tree(with_snapshots(place, 2).folder(ID))
    tear("store.db")(place.live)
    broken = tree(place.live)
    packs = place.store / "packs"
    away(packs)
    manager = place.manager()
    with pytest.raises(SupervisorError, match=str(packs)) as told:
        manager.restore(ID, because=because)  # type: ignore[arg-type]  # the parameters' str
    assert not isinstance(told.value, NothingToRestore)
    assert "mount it" in told.value.hint
    assert not manager.can_restore(ID)
    assert tree(place.live) == broken
    back(packs)
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) == wanted


@pytest.mark.parametrize("away", WAYS)
def test_no_snapshot_is_hidden_below_it(place: Place, away: Callable[[Path], None]) -> None:
    """What is written at a mount point is gone once the disk is mounted: it is not written."""
    with_snapshots(place, 2)
    write_key(place.live, "meanwhile")
    wanted = tree(place.live)
    packs = place.store / "packs"
    away(packs)
    manager = place.manager()
    there = place.manifests()
    with pytest.raises(SnapshotFailed, match=str(packs)) as told:
        manager.backup(ID)
    assert "mount it" in told.value.hint
    assert place.manifests() == there
    assert tree(place.live) == wanted
    back(packs)
    assert manager.backup(ID).verdict == "good"


def test_packs_that_are_lost_for_good_are_given_up_by_moving_the_manifests(place: Place) -> None:
    """As the hint says: the next snapshot is whole in itself, and the link goes on."""
    manager = with_snapshots(place, 3)
    shutil.rmtree(place.store / "packs")
    with pytest.raises(SnapshotFailed, match="is not there"):
        place.manager().backup(ID)
    for name in place.manifests():
        (place.store / name).rename(place.root / name)
    manager = place.manager()
    assert manager.backup(ID).verdict == "good"
    assert manager.record(ID).state == "linked"
    assert len(place.packs()) == 1
    assert checked(manager).ok


def test_one_pack_that_is_missing_is_damage(place: Place) -> None:
    """The others are there: it was lost."""
    with_snapshots(place, 3)
    (place.store / "packs" / place.packs()[1]).unlink()
    found = checked(place.manager())
    assert [one.verdict for one in found.snapshots] == ["good", "bad", "good"]
    (place.store / "packs" / place.packs()[0]).unlink()
    assert place.manager().backup(ID).verdict == "good"
