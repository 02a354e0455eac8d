"""Somebody swaps what lies in a session for links, pipes and back, while we work in it.

Whatever is done meanwhile may fail, but nothing outside is read into a snapshot, nor changed. What
may remove things runs in a box in which all else is read-only.
"""

import hashlib
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.session import transfer
from supervisor.session.copying import sqlite_copy
from supervisor.session.copying.capture import copy_changes
from supervisor.session.copying.spool import Spool
from supervisor.session.proof.profile import GENERIC
from supervisor.session.scan import scan
from tests import boxkit
from tests.unit.session.sessionkit import ID, Place

MARK = "OUTSIDE"
ROUNDS = 50

# Swaps a folder for a link and for a pipe, and back, until its standard input ends.
_SWAPPER = """
import os, select, shutil, sys
place, outside, kept = sys.argv[1:4]
turn = 0
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    turn += 1
    try:
        os.rename(place, kept)
    except OSError:
        continue
    try:
        os.symlink(outside, place) if turn % 3 else os.mkfifo(place)
        for _ in range(40):  # so it lies there about as long as what it stands for
            os.lstat(place)
        os.unlink(place)
    except OSError:
        pass
    try:
        os.rename(kept, place)
    except OSError:  # something else was put there
        shutil.rmtree(kept)
"""
_PRELUDE = """
import contextlib, os, shutil, subprocess, sys
from pathlib import Path
from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.manager import SessionManager
root = Path(sys.argv[1])
ID, ROUNDS, SWAPPER = sys.argv[2], int(sys.argv[3]), sys.argv[4]
live = root / "sessions" / ("session-" + ID)
manager = SessionManager(root / "sessions", root / ".session-cache", root / "session-state.json")

@contextlib.contextmanager
def swapping(place):
    places = [place, root / "outside", root / "aside" / "kept"]
    command = [sys.executable, "-I", "-S", "-c", SWAPPER, *places]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout.readline() == b"ready\\n"
        try:
            yield
        finally:
            swapper.stdin.close()
            swapper.wait()
"""


def _listing(outside: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted([outside, *outside.rglob("*")]):
        held = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "-"
        found[str(path)] = f"{path.lstat().st_mode:o} {held}"
    return found


def _astray(place: Place, code: str) -> None:
    """Run `code` in the box, and hold that nothing outside of the session was changed."""
    outside = place.root / "outside"
    (outside / "keys").mkdir(parents=True)
    (outside / "keys").chmod(0o755)
    outside.chmod(0o755)
    (place.root / "aside").mkdir()
    for name in ("one", "two", "keys/one", "store.db", "creds.json"):
        (outside / name).write_text(f"{MARK} {name}")
        (outside / name).chmod(0o644)
    before = _listing(outside)
    child = [sys.executable, "-c", _PRELUDE + code, str(place.root), ID, str(ROUNDS), _SWAPPER]
    done = boxkit.boxed(place.root, child)
    assert _listing(outside) == before, done.stderr
    assert done.returncode == 0, (done.returncode, done.stderr)


_RESTORES = """
newest = manager.snapshots(ID)[-1].id
with swapping(live / "deep" / "er"):
    for n in range(ROUNDS):
        with contextlib.suppress(OSError):
            os.unlink(live / "deep" / "er" / "file")  # so it has to be put there
        with contextlib.suppress(SupervisorError, OSError):
            manager.restore(ID, newest)
"""


@boxkit.needs_root
@pytest.mark.long
def test_a_swap_leads_no_restore_astray(place: Place) -> None:
    """A folder becomes a link, a pipe and itself again, hundreds of times."""
    (place.live / "deep" / "er").mkdir(parents=True)
    (place.live / "deep" / "er" / "file").write_text("deeper")
    place.linked()
    _astray(place, _RESTORES)


_STEPS = """
from supervisor.session.restoring.inplace import Steps, carry_out
staging = root / "staging"
for steps in (
    Steps(drop=("keys/one",)),
    Steps(folders=("keys/new",)),
    Steps(put=("keys/two",)),
    Steps(put=("keys/deeper/two",)),
    Steps(modes=(("keys/one", 0o400),)),
    Steps(modes=(("linked", 0o400),)),
):
    staging.mkdir(exist_ok=True)
    (staging / "0").write_text("new")
    try:
        carry_out(live, staging, steps)
    except OSError as error:
        assert "/proc/" not in str(error), error
"""
_LINK_TO_HERE = """
os.symlink(os.getcwd(), live / "here")
files.remove_tree(live / "here")
assert not os.path.lexists(live / "here")
assert os.path.isdir(os.getcwd())
"""
# The folder becomes a link right after it is listed.
_CHMOD = """
doomed = root / "doomed"
(doomed / "a").mkdir(parents=True)
scandir = os.scandir

def swapping(path):
    found = scandir(path)
    name = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)
    if name == str(doomed / "a"):
        (doomed / "a").rename(root / "aside" / "a")
        (doomed / "a").symlink_to(root / "outside")
        os.scandir = scandir
    return found

os.scandir = swapping
files.remove_tree(doomed)
assert os.scandir is scandir
assert not os.path.lexists(doomed)
"""


@boxkit.needs_root
@pytest.mark.parametrize(
    "code", [_STEPS, _LINK_TO_HERE, _CHMOD], ids=["steps", "link to where we are", "removal"]
)
def test_a_link_on_the_way_is_not_gone_through(place: Place, code: str) -> None:
    """A folder of the session became a link after the restore was planned: no step follows it."""
    place.live.mkdir(parents=True)
    (place.live / "keys").symlink_to(place.root / "outside")
    (place.live / "linked").symlink_to(place.root / "outside" / "one")
    _astray(place, code)


def _replaced(place: Place) -> None:
    """Put a link in the place of the folder `keys`; what it leads to has the same names."""
    outside = place.root / "outside"
    outside.mkdir()
    for name in ("one", "two"):
        (outside / name).write_text(MARK)
    (place.live / "keys").rename(place.root / "aside")
    (place.live / "keys").symlink_to(outside)


def test_a_copy_is_of_what_the_walk_saw(place: Place) -> None:
    """The folder became a link between the walk and the copy."""
    place.linked()
    found = scan(place.live)
    _replaced(place)
    with Spool(place.store / "tmp") as spool:
        copies = copy_changes(place.live, GENERIC, None, spool, found=found)
        assert "creds.json" in copies.copied
        assert not [path for path in copies.copied if path.startswith("keys/")]
        spool.close()


def test_an_import_is_of_what_the_walk_saw(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is what is imported from a folder; the error says which file it was."""
    place.linked()

    def replaced(root: Path) -> Any:
        found = scan(root)
        _replaced(place)
        return found

    monkeypatch.setattr(transfer, "scan", replaced)
    with pytest.raises(NotADirectoryError) as caught:
        transfer.unpack(place.live, place.root / "new")
    assert "keys" in str(caught.value)
    assert not (place.root / "new" / "keys" / "one").exists()


@pytest.mark.parametrize("name", ["keys", f"{'long' * 40}/" * 7 + "keys"], ids=["short", "long"])
def test_a_walk_goes_through_no_link(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A folder becomes a link right before it is listed, by however long a path."""
    folder = place.live / name
    folder.mkdir(parents=True)
    (folder / "own").write_text("x")
    (place.root / "outside").mkdir()
    (place.root / "outside" / "strange").write_text(MARK)
    really: dict[str, Any] = {"open": os.open, "scandir": os.scandir}

    def swapped(call: str, path: Any, *rest: Any, **more: Any) -> Any:
        if path == str(folder) and not folder.is_symlink():
            folder.rename(place.root / "aside")
            folder.symlink_to(place.root / "outside")
        return really[call](path, *rest, **more)

    for call in really:
        monkeypatch.setattr(os, call, lambda *a, call=call, **more: swapped(call, *a, **more))
    found = scan(place.live)
    monkeypatch.undo()
    assert folder.is_symlink()
    assert not [path for path in found.seen if path.endswith("strange")]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_databases_own_copy_is_of_the_database_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """SQLite opens it by name, and may be led to another one: what it opened is looked at."""
    for name in ("live", "outside"):
        (tmp_path / name).mkdir()
        with closing(sqlite3.connect(tmp_path / name / "x.db")) as db, db:
            db.execute(f"CREATE TABLE {name}(n)")
    live, inode = tmp_path / "live" / "x.db", (tmp_path / "live" / "x.db").stat().st_ino
    connect = sqlite3.connect

    def replace(*args: Any, **more: Any) -> Any:
        if live.parent.is_dir() and not live.parent.is_symlink():
            live.parent.rename(tmp_path / "aside")
            live.parent.symlink_to(tmp_path / "outside")
        return connect(*args, **more)

    until = time.monotonic() + 5
    assert sqlite_copy.copy(str(live), str(tmp_path / "first"), inode, until) == ""
    if when == "before":
        replace(":memory:").close()
    monkeypatch.setattr(sqlite3, "connect", replace)
    target = tmp_path / "second"
    problem = sqlite_copy.copy(str(live), str(target), inode, time.monotonic() + 5)
    assert problem == "another file lies there now"
    assert not target.exists() or not target.stat().st_size
