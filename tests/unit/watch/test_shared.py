"""One watch for many bots: each is told of its own, and nobody pays for, or with, the others'."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Literal

import pytest

from supervisor.watch import shared
from supervisor.watch import watcher as module
from supervisor.watch.kernel import Events, Notify, rust_notify
from supervisor.watch.shared import Watch
from tests.unit.watch.watched import BOUND_S, Watched, deaf, watching

pytestmark = pytest.mark.usefixtures("only_events")
MODIFIED = 2


def folders(tmp_path: Path, number: int) -> list[Path]:
    """Make folders with a file each."""
    made = [tmp_path / f"bot{n}" for n in range(number)]
    for folder in made:
        folder.mkdir()
        (folder / "a.py").write_text("1")
    return made


@contextlib.asynccontextmanager
async def together(watch: Watch, roots: Sequence[Path]) -> AsyncIterator[list[Watched]]:
    """Watch each root for a bot of its own; return when nothing is to be looked at any more."""
    async with asyncio.timeout(BOUND_S), contextlib.AsyncExitStack() as stack:
        made = [Watched([root], base=root, watch=watch) for root in roots]
        await asyncio.gather(
            *(stack.enter_async_context(watching(watched=each, early=True)) for each in made)
        )
        yield made


def test_many_that_start_together_are_watched_by_one(tmp_path: Path) -> None:
    """One native loop and one thread for looks, whatever their number."""
    made: list[Sequence[str]] = []

    def notify(names: Sequence[str]) -> Notify:
        made.append(names)
        return rust_notify(names)

    def threads() -> list[str]:
        return sorted(each.name for each in threading.enumerate() if each.name.startswith("watch"))

    async def main() -> int:
        roots = folders(tmp_path, 40)
        async with together(Watch(notify), roots):
            while threads() != ["watch-kernel", "watch_0"]:  # one that was replaced may still end
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            return len(made)

    assert asyncio.run(main()) <= 2
    assert set(made[-1]) == {str(tmp_path / f"bot{n}") for n in range(40)}


def test_a_save_wakes_only_those_whose_it_is(tmp_path: Path) -> None:
    """Two that watch one folder are both told."""

    async def main() -> tuple[list[int], list[bool]]:
        roots = folders(tmp_path, 20)
        async with together(Watch(), [*roots, roots[3]]) as all_of_them:
            taken: list[int] = []
            for number, each in enumerate(all_of_them):
                real = each.take

                def take(events: Events | None, n: int = number, real: object = real) -> None:
                    taken.append(n)
                    assert callable(real)
                    real(events)

                each.take = take  # type: ignore[method-assign]
            (roots[3] / "a.py").write_text("2")
            for n in (3, 20):
                assert (await all_of_them[n].change()).paths == ("a.py",)
            return taken, [each.changes.empty() for each in all_of_them]

    taken, untold = asyncio.run(main())
    assert set(taken) == {3, 20}
    assert all(untold)


def test_one_that_leaves_takes_nothing_from_the_others(tmp_path: Path) -> None:
    """And one that comes later is watched as well."""

    async def main() -> list[tuple[str, ...]]:
        one, two, three = folders(tmp_path, 3)
        watch = Watch()
        told = []
        async with together(watch, [one]) as (first,):
            async with together(watch, [two]):
                (one / "a.py").write_text("2")
                told.append(await first.paths())
            (two / "a.py").write_text("of nobody")
            (one / "a.py").write_text("3")
            told.append(await first.paths())
            async with together(watch, [three]) as (last,):
                (three / "a.py").write_text("2")
                told.append(await last.paths())
        async with together(watch, [two]) as (again,):
            (two / "a.py").write_text("2")
            told.append(await again.paths())
        return told

    assert asyncio.run(main()) == [("a.py",)] * 4


class Held:
    """Hands over what happens, but not before `let_go`; what is stopped before that is lost."""

    def __init__(self, real: Notify) -> None:
        self._real = real
        self.let_go = threading.Event()
        self.let_go.set()
        self.holding = threading.Event()

    def watch(
        self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: threading.Event
    ) -> Events | Literal["signal", "stop", "timeout"]:
        """As the native one, which asks whether to stop before it hands anything over."""
        if self.let_go.is_set():
            return self._real.watch(debounce_ms, step_ms, timeout_ms, stop_event)
        self.holding.set()
        self.let_go.wait(BOUND_S)
        return self._real.watch(debounce_ms, step_ms, timeout_ms, stop_event)

    def close(self) -> None:
        """As the native one."""
        self._real.close()


def test_a_save_that_comes_while_the_watch_is_replaced_is_told(tmp_path: Path) -> None:
    """Another bot's new folder must not cost this one its event: the next look may be far."""
    made: list[Held] = []

    def notify(names: Sequence[str]) -> Notify:
        made.append(Held(rust_notify(names)))
        return made[-1]

    async def main() -> tuple[str, ...]:
        one, two = folders(tmp_path, 2)
        watch = Watch(notify)
        loop = asyncio.get_running_loop()
        async with together(watch, [one, two]) as (first, _):
            old = made[-1]
            # An event lets it begin its next call, which is held before it hands anything over.
            old.let_go.clear()
            (one / "a.py").write_text("2")
            if (await first.change()).quiet_at is None:
                await first.settled.get()  # else it would look again by itself
            await first.idle.wait()
            await loop.run_in_executor(None, old.holding.wait, BOUND_S)
            (one / "a.py").write_text("3")
            await watch.arm()  # as if for the other one
            assert made[-1] is not old
            old.let_go.set()
            return await first.paths()

    assert asyncio.run(main()) == ("a.py",)


def test_what_came_before_another_armed_our_new_folder_is_told(tmp_path: Path) -> None:
    """It was found, but not watched yet; then all are armed because of another bot."""

    async def main() -> tuple[str, ...]:
        one, two = folders(tmp_path, 2)
        watch = Watch(deaf)
        async with together(watch, [one, two]) as (first, _):
            new = one / "new"
            new.mkdir()
            first.rescan()  # what a look finds before anybody has told the kernel
            (new / "b.py").write_text("unheard of")
            await watch.arm()
            return await first.paths()

    assert asyncio.run(main()) == ("new/b.py",)


@pytest.mark.parametrize("how", ["moved", "made"])
def test_a_glance_does_not_overlook_a_folder(tmp_path: Path, how: str) -> None:
    """One event names it, and all that is in it came or went."""

    async def main() -> tuple[str, ...]:
        inner, outside = tmp_path / "src" / "pkg", tmp_path / "outside"
        there, gone = (inner, outside) if how == "moved" else (outside, inner)
        there.mkdir(parents=True)
        (tmp_path / "src").mkdir(exist_ok=True)
        (there / "m.py").write_text("1")
        src = tmp_path / "src"
        async with watching(src, early=True, notify=deaf) as watched:
            there.rename(gone)
            watched.take({(MODIFIED, str(inner))})
            return await watched.paths()

    assert asyncio.run(main()) == ("pkg/m.py",)


def test_a_start_in_a_large_tree_compares_only_what_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty milliseconds in the loop would be the bot's absence. What is new is told later."""
    monkeypatch.setattr(module, "BRIEF_LOOK_S", 0.0)
    walks: list[int] = []

    async def main() -> None:
        (tmp_path / "a.py").write_text("1")
        async with watching(tmp_path, early=True) as watched:
            real = watched._tree.scan

            def scan(stopping: threading.Event | None = None) -> object:
                walks.append(threading.get_ident())
                return real(stopping)

            watched._tree.scan = scan  # type: ignore[method-assign,assignment]
            (tmp_path / "a.py").write_text("2")
            assert watched.check() is None, "nobody has named it yet"
            watched._named = {str(tmp_path / "a.py")}
            found = watched.check()
            assert found is not None
            assert found.paths == ("a.py",)
            (tmp_path / "new.py").write_text("1")
            watched._named = {str(tmp_path / "new.py")}
            assert watched.check() is None, "for this one everything has to be looked at"
            assert (await watched.change()).paths == ("new.py",)

    asyncio.run(main())
    assert walks
    assert threading.get_ident() not in walks


def test_looks_are_as_rare_as_they_are_slow_but_come_soon_after_a_new_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are for what events do not tell, and may cost a thousandth of a core."""
    looked: list[int] = []

    async def main() -> None:
        watch = Watch()
        (tmp_path / "a.py").write_text("1")
        async with together(watch, [tmp_path]) as (watched,):
            loop, again = asyncio.get_running_loop(), asyncio.Event()

            def differs() -> bool:
                looked.append(1)
                if len(looked) >= 2:  # it takes two to know what one costs
                    loop.call_soon_threadsafe(again.set)
                return False

            monkeypatch.setattr(watched, "differs", differs)
            monkeypatch.setattr(shared, "LOOK_EVERY_S", 0.0)
            monkeypatch.setattr(shared, "LOOK_SHARE", 1e-12)
            clock = loop.create_task(watch._look_at_times())
            await again.wait()
            again.clear()
            for _ in range(100):
                await loop.run_in_executor(None, lambda: None)
            assert len(looked) == 2
            await watch.arm()
            await again.wait()
            clock.cancel()

    asyncio.run(main())
    assert len(looked) == 3


Look = Callable[[threading.Event, float], object]


def test_a_look_that_failed_is_had_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No event comes a second time, and the next look at a time may be far."""
    monkeypatch.setattr(module, "POLL_EVERY_S", 0.02)
    (tmp_path / "a.py").write_text("1")
    refusals = [OSError(24, "Too many open files")] * 3

    async def main() -> tuple[tuple[str, ...], list[str]]:
        async with watching(tmp_path, early=True) as watched:
            real: Look = watched._looks.look

            def look(stopping: threading.Event, within_s: float) -> object:
                if refusals:
                    raise refusals.pop()
                return real(stopping, within_s)

            monkeypatch.setattr(watched._looks, "look", look)
            (tmp_path / "new.py").write_text("1")
            return await watched.paths(), watched.problems

    told, problems = asyncio.run(main())
    assert told == ("new.py",)
    assert len(problems) == 1
