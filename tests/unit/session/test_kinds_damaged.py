"""Whatever happens to a file that matters, of whatever kind of session: never a silent new device.

It comes back from its snapshot, or nothing is started and it is said why.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from supervisor.session.proof.profile import KNOWN
from supervisor.session.scan import matches, scan
from tests.unit.session.kindkit import KINDS
from tests.unit.session.sessionkit import ID, Place, tree


def truncate(path: Path) -> None:
    """Leave the first half, cut as a full disk cuts it."""
    os.truncate(path, path.stat().st_size // 2)


def garbage(path: Path) -> None:
    """Put other bytes in its place, as many as there were."""
    path.write_bytes(os.urandom(path.stat().st_size))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: os.truncate(path, 0),
    "truncated": truncate,
    "garbage": garbage,
}
# A browser begins with these empty, and makes them anew: nothing but a snapshot tells of a loss.
UNTOLD = ("*.log", "Cookies")
EACH = pytest.mark.parametrize("kind", KINDS)


def _linked(place: Place, kind: str) -> SessionManager:
    """Return the manager of a session that was just linked, and has no snapshot yet."""
    write, _files = KINDS[kind]
    write(place.live)
    # So that the folder is there, and not empty, whatever goes.
    (place.live / "notes.txt").write_text("the bot's own")
    manager = place.manager()
    manager.note_linked(ID, None)
    place.clock.now += 60  # a browser's session is on the disk only a while after the login
    return manager


@EACH
def test_a_damaged_file_comes_back(place: Place, kind: str) -> None:
    """Byte for byte, from a copy that is known to be of that kind, and says whose device it is."""
    manager = _linked(place, kind)
    assert manager.backup(ID).verdict == "good"
    (stored,) = manager.store.listing(ID).snapshots
    assert stored.profile == kind
    assert bool(stored.at_rest) == KNOWN[kind].tells_device
    _all_come_back(place, manager, KINDS[kind][1])


def test_a_file_that_the_bot_may_remove_comes_back_after_a_seal(place: Place) -> None:
    """Nobody ran since: then nobody but an accident took it."""
    manager = _linked(place, "baileys")
    capture = manager.capture(ID, reason="sealed", generation=0, hot=False)
    assert manager.commit(capture).verdict == "good"
    _all_come_back(place, manager, ("session-97150.0.json", "app-state-sync-key-AAAA.json"))


def _all_come_back(place: Place, manager: SessionManager, names: tuple[str, ...]) -> None:
    stored = scan(place.live, KNOWN["chromium"].excludes).seen
    wanted = {path: data for path, data in tree(place.live).items() if path in stored}
    for name in names:
        for damage, do in DAMAGES.items():
            do(place.live / name)
            what = f"{name} {damage}"
            check = manager.check(ID)
            assert check.verdict == "damaged", what
            # What is wrong with a LevelDB is said of the whole set.
            assert (str(Path(name).parent) if "leveldb" in name else name) in check.why, what
            assert manager.restore(ID).action == "restored", what
            found = tree(place.live)
            assert {path: found.get(path) for path in wanted} == wanted, what


@EACH
def test_without_a_snapshot_it_is_refused(place: Place, kind: str) -> None:
    """It can't come back, so that it is said: what is linked and broken is never started with."""
    manager = _linked(place, kind)
    for name in KINDS[kind][1]:
        path = place.live / name
        whole = path.read_bytes()
        for damage, do in DAMAGES.items():
            if matches(name, UNTOLD):
                continue
            do(path)
            assert manager.check(ID).why, f"{name} {damage}"
            with pytest.raises(NothingToRestore, match="it has no snapshot"):
                manager.restore(ID)
            path.write_bytes(whole)
    assert manager.check(ID).verdict == "passed"
