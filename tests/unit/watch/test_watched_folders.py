"""Folders and files that come, go, are replaced or linked: the watch follows the name."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from supervisor.watch.kernel import Notify, rust_notify
from tests.unit.watch.watched import armed, atomic, watching

pytestmark = pytest.mark.usefixtures("only_events")


def test_folders_made_with_a_file_at_once_are_seen_and_then_watched(tmp_path: Path) -> None:
    """The kernel tells only of the first folder; the rest was there before it was watched."""

    async def main() -> list[tuple[str, ...]]:
        async with watching(tmp_path) as watched:
            told = []
            for n in range(5):
                deep = tmp_path / f"p{n}" / "q" / "r"
                deep.mkdir(parents=True)
                (deep / "m.py").write_text("1")
                told.append(await watched.paths())
                await armed(watched, deep)
                # At once: between the two halves of a write a busy machine may take its time.
                draft = tmp_path.with_name(f"{tmp_path.name}.draft")
                draft.write_text("2")
                draft.replace(deep / "m.py")
                told.append(await watched.paths())
            return told

    told = asyncio.run(main())
    assert told == [(f"p{n}/q/r/m.py",) for n in range(5) for _ in range(2)]


def test_a_root_deleted_and_made_again_is_still_watched(tmp_path: Path) -> None:
    """Its watch died with the old folder, even if the new one got the same inode."""
    root = tmp_path / "src"

    async def main() -> list[tuple[str, ...]]:
        told = []
        async with watching(root, base=tmp_path) as watched:
            for n in range(4):
                shutil.rmtree(root, ignore_errors=True)
                root.mkdir()
                (root / "a.py").write_text(f"{n}")
                told.append(await watched.paths())
                (root / "a.py").write_text(f"again {n}")
                told.append(await watched.paths())
        return told

    assert asyncio.run(main()) == [("src/a.py",)] * 8


def test_a_folder_replaced_within_the_quiet_window_is_still_watched(tmp_path: Path) -> None:
    """As a checkout of another branch does it."""
    inner = tmp_path / "pkg"
    inner.mkdir()
    (inner / "a.py").write_text("0")

    async def main() -> list[tuple[str, ...]]:
        told = []
        async with watching(tmp_path) as watched:
            for n in range(1, 4):
                inner.rename(tmp_path / f"old{n}.egg-info")
                inner.mkdir()
                (inner / "a.py").write_text(f"{n}")
                told.append(await watched.paths())
                (inner / "a.py").write_text(f"again {n}")
                told.append(await watched.paths())
        return told

    assert asyncio.run(main()) == [("pkg/a.py",)] * 6


def test_a_root_that_does_not_exist_yet_is_watched_when_it_comes(tmp_path: Path) -> None:
    """Also when the folder above it is not there either."""
    root = tmp_path / "a" / "b" / "src"

    async def main() -> list[tuple[str, ...]]:
        async with watching(root, base=tmp_path) as watched:
            root.mkdir(parents=True)
            (root / "m.py").write_text("1")
            first = await watched.paths()
            (root / "m.py").write_text("2")
            return [first, await watched.paths()]

    assert asyncio.run(main()) == [("a/b/src/m.py",)] * 2


def test_a_single_file_is_watched_through_atomic_saves_and_alone(tmp_path: Path) -> None:
    """Each save gives the name to another inode; its neighbours do not count."""
    source = tmp_path / "bot.py"
    source.write_text("0")

    async def main() -> list[tuple[str, ...]]:
        told = []
        async with watching(source, base=tmp_path) as watched:
            for n in range(1, 4):
                (tmp_path / "other.py").write_text(f"{n}")
                atomic(source, f"{n}")
                told.append(await watched.paths())
        return told

    assert asyncio.run(main()) == [("bot.py",)] * 3


def test_what_links_lead_to_is_watched(tmp_path: Path) -> None:
    """A file and a folder outside of the root, saved in place and atomically."""
    root, outside = tmp_path / "src", tmp_path / "vendored"
    root.mkdir()
    (outside / "pkg").mkdir(parents=True)
    (outside / "one.py").write_text("0")
    (outside / "pkg" / "two.py").write_text("0")
    (root / "one.py").symlink_to(outside / "one.py")
    (root / "pkg").symlink_to(outside / "pkg")
    (root / "loop").symlink_to(root)

    async def main() -> list[tuple[str, ...]]:
        told = []
        async with watching(root, base=root) as watched:
            for save in (Path.write_text, atomic):
                for real in (outside / "one.py", outside / "pkg" / "two.py"):
                    save(real, f"{save} {real}")
                    told.append(await watched.paths())
            # From here on one folder is reached by two names.
            (root / "one.py").unlink()
            (root / "one.py").symlink_to(outside / "pkg" / "two.py")
            told.append(await watched.paths())
            for n in range(2):
                atomic(outside / "pkg" / "two.py", f"{n}")
                told.append(await watched.paths())
                atomic(outside / "pkg" / "three.py", f"{n}")
                told.append(await watched.paths())
        return told

    assert asyncio.run(main()) == [
        *[("one.py",), ("pkg/two.py",)] * 2,
        ("one.py",),
        *[("one.py", "pkg/two.py"), ("pkg/three.py",)] * 2,
    ]


def test_what_changes_while_a_new_folder_gets_its_watch_is_told(tmp_path: Path) -> None:
    """Between the look that found the folder and the kernel's first event from it."""
    new = tmp_path / "new"

    def late(folders: Sequence[str]) -> Notify:
        if str(new) in folders:
            (new / "b.py").write_text("2")
        return rust_notify(folders)

    async def main() -> set[str]:
        told: set[str] = set()
        async with watching(tmp_path, notify=late) as watched:
            new.mkdir()
            (new / "a.py").write_text("1")
            while "new/b.py" not in told:
                told.update(await watched.paths())
        return told

    assert asyncio.run(main()) == {"new/a.py", "new/b.py"}
