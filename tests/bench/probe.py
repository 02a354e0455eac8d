"""One snapshot in a process of its own: the memory it takes, how long it blocks an event loop.

    python -m tests.bench.probe memory PROJECT STORE
    python -m tests.bench.probe loop PROJECT STORE SMALL_FILES STEP CHANGED ROUNDS

Prints JSON. A small session beside it is handled before, as a supervisor would have.
"""

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench import clock
from tests.bench.ours import Ours, live_folder
from tests.bench.trees import Tree

_TICK_S = 0.001
_BASELINE_S = 1.0


def memory(project: Path, store: str) -> dict[str, Any]:
    """Return by how many bytes the peak is above what was in use before."""
    _warm_up(project)
    ours = Ours(project, store)
    fresh = not ours.store.exists()
    if fresh:
        ours.fresh()
    # "5" makes the peak begin at what is in use now (proc(5), /proc/pid/clear_refs).
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_bytes("VmRSS")
    snapshot = ours.snapshot()
    after = _status_bytes("VmHWM")
    verdict = ours.validate(snapshot).verdict
    return {
        "first": fresh,
        "verdict": verdict,
        "before_bytes": before,
        "snapshot_bytes": after - before,
        "validated_bytes": _status_bytes("VmHWM") - before,
    }


async def loop(project: Path, store: str, tree: Tree, changed: int, rounds: int) -> list[Any]:
    """Return the longest lags of a 1 ms ticker, during a snapshot and without, in seconds."""
    _warm_up(project)
    ours = Ours(project, store)
    fresh = not ours.store.exists()
    if fresh:
        ours.fresh()
    ticker = _Ticker()
    found: list[Any] = []
    running = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        for number in range(rounds):
            if not fresh or number:
                tree.change(changed)
                await running.run_in_executor(thread, clock.wait, clock.SETTLED_S)
            clock.sync_filesystem(project)
            ticker.start()
            begin = time.perf_counter()
            snapshot = await running.run_in_executor(thread, ours.snapshot)
            took_s = time.perf_counter() - begin
            during = ticker.stop()
            ticker.start()
            await running.run_in_executor(thread, ours.validate, snapshot)
            validation = ticker.stop()
            ticker.start()
            # As long as the snapshot took, since the worst of a longer time is worse.
            await running.run_in_executor(thread, clock.wait, max(took_s, _BASELINE_S))
            found.append(
                {
                    "first": fresh and not number,
                    "without": ticker.stop(),
                    "during": during,
                    "validation": validation,
                    "took_s": took_s,
                }
            )
    return found


class _Ticker:
    """Wants to run each millisecond, and keeps by how much it was late at most.

    When the thread was ready to run and others had the cores, that is not ours: it is kept apart
    (the second number of /proc/self/task/TID/schedstat, nanoseconds; the kernel's
    sched-stats.rst).
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None
        self._schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._due = 0.0
        self._queued_s = 0.0
        self._worst_s = 0.0
        self._worst_own_s = 0.0

    def start(self) -> None:
        """Begin anew."""
        self._worst_s = self._worst_own_s = 0.0
        self._queued_s = self._queued()
        self._plan()

    def stop(self) -> dict[str, float]:
        """End. Returns the worst lags in seconds: all, and without what others took of it."""
        if self._next is not None:
            self._next.cancel()
        self._look()  # one that is not over yet counts
        return {"lag_s": self._worst_s, "own_lag_s": self._worst_own_s}

    def _plan(self) -> None:
        self._due = self._loop.time() + _TICK_S
        self._next = self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        self._look()
        self._plan()

    def _look(self) -> None:
        lag_s = self._loop.time() - self._due
        before_s, self._queued_s = self._queued_s, self._queued()
        self._worst_s = max(self._worst_s, lag_s)
        self._worst_own_s = max(self._worst_own_s, lag_s - (self._queued_s - before_s))

    def _queued(self) -> float:
        try:
            return int(self._schedstat.read_text().split()[1]) / 1e9
        except FileNotFoundError:
            return 0.0  # a kernel that does not count it


def _warm_up(project: Path) -> None:
    small = project / "small"
    if not small.exists():
        Tree(live_folder(small), 20, database=False).make()
    ours = Ours(small)
    ours.fresh()
    ours.validate(ours.snapshot())


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


def main(what: str, project: str, store: str, *numbers: str) -> None:
    """Do what is asked, and print it."""
    place = Path(project)
    if what == "memory":
        found: Any = memory(place, store)
    else:
        small, step, changed, rounds = (int(number) for number in numbers)
        tree = Tree(live_folder(place), small, database=False, step=step)
        found = asyncio.run(loop(place, store, tree, changed, rounds))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
