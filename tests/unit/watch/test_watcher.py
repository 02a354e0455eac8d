"""The watcher's promises: soon, once per burst, never not at all; each with real files."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from supervisor.watch import shared, watcher
from supervisor.watch.kernel import Notify, rust_notify
from supervisor.watch.watcher import Change
from tests.unit.watch.watched import Watched, atomic, looked, watching

pytestmark = pytest.mark.usefixtures("only_events")


@pytest.mark.parametrize("save", [Path.write_text, atomic])
def test_a_save_is_told_with_its_times(tmp_path: Path, save: object) -> None:
    """In place or atomic: one change, relative to the base, its times in order."""
    source = tmp_path / "src" / "bot.py"
    source.parent.mkdir()
    source.write_text("a = 1\n")

    async def main() -> tuple[float, Change, bool]:
        async with watching(tmp_path) as watched:
            began = time.monotonic()
            assert callable(save)
            save(source, "a = 2\n")
            return began, await watched.change(), watched.changes.empty()

    began, change, alone = asyncio.run(main())
    assert change.paths == ("src/bot.py",)
    assert alone
    assert change.quiet_at is not None
    # The clock of file times lags by a tick.
    assert began - 0.02 <= change.saved_at <= change.detected_at < change.quiet_at
    assert change.quiet_at - change.saved_at >= 0.05
    assert change.quiet_at - began < 1


def test_added_and_deleted_files_are_changes(tmp_path: Path) -> None:
    """Also of a kind that was not there before."""
    (tmp_path / "old.py").write_text("")

    async def main() -> tuple[str, ...]:
        async with watching(tmp_path) as watched:
            (tmp_path / "old.py").unlink()
            (tmp_path / "new.py").write_text("")
            return await watched.paths()

    assert asyncio.run(main()) == ("new.py", "old.py")


def test_a_save_of_the_same_size_with_the_old_time_is_seen(tmp_path: Path) -> None:
    """The content decides, not size and time."""
    source = tmp_path / "bot.py"
    source.write_text("a = 1\n")
    old = source.stat()

    async def main() -> tuple[str, ...]:
        async with watching(tmp_path) as watched:
            source.write_text("a = 2\n")
            os.utime(source, ns=(old.st_atime_ns, old.st_mtime_ns))
            return await watched.paths()

    assert asyncio.run(main()) == ("bot.py",)


def test_a_touch_or_a_chmod_or_the_same_text_again_is_no_change(tmp_path: Path) -> None:
    """The first thing told is the real change, and it alone."""
    names = ["touched.py", "moded.py", "timed.py", "rewritten.py", "replaced.py", "real.py"]
    for name in names:
        (tmp_path / name).write_text("same\n")

    async def main() -> tuple[str, ...]:
        async with watching(tmp_path) as watched:
            (tmp_path / "touched.py").touch()
            await watched.heard()
            (tmp_path / "moded.py").chmod(0o755)
            await watched.heard()
            os.utime(tmp_path / "timed.py", (1, 1))
            await watched.heard()
            (tmp_path / "rewritten.py").write_text("same\n")
            await watched.heard()
            atomic(tmp_path / "replaced.py", "same\n")
            await watched.heard()
            await looked(watched)
            (tmp_path / "real.py").write_text("other\n")
            return await watched.paths()

    assert asyncio.run(main()) == ("real.py",)


def test_a_slow_write_is_one_change_with_the_whole_file(tmp_path: Path) -> None:
    """Ten chunks, each within the quiet window of the one before, over more than one window."""
    source = tmp_path / "bot.py"
    source.write_text("old")
    read: list[str] = []

    async def main() -> tuple[Change, float, bool]:
        async with watching(tmp_path) as watched:
            began = time.monotonic()
            with source.open("w") as file:
                for n in range(10):
                    file.write(f"chunk {n}\n")
                    file.flush()
                    await watched.heard()
            took = time.monotonic() - began
            change = await watched.change()
            read.append(source.read_text())
            return change, took, watched.changes.empty()

    change, took, alone = asyncio.run(main())
    assert alone
    assert change.paths == ("bot.py",)
    assert read[0].count("chunk") == 10
    assert took > 0.06, "too fast to prove anything"


def test_a_burst_of_a_thousand_files_is_one_change(tmp_path: Path) -> None:
    """As a switch of branches makes it."""
    files = [tmp_path / f"p{n % 10}" / f"m{n:03}.py" for n in range(1000)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text("old\n")

    async def main() -> tuple[Change, bool]:
        async with watching(tmp_path) as watched:
            for file in files:
                file.write_text("new\n")
            change = await watched.change()
            return change, watched.changes.empty() and watched.check() is None

    change, alone = asyncio.run(main())
    assert len(change.paths) == 1000
    assert list(change.paths) == sorted(change.paths)
    assert alone


def test_what_changes_before_the_watch_is_in_place_comes_first(tmp_path: Path) -> None:
    """From the baseline on (the first `check`) nothing is lost."""
    (tmp_path / "a.py").write_text("1")
    watched = Watched([tmp_path], base=tmp_path)
    assert watched.check() is None
    (tmp_path / "a.py").write_text("2")

    async def main() -> tuple[str, ...]:
        async with watching(watched=watched) as running:
            return await running.paths()

    assert asyncio.run(main()) == ("a.py",)


def test_what_changes_while_the_watch_is_put_in_place_is_told(tmp_path: Path) -> None:
    """Between the look that found the folders and the kernel's first event."""
    (tmp_path / "a.py").write_text("1")

    def late(folders: Sequence[str]) -> Notify:
        (tmp_path / "a.py").write_text("2")
        return rust_notify(folders)

    async def main() -> tuple[str, ...]:
        async with watching(tmp_path, notify=late) as watched:
            return await watched.paths()

    assert asyncio.run(main()) == ("a.py",)


def test_a_change_during_the_quiet_window_is_told_with_the_first(tmp_path: Path) -> None:
    """And the window starts again with it."""

    async def main() -> tuple[Change, bool]:
        async with watching(tmp_path) as watched:
            (tmp_path / "a.py").write_text("1")
            await watched.heard()
            (tmp_path / "b.py").write_text("1")
            return await watched.change(), watched.changes.empty()

    change, alone = asyncio.run(main())
    assert change.paths == ("a.py", "b.py")
    assert alone


def test_a_change_while_one_is_told_is_told_next(tmp_path: Path) -> None:
    """Nothing falls between two changes."""
    told: list[tuple[str, ...]] = []

    async def main() -> None:
        watched = Watched([tmp_path], base=tmp_path)
        done = asyncio.Event()

        def emit(change: Change) -> None:
            told.append(change.paths)
            if len(told) == 5:
                done.set()
            else:
                (tmp_path / f"{len(told)}.py").write_text("")

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            task = group.create_task(watched.run(emit))
            await watched.ready.wait()
            (tmp_path / "0.py").write_text("")
            await done.wait()
            task.cancel()

    asyncio.run(main())
    assert told == [(f"{n}.py",) for n in range(5)]


def test_what_check_returns_is_told_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One change leads to one restart, whoever sees it first."""
    monkeypatch.setattr(watcher, "BRIEF_LOOK_S", 9.0)  # it looks itself, however busy the machine
    (tmp_path / "a.py").write_text("1")

    async def main() -> tuple[Change | None, Change | None, tuple[str, ...]]:
        async with watching(tmp_path) as watched:
            (tmp_path / "a.py").write_text("2")
            first, second = watched.check(), watched.check()
            await watched.heard()
            await looked(watched)
            (tmp_path / "b.py").write_text("")
            return first, second, await watched.paths()

    first, second, told = asyncio.run(main())
    assert first is not None
    assert first.paths == ("a.py",)
    assert first.quiet_at is not None
    assert first.saved_at <= first.detected_at <= first.quiet_at
    assert second is None
    assert told == ("b.py",)


def test_without_end_a_change_is_told_at_the_cap(tmp_path: Path) -> None:
    """A file that is written all the time does not hold the rest back for ever."""

    async def main() -> tuple[float, Change]:
        async with watching(tmp_path, quiet_s=0.2, quiet_cap_s=0.3) as watched:
            began = time.monotonic()
            (tmp_path / "bot.py").write_text("new")
            n = 0
            while watched.changes.empty():
                (tmp_path / "noise.py").write_text(f"{n}")
                n += 1
                await watched.heard()
            return time.monotonic() - began, await watched.change()

    took, change = asyncio.run(main())
    assert "bot.py" in change.paths
    assert 0.25 < took < 2


def test_lost_events_are_made_up_for_by_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel says nothing at all (its queue ran over, say): found, and watched anew."""
    monkeypatch.setattr(shared, "LOOK_EVERY_S", 0.02)

    async def main() -> tuple[tuple[str, ...], int]:
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        root = tmp_path / "src"
        root.mkdir()
        async with watching(root, notify=lambda _: rust_notify([str(elsewhere)])) as watched:
            before = len(watched.folders)
            (root / "a.py").write_text("")
            told = await watched.paths()
            while len(watched.folders) == before:
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            return told, len(watched.folders) - before

    assert asyncio.run(main()) == (("a.py",), 1)


LEAVE_IT_RUNNING = """
import asyncio, sys, pathlib
from supervisor.watch.watcher import Watcher
loop = asyncio.new_event_loop()
watcher = Watcher([pathlib.Path(sys.argv[1])], base=pathlib.Path(sys.argv[1]))
task = loop.create_task(watcher.run(print))
loop.run_until_complete(watcher.ready.wait())
task._log_destroy_pending = False
print("leaving")
"""


def test_a_watcher_that_nobody_ended_does_not_hold_the_interpreter(tmp_path: Path) -> None:
    """Its thread is inside native code when Python ends: no hang, no abort."""
    done = subprocess.run(
        [sys.executable, "-c", LEAVE_IT_RUNNING, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "leaving\n")


def test_ending_takes_no_time(tmp_path: Path) -> None:
    """Within 100 ms of the cancellation, also in the middle of a quiet window."""

    async def main() -> float:
        async with watching(tmp_path) as watched:
            (tmp_path / "a.py").write_text("")
            await watched.heard()
            began = time.monotonic()
        return time.monotonic() - began

    assert asyncio.run(main()) < 0.1
