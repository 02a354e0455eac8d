"""The question `many`: whether one supervisor does for two hundred bots what it does for one."""

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import clock
from tests.bench.clock import Samples
from tests.bench.many import proc
from tests.bench.many.fleet import Fleet
from tests.bench.many.project import Project
from tests.bench.many.traces import Outcome, outcome, overlaps
from tests.bench.report import Report

COUNTS = (1, 10, 50, 200)
QUICK_COUNTS = (1, 10, 50)
REST, RESTARTS, PHASES = "many at rest", "many restarts", "many phases"

IDLE_MOST = 1.5
PSS_MOST_MB = 45.0
_OVER_ONE_S = 0.010
ALL_GAP_S = 0.150
_ONE_S = 20.0
_ALL_S, _ALL_EACH_S = 30.0, 1.0
_MODES = ("run", "dev")


@dataclass(slots=True)
class Saves:
    """What came of some saves."""

    gaps: Samples = field(default_factory=Samples)
    ready: Samples = field(default_factory=Samples)
    missed: int = 0
    extra: int = 0
    stale: int = 0
    overlaps: int = 0
    back_s: float = 0.0
    records: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, found: Outcome) -> None:
        """Add what came of one save."""
        self.missed += found.missed
        self.extra += found.extra
        self.stale += found.stale
        if found.gap_s is not None:
            self.gaps.add(found.gap_s)
        if found.ready_s is not None:
            self.ready.add(found.ready_s)

    def row(self, bots: int, what: str) -> dict[str, Any]:
        """Return the row of the table; what is not called the longest is the median."""
        return {
            "bots": bots,
            "saved": what,
            "n": self.missed + len(self.ready.values),
            "gap ms": _ms(self.gaps, statistics.median),
            "longest gap ms": _ms(self.gaps, max),
            "save to ready ms": _ms(self.ready, statistics.median),
            "longest to ready ms": _ms(self.ready, max),
            "all back s": self.back_s,
            "overlaps": self.overlaps,
            "missed": self.missed,
            "extra": self.extra,
            "stale": self.stale,
        }

    def phases(self, bots: int, what: str) -> dict[str, Any]:
        """Return the median of each phase, by the supervisor's own records, in ms."""
        found: dict[str, Samples] = {}
        for record in self.records:
            for name, value in record.items():
                if name.endswith("_s") and isinstance(value, float):
                    found.setdefault(f"{name[:-2]} ms", Samples()).add(value * 1000)
        medians = {name: samples.median for name, samples in found.items()}
        return {"bots": bots, "saved": what, **medians}


def run(scratch: Path, report: Report, *, quick: bool) -> None:
    """Measure with more and more bots, tell it, and hold it to its bars."""
    rest: list[dict[str, Any]] = []
    saves: dict[int, dict[str, Saves]] = {}
    for count in QUICK_COUNTS if quick else COUNTS:
        report.stage(f"{count} bots: at rest, and restarts")
        project = Project(scratch / f"many-{count}", count)
        saves[count] = {}
        for mode in _MODES:
            with Fleet.running(project, mode) as fleet:
                rest.append(_at_rest(fleet, mode, window_s=5.0 if quick else 20.0))
                if mode == "dev":
                    saves[count] = {"one": _save_one(fleet, 5), "all": _save_all(fleet)}
    tell(report, rest, saves)
    judge(report, rest, saves)


def _at_rest(fleet: Fleet, mode: str, *, window_s: float) -> dict[str, Any]:
    started = fleet.started()
    fleet.settle()
    share = fleet.idle_share(window_s)
    found: proc.Reading = fleet.reading()
    return {
        "bots": len(fleet.project.names),
        "mode": mode,
        "all online s": started.last_s,
        "not online": started.missing,
        "idle %": share * 100,
        "PSS MB": found.pss_bytes / 1e6,
        "helpers": found.helpers,
        "helpers' PSS MB": found.helpers_pss_bytes / 1e6,
        "threads": found.threads,
        "fds": found.fds,
    }


def _save_one(fleet: Fleet, times: int) -> Saves:
    """Save one bot's code, again and again, each time when all is quiet."""
    saves = Saves()
    name = fleet.project.names[len(fleet.project.names) // 2]
    for _ in range(times):
        fleet.settle()
        _saved(fleet, [name], saves, _ONE_S)
    return saves


def _save_all(fleet: Fleet) -> Saves:
    """Save all bots' code at once."""
    saves = Saves()
    names = fleet.project.names
    fleet.settle()
    _saved(fleet, names, saves, _ALL_S + _ALL_EACH_S * len(names))
    return saves


def _saved(fleet: Fleet, names: Iterable[str], saves: Saves, within_s: float) -> None:
    before = {name: overlaps(fleet.traces.lives(name)) for name in names}
    value, saved_ns = fleet.project.save(*names)
    fleet.await_saved(value, saved_ns, within_s)
    clock.wait(1.0)  # one restart too many would come now
    fleet.settle()
    outcomes = [outcome(fleet.traces.lives(name), at, value) for name, at in saved_ns.items()]
    for found in outcomes:
        saves.add(found)
    first_ns = min(saved_ns.values())
    back_s = (max(found.back_ns for found in outcomes) - first_ns) / 1e9
    saves.back_s = max(saves.back_s, back_s)
    saves.overlaps += sum(
        overlaps(fleet.traces.lives(name)) - count for name, count in before.items()
    )
    records = fleet.records()
    saves.records += [records[name] for name in names if name in records]


def tell(
    report: Report, rest: list[dict[str, Any]], saves: Mapping[int, Mapping[str, Saves]]
) -> None:
    """Show what came out: at rest, after saves, and the phases of the restarts."""
    title = "The supervisor and many light bots, at rest (idle: of one core, helpers included)"
    report.table(REST, title, tuple(rest[0]), rest)
    each = [(n, what, found) for n, kinds in saves.items() for what, found in kinds.items()]
    rows = [found.row(n, what) for n, what, found in each]
    title = "Bots saved one by one, when all was quiet, and all at once"
    report.table(RESTARTS, title, tuple(rows[0]), rows)
    rows = [found.phases(n, what) for n, what, found in each]
    head = tuple(dict.fromkeys(name for row in rows for name in row))
    report.table(PHASES, "The same by the supervisor's own records: medians", head, rows)


def judge(
    report: Report, rest: list[dict[str, Any]], saves: Mapping[int, Mapping[str, Saves]]
) -> None:
    """Hold the most bots to the promises, and all saves to being followed once."""
    most, least = max(saves), min(saves)
    for row in rest:
        if row["bots"] == most:
            name = f"{most} bots, {row['mode']}"
            pss_mb = row["PSS MB"] + row["helpers' PSS MB"]
            report.bar("many", f"{name}: idle", IDLE_MOST, row["idle %"], "% of a core")
            report.bar("many", f"{name}: memory, helpers too", PSS_MOST_MB, pss_mb, "MB")
    one, alone, together = saves[most]["one"], saves[least]["one"], saves[most]["all"]
    over_s = _over(one.gaps, alone.gaps)
    report.bar("many", f"one of {most}: gap over that of one alone", _OVER_ONE_S, over_s, "s")
    longest_s = max(together.gaps.values, default=None)
    report.bar("many", f"{most} at once: longest gap", ALL_GAP_S, longest_s, "s")
    missing = sum(row["not online"] for row in rest)
    report.bar("many", "bots that did not start, all starts together", 0.0, float(missing), "")
    for wrong in ("overlaps", "missed", "extra", "stale"):
        count = sum(getattr(found, wrong) for kinds in saves.values() for found in kinds.values())
        report.bar("many", f"{wrong}, all saves together", 0.0, float(count), "")


def _ms(samples: Samples, which: Callable[[list[float]], float]) -> float | None:
    """Return one of some seconds in ms; None where no bot came back."""
    return which(samples.values) * 1000 if samples.values else None


def _over(ours: Samples, other: Samples) -> float | None:
    return ours.median - other.median if ours.values and other.values else None
