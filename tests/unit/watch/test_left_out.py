"""What the watcher must not see: the session's own files, and what nobody edits by hand."""

import asyncio
from pathlib import Path

import pytest

from tests.unit.watch.watched import watching

pytestmark = pytest.mark.usefixtures("only_events")


def write(path: Path, text: str = "new") -> None:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def first_told(root: Path, written: list[Path], **options: object) -> tuple[str, ...]:
    """Return what is told first after some files were written, and then one that counts."""

    async def main() -> tuple[str, ...]:
        async with watching(root, **options) as watched:
            for path in written:
                write(path)
            write(root / "counts.py")
            return await watched.paths()

    return asyncio.run(main())


def test_the_sessions_files_are_never_told_wherever_they_lie(tmp_path: Path) -> None:
    """In the watched folder, through links into them, and what is made beside them."""
    root, away = tmp_path / "src", tmp_path / "away"
    never = [
        root / "sessions",
        root / ".session-cache",
        root / "session-state.json",
        root / "wwebjs" / "session-x",
        root / "linked",
        root / "bot.db",
        away,
    ]
    for folder in (root / "sessions" / "session-1", away, root / "wwebjs" / "session-x"):
        folder.mkdir(parents=True)
    real = tmp_path / "real"
    real.mkdir()
    (root / "linked").symlink_to(real)  # the session folder is itself a link
    (root / "to-away").symlink_to(away)
    (root / "creds.json").symlink_to(away / "creds.json")
    (root / "also").symlink_to(root / "sessions" / "session-1")
    (root / "real-too").symlink_to(real)
    written = [
        root / "sessions" / "session-1" / "creds.json",
        root / "sessions" / ".session-1.lock",
        root / ".session-cache" / "packs" / "1.zst",
        root / "session-state.json",
        root / ".session-state.json.x1",
        root / "session-state.json.tmp",
        root / "session-state.json.unreadable-20260101T000000Z",
        root / "wwebjs" / "session-x" / "Default" / "db",
        root / "wwebjs" / ".session-x.lock",
        root / "bot.db",
        root / "bot.db-wal",
        root / "bot.db-journal",
        away / "creds.json",
        real / "keys.json",
    ]
    assert first_told(root, written, never=never) == ("counts.py",)


def test_the_files_of_a_session_among_others_are_never_told(tmp_path: Path) -> None:
    """By whatever path, with what comes and goes beside them; all else in the folder counts."""
    root = tmp_path / "src"
    (root / "store").mkdir(parents=True)
    (root / "keys").symlink_to("store")
    (root / "lib").mkdir()
    (root / "lib" / "linked.py").symlink_to("../mine.session")
    written = [
        root / "mine.session",
        root / "mine.session-journal",
        root / "mine.session.tmp",
        root / "store" / "deep" / "key",
        root / ".session-1.new" / "0",
        root / ".moving-0123",
    ]
    among = [(root, ("*.session", "store")), (tmp_path / "elsewhere", ("*",))]
    assert first_told(root, written, among=among) == ("counts.py",)
    more = [root / "mine.session.py", root / "lib" / "mine.session", root / "store.py"]
    told = first_told(root, [*written, *more], among=among)
    assert set(told) >= {"lib/mine.session", "mine.session.py", "store.py"}
    assert not {"mine.session", "lib/linked.py", "keys/deep/key"} & set(told)


def test_a_session_that_is_new_in_the_config_is_hidden_at_once(tmp_path: Path) -> None:
    """A reload adds a bot whose session lies in a watched folder: that is no change of any file."""
    write(tmp_path / "mine.session", "old")

    async def main() -> tuple[str, ...]:
        async with watching(tmp_path) as watched:
            watched.hide([tmp_path / "sessions"], [(tmp_path, ("*.session",))])
            watched.wake()
            for name in ("mine.session", "sessions/x", "counts.py"):
                write(tmp_path / name)
            return await watched.paths()

    assert asyncio.run(main()) == ("counts.py",)


def test_a_name_that_only_begins_like_the_sessions_is_watched(tmp_path: Path) -> None:
    """Hiding too much would be a change forgotten."""
    written = [tmp_path / "sessions.py", tmp_path / "sessions-tools" / "a.py"]
    never = [tmp_path / "sessions"]
    told = first_told(tmp_path, written, never=never)
    assert told == ("counts.py", "sessions-tools/a.py", "sessions.py")


def test_no_folder_that_is_left_out_is_watched_by_the_kernel(tmp_path: Path) -> None:
    """Neither the session's nor a dependency's: a watch is a limited resource."""
    left_out = ["node_modules/x", ".git/objects", ".venv/lib", "__pycache__", "sessions/session-1"]
    for folder in [*left_out, "pkg/inner", "own/deep"]:
        (tmp_path / folder).mkdir(parents=True)

    async def main() -> tuple[str, ...]:
        never = [tmp_path / "sessions"]
        async with watching(tmp_path, never=never, ignore=["own/"]) as watched:
            return watched.folders[-1]

    inside = [tmp_path, tmp_path / "pkg", tmp_path / "pkg" / "inner"]
    assert asyncio.run(main()) == tuple(str(folder) for folder in inside)


def test_ignored_patterns_and_editors_leavings_are_not_told(tmp_path: Path) -> None:
    """By name at any depth, or by path from the base where the pattern has a slash."""
    names = [
        *("a.log", "deep/b.log", "data/cache/x", "gen/one_pb.py", "__pycache__/a.pyc", "a.pyc"),
        *(".a.py.swp", "a.py~", "4913", ".#a.py", "#a.py#", ".mypy_cache/x", ".git/index.lock"),
    ]
    told = first_told(
        tmp_path,
        [*(tmp_path / name for name in names), tmp_path / "other" / "cache" / "x"],
        ignore=["*.log", "data/cache", "gen/*_pb.py"],
    )
    assert told == ("counts.py", "other/cache/x")


def test_a_file_named_as_a_root_is_watched_whatever_its_name(tmp_path: Path) -> None:
    """Who names it means it."""
    named = tmp_path / "settings.log"
    named.write_text("1")

    async def main() -> tuple[str, ...]:
        async with watching(named, base=tmp_path, ignore=["*.log"]) as watched:
            named.write_text("2")
            return await watched.paths()

    assert asyncio.run(main()) == ("settings.log",)
