"""The session of 1 GB: time, how the cost grows, memory, and what the event loop feels."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench import clock, peers
from tests.bench.clock import Samples, timed
from tests.bench.ours import IN_PROCESS, ROOT, Ours, environment, live_folder
from tests.bench.report import Report, ratio
from tests.bench.snapshots import SECONDS_HEAD, Race
from tests.bench.trees import Tree

FILES = 20_000
QUICK_FILES = 4_000
SIZES = (1_000, 5_000)
CHANGES = (0, 20, 100, 400, 2_000)
FIXED_CHANGE = 100
# Files may be younger here than in the races: just older than what is read again by design.
_CURVE_WAIT_S = 2.1
# No more rounds begin after this time, so that the whole run stays near six minutes.
_NEXTS_S, _CURVES_S = 25.0, 30.0
_MEMORY_MOST_MB = 64.0
_BLOCK_MOST_S = 0.010
# They copy all of it each time, and take long: what they need is what the first copy needed.
_FULL_COPIES = (peers.Cp, peers.Zip)


class Large:
    """The tree and what is asked of it. `files`: how many it has; 2 % are changed."""

    def __init__(self, scratch: Path, report: Report, starts: dict[str, float], files: int) -> None:
        self._project = scratch / "large"
        self._tree = Tree(live_folder(self._project), files, database=False)
        self._report = report
        self._starts = starts
        self._changed = files // 50
        self._size = f"{files * 53 / 1e6:.1f} GB, {files:,} files"
        self._report.stage(f"session of {self._size}: it is made")
        self._tree.make()
        clock.wait(clock.SETTLED_S)

    def race(self, rounds: int) -> None:
        """Compare with the others."""
        self._report.stage(f"session of {self._size}: a first snapshot each, then {rounds} more")
        race = Race(self._project, self._tree, self._starts)
        race.first()
        title = f"First snapshot of {self._size}"
        self._report.table("large first", title, SECONDS_HEAD, race.rows())
        race.start_over()
        for number in clock.rounds(rounds, _NEXTS_S):
            race.next(self._changed, left_out=_FULL_COPIES, whole_command=not number)
        title = f"The next one: {self._changed} files rewritten (cp and zip: as the first)"
        self._report.table("large next", title, SECONDS_HEAD, race.rows())
        best = race.best_peer()
        ours = race.lines[IN_PROCESS].synced
        share = ratio(ours, race.synced(best) if best else None)
        self._report.bar(
            "large", "next snapshot, of the best other's time", 0.35, share, how=best or ""
        )

    def curves(self, rounds: int) -> None:
        """Show what the cost follows: what changed, not what there is."""
        self._report.stage("how the cost grows")
        trees = {self._tree.small: self._tree}
        for size in SIZES:
            trees[size] = Tree(live_folder(self._project / f"of-{size}"), size, database=False)
            trees[size].make()
        stores = {size: Ours(tree.folder.parents[1], "curve-cache") for size, tree in trees.items()}
        clock.wait(_CURVE_WAIT_S)
        for ours in stores.values():
            ours.fresh()
            ours.snapshot()
        by_change: dict[int, tuple[Samples, Samples]] = {}
        by_size: dict[int, tuple[Samples, Samples]] = {}
        for _ in clock.rounds(rounds, _CURVES_S):
            for change in CHANGES:
                changed = dict(trees) if change == FIXED_CHANGE else {self._tree.small: self._tree}
                for tree in changed.values():
                    tree.change(change)
                clock.wait(_CURVE_WAIT_S if change else 0)
                for size, tree in changed.items():
                    walk, snapshot = _measure(stores[size], tree)
                    if size == self._tree.small:
                        _add(by_change, change, walk, snapshot)
                    if change == FIXED_CHANGE:
                        _add(by_size, size, walk, snapshot)
        small = self._tree.small
        self._curve(f"Cost over what changed, in {small:,} files", "changed files", by_change)
        title = f"Cost over the size, {FIXED_CHANGE} changed files"
        self._curve(title, "files", dict(sorted(by_size.items())))

    def memory(self) -> None:
        """Measure the peak of a first and of a next snapshot."""
        self._report.stage("memory of a snapshot")
        rows: list[dict[str, Any]] = []
        for _ in range(2):
            found = self._probe("memory", "memory-cache")
            name = "first snapshot" if found["first"] else "next snapshot"
            row: dict[str, Any] = {"": name, "before MB": found["before_bytes"] / 1e6}
            row["snapshot MB"] = found["snapshot_bytes"] / 1e6
            row["with validation MB"] = found["validated_bytes"] / 1e6
            rows.append(row)
            self._tree.change(self._changed)
            clock.wait(clock.SETTLED_S)
        head = tuple(rows[0])
        title = f"Peak memory above what was in use before, {self._size}"
        self._report.table("memory", title, head, rows)
        peak = max(float(row["with validation MB"]) for row in rows)
        self._report.bar("memory", "peak above the supervisor's own", _MEMORY_MOST_MB, peak, "MB")

    def loop(self, rounds: int) -> None:
        """Measure how long the event loop stands still while a thread takes a snapshot."""
        self._report.stage("the event loop during a snapshot")
        numbers = (self._tree.small, self._tree.step, self._changed, rounds + 1)
        found = self._probe("loop", "loop-cache", *map(str, numbers))
        self._tree.step += rounds
        rows = [
            {
                "": "first snapshot" if each["first"] else "next snapshot",
                "took ms": each["took_s"] * 1000,
                **{
                    f"{name} ms": "{:.1f} ({:.1f})".format(
                        each[name]["own_lag_s"] * 1000, each[name]["lag_s"] * 1000
                    )
                    for name in ("without", "during", "validation")
                },
                "lags": {name: each[name] for name in ("without", "during", "validation")},
            }
            for each in found
        ]
        title = f"The longest a 1 ms ticker had to wait (with other programs' doing), {self._size}"
        self._report.table("loop", title, tuple(rows[0])[:-1], rows)
        worst = max(each["during"]["own_lag_s"] - each["without"]["own_lag_s"] for each in found)
        self._report.bar("loop", "longest block, over that without", _BLOCK_MOST_S, worst, "s")

    def _curve(self, title: str, over: str, points: dict[int, tuple[Samples, Samples]]) -> None:
        rows = [
            {
                over: point,
                "n": len(snapshot.values),
                "snapshot ms": snapshot.as_json(),
                "stat walk ms": walk.as_json(),
                "less the walk ms": (snapshot.median - walk.median) * 1000,
            }
            for point, (walk, snapshot) in points.items()
        ]
        self._report.table(f"cost over {over}", title, tuple(rows[0]), rows)

    def _probe(self, what: str, store: str, *numbers: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.probe", what, str(self._project), store, *numbers],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
        return json.loads(done.stdout)


def _measure(ours: Ours, tree: Tree) -> tuple[float, float]:
    walk, _ = timed(lambda: clock.walk(tree.folder), ours.store, sync=False)
    snapshot, _ = timed(ours.snapshot, ours.store, sync=False)
    return walk.plain_s, snapshot.plain_s


def _add(
    points: dict[int, tuple[Samples, Samples]], point: int, walk: float, snapshot: float
) -> None:
    walks, snapshots = points.setdefault(point, (Samples(), Samples()))
    walks.add(walk)
    snapshots.add(snapshot)
