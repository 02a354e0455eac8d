"""Pipes, devices, holes, what shrinks, and more than anybody expects: nothing crashes or hangs."""

import os
import shutil
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from supervisor.session.proof import validate
from tests.unit.session.oddkit import round_trip, said
from tests.unit.session.sessionkit import ID, Place, tree, write_key

MIB = 1 << 20


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


def test_a_link_out_of_the_session_is_kept_as_a_link_and_said(place: Place) -> None:
    """What it leads to is in no snapshot. Nobody else is bothered: not for what leads nowhere."""
    manager = place.linked()
    outside = place.root / "outside.db"
    outside.write_bytes(b"keys")
    links = {
        "keys.db": "../../outside.db",
        "all": str(place.root),
        "SingletonLock": "host-4711",
        "current": "keys/one",
        "here": str(place.live / "creds.json"),
        "self": ".",
        "loop": "loop",
    }
    for name, target in links.items():
        (place.live / name).symlink_to(target)
    snapshot = manager.backup(ID)
    assert snapshot.verdict == "good"
    assert sorted(said(manager, snapshot).splitlines()) == [
        f"what {name} leads to, out of the session ({links[name]}): only the link is kept"
        for name in ("all", "keys.db")
    ]
    outside.write_bytes(b"")
    wanted = tree(place.live)
    (place.live / "creds.json").write_bytes(b"")
    assert manager.restore_from_backup(ID).action == "restored"
    assert tree(place.live) == wanted
    assert outside.read_bytes() == b""


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


@pytest.mark.long
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
