"""Whatever lies in a session: nothing crashes, nothing hangs, and what is left out is said."""

import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot
from supervisor.session.proof import validate
from tests.unit.session.sessionkit import ID, Place, fill, tree, write_key

NOBODY = 65534
MIB = 1 << 20


def said(manager: SessionManager, snapshot: Snapshot) -> str:
    """Return all that the snapshot says of what it could not have."""
    manifest = manager.store.find(ID, snapshot.id)
    return "\n".join([*manifest.notes, *manifest.doubts])


def round_trip(place: Place, manager: SessionManager) -> Snapshot:
    """Take a snapshot, look at the session in each way, lose it, and bring it back."""
    snapshot = manager.backup(ID)
    assert manager.check(ID).verdict == "passed"
    assert manager.info(ID)["restorable"]
    shutil.rmtree(place.live)
    assert manager.restore_from_backup(ID, snapshot.id).action == "restored"
    assert manager.check(ID).verdict == "passed"
    return snapshot


@contextmanager
def without_rights(place: Place) -> Iterator[None]:
    """Be somebody to whom modes apply: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    time.strptime("2026", "%Y")  # loads its module while that can be read
    for path in [place.root, *place.root.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_place() -> Iterator[Place]:
    """Return a project below a folder that everybody may enter, with a session of plain files."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        place = Place(Path(root) / "project")
        place.live.mkdir(parents=True)
        for name in ("one", "two"):
            (place.live / name).write_text(name)
        yield place


# --- names ----------------------------------------------------------------------------------

NAMES = {
    "no UTF-8": b"\xff\xfe\x80.json",
    "a newline": b"two\nlines.db",
    "255 bytes": b"n" * 255,
    "255 bytes, no UTF-8": b"\xe4" * 255,
    "spaces": b" begins and ends ",
    "a glob": b"[*]?.json",
    "quotes": b"'\"%41#?&.db",
    "a surrogate's bytes": b"\xed\xa0\x80",
    "a dash": b"-rf",
}


@pytest.mark.parametrize("what", NAMES)
def test_a_name_is_any_bytes(place: Place, what: str) -> None:
    """Also where the file is a database, or JSON, that is opened to validate it."""
    manager = place.linked()
    folder = place.live / "odd"
    folder.mkdir()
    path = folder / os.fsdecode(NAMES[what])
    for content in ((place.live / "store.db").read_bytes(), b'{"a": 1}'):
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        before = tree(place.live)
        assert round_trip(place, manager).verdict == "good"
        assert tree(place.live) == before


# --- links ----------------------------------------------------------------------------------


def test_links_are_kept_and_never_followed(place: Place, tmp_path: Path) -> None:
    """Inside, to nowhere, outside, to a folder, to itself, in a ring, of 1,000 bytes."""
    manager = place.linked()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not ours")
    targets = {
        "inside": "keys/one",
        "dangling": "nowhere",
        "out-file": str(outside / "secret"),
        "out-folder": str(outside),
        "up": "../..",
        "itself": "itself",
        "ring-a": "ring-b",
        "ring-b": "ring-a",
        "long": "x" * 1000,
        "odd": os.fsdecode(b"\xff\n"),
        "link.json": "keys/one",
        "link.db": "store.db",
    }
    for name, target in targets.items():
        (place.live / name).symlink_to(target)
    before = tree(place.live)
    assert round_trip(place, manager).verdict == "good"
    assert tree(place.live) == before
    assert (outside / "secret").read_text() == "not ours"


@pytest.mark.parametrize("name", ["creds.json", "store.db"])
def test_a_required_file_that_became_a_link_is_damage(place: Place, name: str) -> None:
    """What it points to is no part of the session, and would not come back with it."""
    manager = place.linked()
    (place.live / name).rename(place.root / name)
    (place.live / name).symlink_to(place.root / name)
    assert name in manager.check(ID).why
    assert manager.backup(ID).verdict == "bad"


def test_a_session_folder_that_is_a_ring_of_links_is_refused_in_words(place: Place) -> None:
    """By every command, with our own error and no other."""
    manager = place.linked()
    shutil.rmtree(place.live)
    place.live.symlink_to(place.live.name)
    for command in (manager.backup, manager.check, manager.restore_from_backup, manager.info):
        with pytest.raises((SupervisorError, OSError)):
            command(ID)


def test_a_session_folder_may_be_a_link(place: Place, tmp_path: Path) -> None:
    """What it points to is the session, and the link stays."""
    fill(tmp_path / "elsewhere")
    place.live.parent.mkdir(parents=True)
    place.live.symlink_to(tmp_path / "elsewhere")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    before = tree(tmp_path / "elsewhere")
    write_key(place.live, "other")
    assert manager.restore_from_backup(ID).action == "restored"
    assert tree(tmp_path / "elsewhere") == before
    assert place.live.is_symlink()


# --- what is no file ------------------------------------------------------------------------


def test_sockets_pipes_and_devices_are_left_out_and_said(place: Place) -> None:
    """One note each, and the rest is good."""
    manager = place.linked()
    os.mkfifo(place.live / "pipe.json")
    here = Path.cwd()
    os.chdir(place.live)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)
    odd = {"pipe.json is a pipe", "socket is a socket"}
    try:
        os.mknod(place.live / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        odd.add("null is a device")
    except PermissionError:
        pass  # only root may make one, and not everywhere
    write_key(place.live, "changed")
    snapshot = round_trip(place, manager)
    assert snapshot.verdict == "good"
    assert set(said(manager, snapshot).splitlines()) == {f"{item}: left out" for item in odd}
    assert not (place.live / "pipe.json").exists()


@pytest.mark.parametrize("name", ["creds.json", "store.db", "keys/one", "state/CURRENT"])
def test_a_pipe_in_the_place_of_a_file_blocks_nobody(place: Place, name: str) -> None:
    """Nobody writes into it, so who opened it plainly would wait for ever."""
    manager = place.linked()
    (place.live / "state").mkdir()
    (place.live / "state" / "CURRENT").write_bytes(b"MANIFEST-000002\n")
    (place.live / "state" / "MANIFEST-000002").write_bytes(b"")
    (place.live / name).unlink()
    os.mkfifo(place.live / name)
    snapshot = manager.backup(ID)
    assert f"{name} is a pipe: left out" in said(manager, snapshot)
    for quick in (True, False):
        manager.check(ID, quick=quick)
    manager.info(ID)
    assert manager.restore_from_backup(ID).action == "restored"


def test_the_validator_waits_for_no_pipe(tmp_path: Path) -> None:
    """Nor where a pipe came to lie since the walk."""
    os.mkfifo(tmp_path / "pipe")
    assert validate.json_problem(str(tmp_path / "pipe")) == "is empty"


def test_a_file_that_becomes_a_pipe_during_the_copy_blocks_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the walk and the open, too."""
    manager = place.linked()
    write_key(place.live, "changed")
    path = place.live / "keys" / "one"
    really = os.open

    def turn(name: Any, flags: int, *rest: Any, **more: Any) -> int:
        if str(name) == str(path) and stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
            os.mkfifo(path)
        return really(name, flags, *rest, **more)

    monkeypatch.setattr(os, "open", turn)
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "fuzzy"
    assert "keys/one" in said(manager, snapshot)


# --- sizes ----------------------------------------------------------------------------------


def test_a_hole_of_a_gigabyte_costs_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither reading nor space, in the store and in what comes back."""
    manager = place.linked()
    path = place.live / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.truncate(1024 * MIB)
    read = 0
    preadv = os.preadv

    def counted(*given: Any) -> int:
        nonlocal read
        count = preadv(*given)
        read += count
        return count

    monkeypatch.setattr(os, "preadv", counted)
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "good"
    assert snapshot.new_bytes < MIB
    assert read < 4 * MIB
    assert manager.backup(ID).id == snapshot.id
    shutil.rmtree(place.live)
    manager.restore_from_backup(ID)
    assert path.stat().st_size == 1024 * MIB
    assert path.stat().st_blocks * 512 < MIB
    with path.open("rb") as restored:
        assert restored.read(6) == b"begin\0"


def test_a_file_that_shrinks_during_the_copy_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with one that grows: what is stored is consistent in itself, and called fuzzy."""
    manager = place.linked()
    path = place.live / "keys" / "one"
    path.write_bytes(b"x" * 50_000)
    preadv = os.preadv

    def shrinking(source: int, buffers: Any, offset: int) -> int:
        if Path(f"/proc/self/fd/{source}").readlink() == path and path.stat().st_size:
            os.truncate(path, path.stat().st_size - 1000)
        return preadv(source, buffers, offset)

    monkeypatch.setattr(os, "preadv", shrinking)
    snapshot = manager.backup(ID)
    monkeypatch.undo()
    assert snapshot.verdict == "fuzzy"
    assert "keys/one" in said(manager, snapshot)
    assert manager.verify(ID, snapshot.id) == ""
    assert manager.restore_from_backup(ID, snapshot.id).action == "restored"
    assert not path.read_bytes().strip(b"x")


def test_ten_thousand_entries_in_one_folder(place: Place) -> None:
    """All of them, each with its content."""
    manager = place.linked()
    folder = place.live / "many"
    folder.mkdir()
    for number in range(10_000):
        (folder / f"{number}").write_text(f"{number}")
    before = tree(place.live)
    assert round_trip(place, manager).verdict == "good"
    assert tree(place.live) == before


def test_a_hundred_folders_in_each_other(place: Place) -> None:
    """Up to the longest path that the system takes in one piece, nearly."""
    manager = place.linked()
    deep = place.live.joinpath(*["deep-level"] * 100)
    deep.mkdir(parents=True)
    (deep / "file.json").write_text('{"deep": true}')
    before = tree(place.live)
    assert round_trip(place, manager).verdict == "good"
    assert tree(place.live) == before


def test_a_path_that_is_too_long_for_the_system_is_said(place: Place) -> None:
    """A bot may have made it step by step; we can't open it, and don't pretend to."""
    manager = place.linked()
    here = Path.cwd()
    os.chdir(place.live)
    try:
        for _ in range(20):
            Path("d" * 250).mkdir()
            os.chdir("d" * 250)
        Path("bottom").write_text("out of reach")
    finally:
        os.chdir(here)
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "fuzzy"
    assert "can't be looked at (File name too long)" in said(manager, snapshot)
    assert manager.check(ID).verdict == "passed"
    assert manager.restore_from_backup(ID, snapshot.id).action == "restored"


# --- what changes its kind ------------------------------------------------------------------


def test_a_folder_becomes_a_file_and_a_folder_again(place: Place) -> None:
    """Each snapshot has what there was, and comes back over what there is."""
    manager = place.linked()
    thing = place.live / "thing"
    states: list[tuple[Snapshot, Any]] = []
    for state in ("folder", "file", "link", "folder"):
        if thing.is_symlink() or thing.is_file():
            thing.unlink()
        elif thing.exists():
            shutil.rmtree(thing)
        if state == "folder":
            thing.mkdir()
            (thing / "inside").write_text(f"{len(states)}")
        elif state == "file":
            thing.write_text("a file now")
        else:
            thing.symlink_to("keys")
        states.append((manager.backup(ID), tree(place.live)))
    for snapshot, content in states:
        assert snapshot.verdict == "good"
        assert manager.restore_from_backup(ID, snapshot.id).action == "restored"
        assert tree(place.live) == content


# --- modes ----------------------------------------------------------------------------------


def test_odd_modes_come_back_but_for_group_and_others(place: Place) -> None:
    """0000 and 0400 as they were; a file that everybody could read is private afterwards."""
    manager = place.linked()
    modes = {"none": 0o000, "read": 0o400, "all": 0o666, "run": 0o755, "set": 0o4755}
    for name, mode in modes.items():
        (place.live / name).write_text(name)
        (place.live / name).chmod(mode)
    if os.geteuid() != 0:
        (place.live / "none").unlink()
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "good"
    shutil.rmtree(place.live)
    manager.restore_from_backup(ID)
    for name, mode in modes.items():
        if (place.live / name).exists():
            assert stat.S_IMODE((place.live / name).stat().st_mode) == mode & 0o700


def test_what_may_not_be_read_is_said_and_not_called_good(open_place: Place) -> None:
    """A file and a folder; the rest is in the snapshot, and the snapshot can be used."""
    place = open_place
    (place.live / "locked").mkdir()
    (place.live / "locked" / "inside").write_text("inside")
    (place.live / "secret").write_text("secret")
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        (place.live / "secret").chmod(0)
        (place.live / "locked").chmod(0)
        snapshot = manager.backup(ID)
        assert snapshot.verdict == "fuzzy"
        text = said(manager, snapshot)
        assert "secret can't be read (Permission denied): left out" in text
        assert "locked/ can't be read (Permission denied): left out" in text
        assert manager.check(ID).verdict == "passed"
        manager.info(ID)
        assert manager.restore_from_backup(ID, snapshot.id).action == "restored"
        assert (place.live / "one").read_text() == "one"
        assert not (place.live / "secret").exists()


def test_a_session_whose_own_folder_may_not_be_read_is_refused_in_words(open_place: Place) -> None:
    """It is not taken for an empty one."""
    place = open_place
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        assert manager.backup(ID).verdict == "good"
        place.live.chmod(0)
        with pytest.raises(SupervisorError, match="Permission denied"):
            manager.backup(ID)
        with pytest.raises((SupervisorError, OSError)):
            manager.check(ID)
        place.live.chmod(0o700)


def test_a_folder_that_can_be_listed_and_not_entered_is_said(open_place: Place) -> None:
    """Its names are seen, and nothing behind them: that is no reason to have no snapshot."""
    place = open_place
    (place.live / "listed").mkdir()
    (place.live / "listed" / "inside").write_text("inside")
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        (place.live / "listed").chmod(0o400)
        snapshot = manager.backup(ID)
        assert snapshot.verdict == "fuzzy"
        assert "listed/inside can't be looked at (Permission denied)" in said(manager, snapshot)
        (place.live / "listed").chmod(0o700)


def test_a_json_file_that_may_not_be_read_is_no_damage(open_place: Place) -> None:
    """What can't be looked at is not torn: it is said, and the session stays."""
    place = open_place
    (place.live / "state.json").write_text("{}")
    with without_rights(place):
        manager = place.manager()
        manager.note_linked(ID, None)
        assert manager.backup(ID).verdict == "good"
        (place.live / "state.json").chmod(0)
        for quick in (True, False):
            check = manager.check(ID, quick=quick)
            assert "state.json can't be read" in check.why or check.verdict == "passed"
