"""The question `restart`: how soon a bot is back after a save, by ours and by the others."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.core import records
from tests.bench.clock import Samples
from tests.bench.report import Report, columns, ratio, say
from tests.bench.restart import crowds, race
from tests.bench.restart.peers import PEERS
from tests.bench.restart.project import LIGHT, REALISTIC, Kind, Project
from tests.bench.restart.race import Row
from tests.bench.restart.stillhere import OURS, Contract, NoSpare, Stillhere
from tests.bench.restart.tools import Places, Tool

RACE, PHASES, CROWDS, QUICK_SAVES, MANY = (
    "restart",
    "restart phases",
    "restart crowds",
    "restart quick saves",
    "restart many files",
)
_OVER_STOP_S = 0.015
_DETECT_MOST_S = 0.012
# Of the best other's time from save to ready: by form of ours and kind of bot.
LIGHT_MOST, NO_SPARE_MOST = 0.75, 1.1
REALISTIC_CONTRACT_MOST, REALISTIC_MOST = 0.4, 0.55
_PSS_MOST_MB, _IDLE_MOST = 30.0, 0.4
_SAFETY = (
    "",
    "bot",
    "two at once",
    "both open",
    "missed",
    "extra",
    "stale",
    "unprepared",
    "idle %",
    "PSS MB",
    "spare MB",
)


@dataclass(slots=True)
class Found:
    """All that was measured. `alone`: each bot's own stop and end, without any tool."""

    alone: dict[str, tuple[Samples, Samples]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    crowds: list[dict[str, Any]] = field(default_factory=list)
    quick: dict[str, Any] = field(default_factory=dict)
    many: dict[str, Any] = field(default_factory=dict)


class Question:
    """Asks it in `scratch`. `places`: where the peers are."""

    def __init__(self, scratch: Path, report: Report, places: Places, *, quick: bool) -> None:
        self._scratch = scratch
        self._report = report
        self._places = places
        self._saves, self._idle_s = (5, 5.0) if quick else (15, 20.0)
        # Ours looks less often after two minutes without a save; a quick run does not wait so long.
        self._settle_s = 6.0 if quick else 130.0
        self._quick_saves = 20 if quick else 50
        self.found = Found()

    def ask(self) -> None:
        """Measure all of it, tell it, and hold ours to its bars."""
        kinds = [LIGHT, REALISTIC] if self._places.bots_python else [LIGHT]
        if len(kinds) == 1:
            say("  the realistic bot: not measured (its libraries are not installed)")
        there = [kind for kind in PEERS if self._places.program(kind.program)]
        missing = {kind.name: kind.program for kind in PEERS if kind not in there}
        self._report.facts.setdefault("missing", {}).update(missing)
        for name, program in missing.items():
            say(f"  {name}: not installed ({program} is not found)")
        versions = {kind.name: self._places.version(kind.package) for kind in there}
        self._report.facts.setdefault("versions", {}).update(versions)
        say(*columns([[name, version or "of the system"] for name, version in versions.items()]))
        for bot in kinds:
            self._race(bot, [*OURS, *there])
        for tool in (*OURS[:2], *(kind for kind in there if kind.watches)):
            self._report.stage(f"many changes at once, and a slow one: {tool.name}")
            made = self._make(tool, LIGHT, "crowd")
            crowds.prepare(made.project)
            self.found.crowds.append(crowds.measure(made))
        self._report.stage(f"{self._quick_saves} saves, each as soon as the bot is back")
        contract = self._make(Contract, LIGHT, "quick")
        self.found.quick = crowds.quick_saves(contract, self._quick_saves)
        self._report.stage("10,000 files, watched at rest")
        self.found.many = crowds.many_files(
            self._make(NoSpare, LIGHT, "many"), self._idle_s, self._settle_s
        )
        tell(self._report, self.found)
        judge(self._report, self.found)

    def _race(self, bot: Kind, tools: list[type[Tool]]) -> None:
        self._report.stage(f"the {bot.name} bot alone")
        project = Project(self._scratch / f"alone-{bot.name}", bot, self._python)
        stop, dead = race.alone(project, self._saves)
        for kind in tools:
            self._report.stage(f"the {bot.name} bot, {self._saves} saves: {kind.name}")
            self.found.rows.append(
                race.measure(self._make(kind, bot, "race"), self._saves, self._idle_s)
            )
        # Before and after: a slow moment of the machine shall not move what ours is held to.
        later_stop, later_dead = race.alone(project, self._saves)
        all_of_it = (
            Samples(stop.values + later_stop.values),
            Samples(dead.values + later_dead.values),
        )
        self.found.alone[bot.name] = all_of_it

    @property
    def _python(self) -> Path:
        return self._places.bots_python or Path(sys.executable)

    def _make(self, kind: type[Tool], bot: Kind, what: str) -> Tool:
        root = self._scratch / f"{what}-{bot.name}-{kind.__name__.lower()}"
        project = Project(root, bot, self._python, contract=issubclass(kind, Contract))
        return kind(project, self._places)


def run(scratch: Path, report: Report, places: Places, *, quick: bool) -> None:
    """Answer the question."""
    Question(scratch / "restart", report, places, quick=quick).ask()


def tell(report: Report, found: Found) -> None:
    """Show what came out."""
    rows: list[dict[str, Any]] = []
    for bot, (stop, dead) in found.alone.items():
        alone = {"stop ms": stop.as_json(), "dead ms": dead.as_json()}
        rows.append({"": "(the bot alone)", "bot": bot, "n": len(dead.values), **alone})
        rows += [row.as_row() for row in found.rows if row.bot == bot]
    times = tuple(f"{name} ms" for name in race.TIMES)
    title = (
        "Saves, by the bot's own clock. told: save to SIGTERM; from there stop: to its last line,"
        " dead: to its end, gap: to the new one online. ready: save to that"
    )
    report.table(RACE, title, ("", "bot", "n", *times), rows)
    say("", "The same: what went wrong (none may), and what the tool takes at rest without the bot")
    shown = [row for row in rows if "extra" in row]
    report.table(
        f"{RACE} safety",
        "unprepared: saved before the spare was there; idle: of one core; PSS: without the spare",
        _SAFETY,
        shown,
    )
    report.table(
        PHASES,
        "Ours, by its own records: medians, ms",
        ("", "bot", *records.PHASES),
        [{"": row.tool, "bot": row.bot, **phases(row)} for row in found.rows if row.ours],
    )
    if found.crowds:
        title = (
            f"Restarts after {crowds.BURST_FILES} files at once, a branch of"
            f" {crowds.BRANCH_FILES}, and a save that takes 100 ms"
            f" (nothing there: none within {crowds.MOST_S:.0f} s)"
        )
        report.table(CROWDS, title, tuple(_without(found.crowds[0])), found.crowds)
    for name, title, row in (
        (QUICK_SAVES, "Saves of the same size, each as soon as the bot was back", found.quick),
        (MANY, "Many files, watched at rest, no spare", found.many),
    ):
        if row:
            report.table(name, title, tuple(row), [row])


def phases(row: Row) -> dict[str, float]:
    """Return the median of each phase by the supervisor's records, in ms."""
    result: dict[str, float] = {}
    for name in records.PHASES:
        seen = (record.get(f"{name}_s") for record in row.records)
        values = [value for value in seen if value is not None]
        if values:
            result[name] = Samples(values).median * 1000
    return result


def judge(report: Report, found: Found) -> None:
    """Hold ours to what is promised."""
    for bot, (_stop, dead) in found.alone.items():
        for row in (row for row in found.rows if row.bot == bot and row.ours):
            _judge_gap(report, row, dead)
            _judge_ready(report, row, best_peer(found.rows, bot))
    ours = [row for row in found.rows if row.ours]
    for wrong in ("overlaps", "missed", "extra", "stale"):
        count = sum(getattr(row, wrong) for row in ours)
        report.bar("restart", f"{wrong}, all forms and bots together", 0.0, float(count), "")
    detect = [record["detect_s"] for row in ours for record in row.records if _has(record)]
    median_s = Samples(detect).median if detect else None
    report.bar("restart", "save to detected", _DETECT_MOST_S, median_s, "s", "its own record")
    for row in (row for row in ours if row.tool in (Stillhere.name, NoSpare.name)):
        pss_mb = None if row.pss_bytes is None else (row.pss_bytes - row.spare_bytes) / 1e6
        name = f"memory without spare, {row.tool}, {row.bot}"
        report.bar("restart", name, _PSS_MOST_MB, pss_mb, "MB")
    if found.many:
        report.bar("restart", "10,000 files: idle", _IDLE_MOST, found.many["idle %"], "% of a core")
    for crowd in (row for row in found.crowds if row.get("ours")):
        for what, most in (
            ("burst", 1.0),
            ("branch", 1.0),
            ("slow save", 1.0),
            ("slow: torn", 0.0),
            ("not followed", 0.0),
        ):
            name = f"{what}{', restarts' if most else ''}, {crowd['']}"
            count = crowd[what]
            report.bar("restart", name, most, None if count is None else float(count), "")
    for wrong in ("missed", "extra", "stale", "two at once"):
        if found.quick:
            report.bar("restart", f"quick saves: {wrong}", 0.0, float(found.quick[wrong]), "")


def best_peer(rows: list[Row], bot: str) -> Row | None:
    """Return the fastest of the others that followed each save and never ran two at once."""
    safe = [row for row in rows if row.bot == bot and not row.ours and row.safe]
    return min(safe, key=lambda row: row.times["ready"].median, default=None)


def _judge_gap(report: Report, row: Row, dead: Samples) -> None:
    gap, stop = row.times["gap"], row.times["stop"]
    own, how = (dead, "the bot alone, to its end") if row.tool == Stillhere.name else (stop, "")
    over_s = gap.median - own.median if gap.values and own.values else None
    name = f"gap over the stop itself, {row.tool}, {row.bot}"
    report.bar("restart", name, _OVER_STOP_S, over_s, "s", how or "to its last line")


def _judge_ready(report: Report, row: Row, best: Row | None) -> None:
    most = LIGHT_MOST if row.bot == LIGHT.name else REALISTIC_CONTRACT_MOST
    if row.tool == NoSpare.name:
        most = NO_SPARE_MOST
    elif row.tool == Stillhere.name and row.bot == REALISTIC.name:
        most = REALISTIC_MOST
    measured = ratio(row.times["ready"], best.times["ready"] if best else None)
    name = f"save to ready of the best other's, {row.tool}, {row.bot}"
    report.bar("restart", name, most, measured, "x", best.tool if best else "none to compare")


def _has(record: dict[str, Any]) -> bool:
    return isinstance(record.get("detect_s"), float)


def _without(row: dict[str, Any]) -> list[str]:
    return [name for name in row if name != "ours"]
