"""A file is put in the place of another whole, and nothing of that stays behind.

Nor does a sweep, at whatever moment, take a folder from who just made it.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.session import files


def _across(within: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Return a rename that can't leave a filesystem, each folder being one."""

    def rename(source: Any, target: Any) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        within(source, target)

    return rename


def _fails(*_args: object) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_draft_beside_the_file_is_swept_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows there where the drafts' folder is another filesystem; the user's files stay."""
    drafts, project = tmp_path / "tmp", tmp_path / "project"
    for folder in (drafts, project):
        folder.mkdir()
    state = project / "state.json"
    mine = [project / "work-of-mine", project / "state.json.bak"]
    for path in mine:
        path.touch()
    with monkeypatch.context() as crash:
        crash.setattr(os, "rename", _across(_fails))
        crash.setattr(os, "unlink", _fails)  # as if the process had ended before
        with pytest.raises(OSError, match="Input/output"):
            files.replace_synced(state, b"1", drafts)
    assert len(list(project.iterdir())) == 3
    monkeypatch.setattr(os, "rename", _across(os.rename))
    files.replace_synced(state, b"2", drafts)
    assert state.read_bytes() == b"2"
    assert sorted(project.iterdir()) == sorted([*mine, state])


@pytest.mark.parametrize("when", ["before it is opened", "before it is locked"])
def test_a_sweep_takes_no_folder_that_is_worked_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Between its making and its lock a sweep may remove it: then another one is made."""
    hold = files.hold
    removed: list[Path] = []

    def swept(folder: Path) -> int:
        if removed:
            return hold(folder)
        removed.append(folder)
        if when == "before it is opened":
            files.sweep_scratch(tmp_path)
            return hold(folder)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        files.sweep_scratch(tmp_path)
        return fd

    monkeypatch.setattr(files, "hold", swept)
    with files.scratch(tmp_path) as work:
        files.sweep_scratch(tmp_path)
        assert list(tmp_path.iterdir()) == [work]
        assert work not in removed
    assert removed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", ["", ".", "..", "{here}", "{above}"])
def test_where_we_are_is_never_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A path that came to nothing names the current folder; nothing of ours ever means that."""
    here = tmp_path / "above" / "here"
    here.mkdir(parents=True)
    (here / "precious").write_text("x")
    monkeypatch.chdir(here)
    with pytest.raises(PermissionError, match="current folder"):
        files.remove_tree(Path(wrong.format(here=here, above=here.parent)))
    assert (here / "precious").read_text() == "x"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("mode", [0o700, 0o711])
def test_missing_folders_above_are_made_like_it(tmp_path: Path, umask: int, mode: int) -> None:
    """Whatever the umask; and what was there before stays as it was."""
    there = tmp_path / "there"
    there.mkdir(0o755)
    before = os.umask(umask)
    try:
        files.make_private(there / "a" / "b" / "c", mode)
    finally:
        os.umask(before)
    made = [there / "a", there / "a" / "b", there / "a" / "b" / "c"]
    assert [path.stat().st_mode & 0o777 for path in made] == [mode] * 3
    assert there.stat().st_mode & 0o777 == 0o755
