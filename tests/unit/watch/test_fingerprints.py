"""The map behind the watcher, without events and without waiting."""

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.watch.fingerprints import (
    LARGEST_HASHED,
    Cancelled,
    Known,
    Tree,
    compare,
    fingerprint,
    stamp_of,
)


def look(root: Path, known: dict[str, Known] | None = None) -> tuple[list[str], dict[str, Known]]:
    """Return the names that changed, and the new map."""
    files = Tree([root], base=root, ignore=[], never=[]).scan().files
    diff = compare(known or {}, files)
    return sorted(os.path.relpath(path, root) for path in diff.changed), diff.known


def test_a_young_file_is_read_again_though_its_stamp_is_the_same(tmp_path: Path) -> None:
    """A second write in one tick of the clock leaves no other trace."""
    (tmp_path / "a.py").write_text("1")
    _, known = look(tmp_path)
    path = str(tmp_path / "a.py")
    assert known[path].racy
    unseen = {path: replace(known[path], digest=b"of the write before")}
    assert look(tmp_path, unseen)[0] == ["a.py"]
    settled = {path: replace(unseen[path], racy=False)}
    assert look(tmp_path, settled)[0] == []


def test_a_file_that_moves_while_it_is_read_is_torn(tmp_path: Path) -> None:
    """Its stamp is no longer the one that was found."""
    path = tmp_path / "a.py"
    path.write_text("1")
    stamp = stamp_of(path.stat())
    assert fingerprint(str(path), stamp)[1]
    path.write_text("12")
    assert not fingerprint(str(path), stamp)[1]
    path.unlink()
    assert fingerprint(str(path), stamp) == (None, False)


def test_when_a_file_went_is_told_by_its_folder(tmp_path: Path) -> None:
    """Otherwise a deletion that a look happens upon would be told in the midst of a checkout."""
    (tmp_path / "pkg" / "inner").mkdir(parents=True)
    (tmp_path / "pkg" / "inner" / "a.py").write_text("1")
    _, known = look(tmp_path)
    shutil.rmtree(tmp_path / "pkg" / "inner")
    diff = compare(known, Tree([tmp_path], base=tmp_path, ignore=[], never=[]).scan().files)
    assert len(diff.changed) == 1
    assert diff.newest_ns == (tmp_path / "pkg").stat().st_ctime_ns


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would block, a socket can't be read; a dangling link is nothing."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "a.py").write_text("1")
    assert look(tmp_path)[0] == ["a.py"]
    stamp = stamp_of((tmp_path / "a.py").stat())
    assert fingerprint(str(tmp_path / "pipe"), stamp) == (b"unreadable", False)


def test_a_huge_file_is_known_by_size_and_time(tmp_path: Path) -> None:
    """Nobody waits for gigabytes to be read."""
    path = tmp_path / "model.bin"
    path.touch()
    os.truncate(path, LARGEST_HASHED + 1)
    digest, stable = fingerprint(str(path), stamp_of(path.stat()))
    assert digest is not None
    assert digest.startswith(b"(")
    assert stable


def test_names_that_are_no_unicode_are_watched(tmp_path: Path) -> None:
    """A name is bytes; what shows it may have to escape it."""
    name = os.fsdecode(b"caf\xe9.py")
    (tmp_path / name).write_text("1")
    assert look(tmp_path)[0] == [name]


def test_two_roots_of_which_one_lies_in_the_other_are_one(tmp_path: Path) -> None:
    """No file is told twice."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text("1")
    tree = Tree([tmp_path, tmp_path / "pkg"], base=tmp_path, ignore=[], never=[])
    assert list(tree.scan().files) == [str(tmp_path / "pkg" / "a.py")]


def test_a_walk_ends_when_its_watcher_does(tmp_path: Path) -> None:
    """However large the tree is."""
    cancelled = threading.Event()
    cancelled.set()
    tree = Tree([tmp_path], base=tmp_path, ignore=[], never=[])
    with pytest.raises(Cancelled):
        tree.scan(cancelled)
    (tmp_path / "a.py").write_text("1")
    with pytest.raises(Cancelled):
        compare({}, tree.scan().files, cancelled)
