"""One whole file is told at once, and that it was all follows; nothing else is told so."""

import asyncio
import itertools
import os
import random
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisor.watch import quiet, shared
from supervisor.watch.watcher import Change, Watcher
from tests.unit.watch.watched import BOUND_S, Watched, atomic, deaf, watching

pytestmark = pytest.mark.usefixtures("only_events")

MODIFIED = 2
LEASES = "leases are not to be had here"


@pytest.fixture(autouse=True)
def _leases(tmp_path: Path) -> None:
    """Without leases nobody knows whether a file is whole, and nothing is told early."""
    (tmp_path / "probe").touch()
    if quiet.written(str(tmp_path / "probe")) is None:
        pytest.skip(LEASES)
    (tmp_path / "probe").unlink()


@pytest.mark.parametrize("save", [Path.write_text, atomic])
def test_one_whole_file_is_told_at_once_and_settles(tmp_path: Path, save: object) -> None:
    """Before any quiet window is over; one change, one word that it was all."""
    (tmp_path / "bot.py").write_text("1")

    async def main() -> tuple[Change, float, bool]:
        async with watching(tmp_path, early=True) as watched:
            assert callable(save)
            save(tmp_path / "bot.py", "2")
            change = await watched.change()
            assert watched.settled.empty(), "not before the change"
            at = await watched.settled.get()
            return change, at, watched.changes.empty()

    change, at, alone = asyncio.run(main())
    assert change.paths == ("bot.py",)
    assert change.quiet_at is None
    assert at - change.saved_at >= quiet.SHORT_S * 0.8  # the clock of file times lags by a tick
    assert alone


def test_who_does_not_ask_is_told_only_when_it_settled(tmp_path: Path) -> None:
    """As if there were no early word."""
    (tmp_path / "bot.py").write_text("1")

    async def main() -> Change:
        async with watching(tmp_path) as watched:
            (tmp_path / "bot.py").write_text("2")
            return await watched.change()

    assert asyncio.run(main()).quiet_at is not None


def test_a_file_that_is_still_open_is_not_told_before_it_is_closed(tmp_path: Path) -> None:
    """It may compile, and not be whole."""
    source = tmp_path / "bot.py"
    source.write_text("1")
    read: list[str] = []

    async def main() -> bool:
        async with watching(tmp_path, early=True) as watched:
            with source.open("w") as file:
                file.write("first half")
                file.flush()
                await watched.heard()
                assert watched.changes.empty()
                file.write(", second half")
            await watched.change()
            read.append(source.read_text())
            return watched.changes.empty()

    assert asyncio.run(main())
    assert read == ["first half, second half"]


def test_what_is_saved_on_top_is_told_instead_of_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`settled` would say that the first was all."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("1")

    async def main() -> tuple[Change, Change, bool]:
        watched = Watched([tmp_path], base=tmp_path)

        def on_top(change: Change) -> None:
            watched.changes.put_nowait(change)
            if change.paths == ("a.py",):
                (tmp_path / "b.py").write_text("2")
                watched.take({(MODIFIED, str(tmp_path / "b.py"))})  # else it may come too late

        async with watching(watched=watched, early=True, emit=on_top):
            real, glances = watched._looks.glance, itertools.count()

            def glance(*given: Any) -> object:
                assert next(glances) < 10, "it waits, and does not go round"
                return real(*given)

            monkeypatch.setattr(watched._looks, "glance", glance)
            (tmp_path / "a.py").write_text("2")
            first, second = await watched.change(), await watched.change()
            await watched.idle.wait()
            return first, second, watched.settled.empty()

    first, second, unsaid = asyncio.run(main())
    assert (first.paths, second.paths) == (("a.py",), ("b.py",))
    assert first.quiet_at is None
    assert second.quiet_at is not None
    assert second.quiet_at - second.saved_at >= 0.05, "one file was not all: the usual window again"
    assert unsaid


def test_after_a_save_on_top_one_file_is_not_trusted_for_a_while(tmp_path: Path) -> None:
    """What the last seconds were like is what the next will be like."""
    (tmp_path / "a.py").write_text("1")

    async def main() -> list[float | None]:
        told: list[float | None] = []
        async with watching(tmp_path, early=True) as watched:
            for n in range(3):
                (tmp_path / "a.py").write_text(f"again {n}")
                told.append((await watched.change()).quiet_at)
            return told

    told = asyncio.run(main())
    assert told[0] is None
    assert None not in told[1:]


@pytest.mark.parametrize("how", ["added", "deleted", "two"])
def test_more_than_one_known_file_is_told_when_it_settled(tmp_path: Path, how: str) -> None:
    """What comes or goes seldom comes or goes alone."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("1")

    async def main() -> Change:
        async with watching(tmp_path, early=True) as watched:
            match how:
                case "added":
                    (tmp_path / "c.py").write_text("1")
                case "deleted":
                    (tmp_path / "a.py").unlink()
                case _:
                    for name in ("a.py", "b.py"):
                        (tmp_path / name).write_text("2")
            return await watched.change()

    assert asyncio.run(main()).quiet_at is not None


def test_a_switch_of_branches_is_one_change_that_has_settled(tmp_path: Path) -> None:
    """Five hundred files by git itself: none of them is told on its own."""
    for name in ("main", "other"):
        for n in range(500):
            path = tmp_path / f"p{n % 10}" / f"m{n:03}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{name} {n}")
        if name == "main":
            git(tmp_path, "init", "-q", "-b", "main")
        else:
            git(tmp_path, "checkout", "-q", "-b", name)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", name)

    async def main() -> tuple[Change, bool]:
        async with watching(tmp_path, early=True) as watched:
            await asyncio.get_running_loop().run_in_executor(
                None, git, tmp_path, "checkout", "-q", "main"
            )
            change = await watched.change()
            await watched.idle.wait()
            return change, watched.changes.empty() and watched.settled.empty()

    change, alone = asyncio.run(main())
    assert len(change.paths) == 500
    assert change.quiet_at is not None
    assert alone


def git(folder: Path, *words: str) -> None:
    """Run git with nobody's settings."""
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(folder)}
    subprocess.run(["git", *who, *words], cwd=folder, env=env, check=True, timeout=60)


def test_noise_can_hold_back_the_word_only_until_the_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is touched all the time, also while it is looked at, is no change, and no quiet."""
    (tmp_path / "bot.py").write_text("1")
    (tmp_path / "noise.py").write_text("same")

    async def main() -> None:
        async with watching(tmp_path, early=True, quiet_cap_s=0.3) as watched:
            real, loop = watched._looks.look, asyncio.get_running_loop()

            def look(*given: Any) -> object:
                loop.call_soon_threadsafe(watched.take, {(MODIFIED, str(tmp_path))})
                return real(*given)

            monkeypatch.setattr(watched._looks, "look", look)
            (tmp_path / "bot.py").write_text("2")
            await watched.change()
            watched.take({(MODIFIED, str(tmp_path))})
            await watched.settled.get()
            assert watched.changes.empty()

    asyncio.run(main())


def test_what_check_finds_in_the_midst_of_a_save_settles_too(tmp_path: Path) -> None:
    """A start need not wait for it, but has to know that it may go on."""
    (tmp_path / "a.py").write_text("1")

    async def main() -> tuple[Change | None, bool]:
        async with watching(tmp_path, early=True, notify=deaf) as watched:
            (tmp_path / "a.py").write_text("2")
            found = watched.check()
            await watched.settled.get()
            return found, watched.changes.empty()

    found, alone = asyncio.run(main())
    assert found is not None
    assert found.quiet_at is None
    assert alone


def test_what_check_finds_long_after_it_was_saved_has_settled(tmp_path: Path) -> None:
    """Nothing has moved for a window, so there is nothing to wait for."""
    (tmp_path / "a.py").write_text("1")

    async def main() -> Change | None:
        async with watching(tmp_path, early=True, notify=deaf, quiet_s=0.01) as watched:
            (tmp_path / "a.py").write_text("2")
            while time.time() - (tmp_path / "a.py").stat().st_ctime < watched._quiet_s:
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            return watched.check()

    found = asyncio.run(main())
    assert found is not None
    assert found.quiet_at is not None


def test_what_moved_just_before_a_look_is_looked_at_again(tmp_path: Path) -> None:
    """It does not count as seen, and no event will come for it."""

    async def main() -> Change:
        async with watching(tmp_path, early=True, notify=deaf) as watched:
            (tmp_path / "new.py").write_text("1")
            watched.wake()  # as the look at a time does
            return await watched.change()

    assert asyncio.run(main()).paths == ("new.py",)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 6))]
)
def test_whatever_is_saved_whenever_each_early_word_is_followed_up(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `settled` or another change; and in the end all that is on the disk was told."""
    monkeypatch.setattr(quiet, "WARY_S", 0.3)
    monkeypatch.setattr(shared, "LOOK_EVERY_S", 0.1 if seed % 2 else 3600.0)
    saves = _Saves(tmp_path, random.Random(seed))  # noqa: S311 - a schedule, no secret

    asyncio.run(saves.run())
    assert saves.told == {path: path.read_text() for path in tmp_path.rglob("*.py")}
    assert "early" in saves.words, "no schedule at all would pass"
    for before, after in zip(saves.words, saves.words[1:], strict=False):
        assert after != "settled" or before == "early", "settled, and nothing was open"
    assert saves.words[-1] != "early"


class _Saves:
    """Saves at random instants, beside a watcher whose words are kept with what they were about."""

    def __init__(self, root: Path, choice: random.Random) -> None:
        self.words: list[str] = []
        self.told: dict[Path, str] = {}
        self._root = root
        self._choice = choice
        self._number = 0
        for n in range(30):
            self._write(root / f"m{n:02}.py")
        self.told = {path: path.read_text() for path in root.rglob("*.py")}
        self._all_told = asyncio.Event()

    async def run(self) -> None:
        """Save for a second, and return when the last file of all was told and has settled."""
        self._watcher = Watcher([self._root], base=self._root, quiet_cap_s=0.5)
        async with asyncio.timeout(BOUND_S), asyncio.TaskGroup() as group:
            task = group.create_task(self._watcher.run(self._emit, self._settled))
            await self._watcher.ready.wait()
            loop, at_s = asyncio.get_running_loop(), 0.0
            for _ in range(25):
                at_s += self._choice.choice([0.0, 0.003, 0.01, 0.02, 0.05, 0.1, 0.4])
                loop.call_later(at_s, self._save)
            # Alone, so that it may be told early itself.
            loop.call_later(at_s + 0.5, self._write, self._root / "m00.py", "the last")
            await self._all_told.wait()
            task.cancel()

    def _emit(self, change: Change) -> None:
        self.words.append("early" if change.quiet_at is None else "change")
        for path in (self._root / each for each in change.paths):
            if path.exists():
                self.told[path] = path.read_text()
            else:
                self.told.pop(path, None)
        self._ended()

    def _settled(self, at: float) -> None:
        assert at <= time.monotonic()
        self.words.append("settled")
        self._ended()

    def _ended(self) -> None:
        if self.told.get(self._root / "m00.py") == "the last" and self.words[-1] != "early":
            self._all_told.set()

    def _save(self) -> None:
        root = self._root
        known = sorted(root.rglob("*.py"))
        path = self._choice.choice(known)
        ways: list[Callable[[], object]] = [
            *[partial(self._write, path), partial(self._replace, path)] * 4,
            partial(self._write, root / f"new{self._number}.py"),
            partial(self._write, root / f"p{self._number}" / "q" / "m.py"),
            path.unlink,
            path.touch,
            partial(self._burst, known[:20]),
            partial(self._slowly, path),
            self._check,
        ]
        self._choice.choice(ways)()

    def _burst(self, paths: list[Path]) -> None:
        for path in paths:
            self._write(path)

    def _check(self) -> None:
        if (change := self._watcher.check()) is not None:
            self._emit(change)

    def _replace(self, path: Path) -> None:
        self._number += 1
        atomic(path, f"{self._number}")

    def _slowly(self, path: Path) -> None:
        """In place and in three parts: only after the last one it is whole."""
        handle = os.open(path, os.O_WRONLY | os.O_TRUNC)
        later = asyncio.get_running_loop().call_later
        for n in range(3):
            later(n * 0.015, os.write, handle, b"part ")
        later(0.04, os.close, handle)

    def _write(self, path: Path, text: str = "") -> None:
        self._number += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or f"{self._number}")
