"""End a process before each call into the kernel that changes something, and look what is left.

Run as a program: `python -m tests.unit.session.crashpoints SCENARIO EVERY`. For every EVERYth n a
fork of it does the operation and dies before its n-th changing call; the parent then recovers as
the next supervisor would, and says on stdout what went wrong, and how many points there were.
"""

import functools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from supervisor.session.model import NothingToRestore
from supervisor.session.proof import checks
from supervisor.session.restoring import delta
from tests.unit.session.sessionkit import ID, Place, aside, fill, tree, write_key

CHANGING = (
    *("open", "write", "fsync", "rename", "mkdir", "rmdir", "unlink", "symlink", "chmod"),
    *("fchmod", "ftruncate", "utime", "copy_file_range"),
)
CRASHED = 77


def arm(at: int) -> None:
    """Die before the `at`-th changing call. fsync itself is skipped: the machine stays up."""
    left = [at]

    def counted(really: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(really)
        def call(*args: Any, **more: Any) -> Any:
            left[0] -= 1
            if not left[0]:
                os._exit(CRASHED)
            return None if really.__name__ == "fsync" else really(*args, **more)

        return call

    for name in CHANGING:
        setattr(os, name, counted(getattr(os, name)))


def crashed(act: Callable[[], object], at: int) -> bool:
    """Do `act` in a fork that dies at its `at`-th call. Returns whether it did die there."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            arm(at)
            act()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, CRASHED), f"the operation itself failed with {code}"
    return code == CRASHED


def whole(place: Place) -> None:
    """Nothing half-done is left, and every listed snapshot can be read back."""
    manager = place.manager()
    manager.cleanup_old_backups(ID)
    listing = manager.store.listing(ID)
    assert not listing.unreadable
    assert all(not manager.verify(ID, s.id) for s in manager.snapshots(ID))
    needed = {blob.pack for m in listing.manifests for blob in m.blobs()}
    assert set(place.packs()) == needed, "a pack that nobody needs, or a needed one gone"
    left = [path.name for path in (place.store / "tmp").iterdir()]
    assert not left, f"left in tmp: {left}"
    assert not list(place.live.parent.glob(".session-*.new")), "a half-built session"
    assert not list(place.store.glob(".intent*")), "an intent that nobody finished"


def held(place: Place) -> list[Mapping[str, object]]:
    """Return what lies in quarantine."""
    listed = place.manager().info(ID)["quarantine"]
    assert len(listed) == len(os.listdir(place.store / "quarantine"))
    return [aside(place, item["name"]) for item in listed]


def snapshot(place: Place, at: int) -> bool:
    """The live session is untouched; the old snapshot or the new one restores, never a mixture."""
    old = tree(place.live)
    write_key(place.live, "new")
    (place.live / "keys" / "three").write_bytes(os.urandom(3000))
    new = tree(place.live)
    died = crashed(lambda: place.manager().backup(ID), at)
    assert tree(place.live) == new
    whole(place)
    assert len(place.manager().snapshots(ID)) >= 1
    shutil.rmtree(place.live)
    assert place.manager().restore(ID).action == "restored"
    assert tree(place.live) in (old, new)
    assert died or tree(place.live) == new
    return died


def restore(place: Place, at: int) -> bool:
    """The session is whole afterwards, counted once, and the damaged one lies in quarantine."""
    wanted = tree(place.live)
    (place.live / "creds.json").write_text("{torn")
    (place.live / "store.db-wal").write_text("of the old one")
    broken = tree(place.live)
    died = crashed(lambda: place.manager().restore(ID), at)
    place.manager().restore(ID)
    assert tree(place.live) == wanted
    assert held(place) == [broken]
    assert place.manager().record(ID).rollback_count == 1
    whole(place)
    return died


def damage(live: Path) -> None:
    """Damage a session in all ways at once: torn, gone, strange, of another kind, with journals."""
    with (live / "store.db").open("r+b") as file:
        file.write(b"no database")
    for end in ("-wal", "-journal"):
        (live / f"store.db{end}").write_text(f"of the old one {end}")
    (live / "creds.json").unlink()
    (live / "creds.json" / "deep").mkdir(parents=True)
    (live / "creds.json" / "deep" / "file").write_text("strange")
    shutil.rmtree(live / "keys")
    (live / "keys").symlink_to("elsewhere")
    (live / "strange").mkdir()
    (live / "strange" / "one").write_bytes(os.urandom(2000))


def _no_old_journal(place: Place, broken: Mapping[str, object]) -> None:
    """Nobody opens it before recovery; but a database and another's journal never lie together."""
    now = tree(place.live) if place.live.exists() else {}
    if now.get("store.db", broken["store.db"]) != broken["store.db"]:
        for end in ("-wal", "-journal"):
            assert now.get(f"store.db{end}") != broken[f"store.db{end}"], f"an old {end}"


def in_place(place: Place, at: int) -> bool:
    """As `restore`, with something of every kind to take away and to place."""
    (place.live / "store.db-wal").write_bytes(b"of the snapshot")
    place.manager().backup(ID)
    wanted = tree(place.live)
    damage(place.live)
    broken = tree(place.live)
    died = crashed(lambda: place.manager().restore_from_backup(ID), at)
    _no_old_journal(place, broken)
    begun = (place.store / f".intent-session-{ID}.json").exists()
    assert tree(place.live) in (broken, wanted) or begun
    place.manager().restore(ID)
    assert tree(place.live) == wanted
    assert held(place) == [broken]
    assert place.manager().record(ID).rollback_count == 1
    whole(place)
    return died


def over(place: Place, at: int) -> bool:
    """As `restore`, where little of a large file differs, which is also longer than it was."""
    delta.SMALL_BYTES = 0
    bulk = place.live / "bulk"
    bulk.write_bytes(os.urandom(11 * 65_536 + 100))
    bulk.chmod(0o400)
    place.manager().backup(ID)
    wanted = tree(place.live)
    bulk.chmod(0o644)
    with bulk.open("r+b") as file:
        file.seek(200_000)
        file.write(b"\xa5" * 300)
        file.truncate(11 * 65_536 + 300)
    (place.live / "creds.json").write_text("{torn")
    broken = tree(place.live)
    died = crashed(lambda: place.manager().restore(ID), at)
    assert tree(place.live).get("bulk") in (wanted["bulk"], broken["bulk"], None), "a mixture"
    place.manager().restore(ID)
    assert tree(place.live) == wanted
    assert bulk.stat().st_mode & 0o777 == 0o400
    assert held(place) == [broken]
    assert place.manager().record(ID).rollback_count == 1
    whole(place)
    return died


def swap(place: Place, at: int) -> bool:
    """The same where the whole folder is put aside."""
    delta.surely_much = lambda *_args: True
    return in_place(place, at)


def absent(place: Place, at: int) -> bool:
    """With nothing there, nothing is put aside."""
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    if at % 2:
        place.live.mkdir()
    died = crashed(lambda: place.manager().restore(ID), at)
    place.manager().restore(ID)
    assert tree(place.live) == wanted
    assert held(place) == []
    assert place.manager().record(ID).rollback_count == 1
    whole(place)
    return died


def fold(place: Place, at: int) -> bool:
    """What lies in quarantine is there once, whole, in a folder or in the packs."""
    write_key(place.live, "newer than the snapshot")
    wanted = tree(place.live)
    place.manager().clear(ID)
    died = crashed(lambda: place.manager().fold_quarantine(ID), at)
    found = held(place)
    assert found in ([wanted], [wanted, wanted])
    place.manager().fold_quarantine(ID)
    assert held(place) == [wanted]
    assert not [path for path in (place.store / "quarantine").iterdir() if path.is_dir()]
    whole(place)
    return died


def clear(place: Place, at: int) -> bool:
    """Either nothing happened, or it is cleared for good; the session is lost in no case."""
    wanted = tree(place.live)
    died = crashed(lambda: place.manager().clear(ID), at)
    whole(place)
    for state in ("kept", "lost"):
        record = place.manager().record(ID)
        if record.state == "closed":
            assert not place.live.exists()
            assert held(place) == [wanted]
            try:
                place.manager().restore(ID)
            except NothingToRestore:
                pass
            else:
                raise AssertionError("a cleared session came back")
        else:
            assert died
            assert tree(place.live) == wanted
        if state == "kept":
            place.state.unlink()
    return died


def relink(place: Place, at: int) -> bool:
    """The new device's session is never replaced by the old one's."""
    shutil.rmtree(place.live)
    fill(place.live, device=2)
    wanted = tree(place.live)
    died = crashed(lambda: place.manager().note_linked(ID, "2:bb"), at)
    whole(place)
    record = place.manager().record(ID)
    assert record.state == "closed" or (record.epoch, record.identity) in [
        (1, "1:aa"),
        (2, "2:bb"),
    ]
    assert place.manager().restore(ID).action == "kept"
    assert tree(place.live) == wanted
    place.manager().note_linked(ID, "2:bb")
    shutil.rmtree(place.live)
    try:
        place.manager().restore(ID)
    except NothingToRestore:
        pass
    else:
        raise AssertionError("the old device came back")
    return died


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (snapshot, restore, in_place, over, swap, absent, fold, clear, relink)
}


def main(scenario: str, every: int) -> None:
    """Try each `every`th point of one scenario."""
    # A subprocess for each would take minutes; what it does is no part of these promises.
    checks.deep_problems = lambda *_args: []
    problems: list[str] = []
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - only for speed
    with tempfile.TemporaryDirectory(dir=base) as folder:
        template = Place(Path(folder, "template"))
        template.root.mkdir()
        template.linked()
        at, died = 1 - every, True
        while died:
            at += every
            place = Place(Path(folder, f"at-{at}"))
            shutil.copytree(template.root, place.root, symlinks=True)
            try:
                died = SCENARIOS[scenario](place, at)
            except Exception as error:  # noqa: BLE001 - each point is reported, whatever it did
                problems.append(f"point {at}: {type(error).__name__}: {error}")
                if len(problems) > 5:
                    break
            shutil.rmtree(place.root)
    json.dump({"points": at - every, "problems": problems}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
