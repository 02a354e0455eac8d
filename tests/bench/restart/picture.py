"""The restarts as a picture, `restart.png`, drawn with matplotlib."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench.report import Report
from tests.bench.restart.question import RACE

_TOLD, _GAP = {True: "#9ecae1", False: "#d9d9d9"}, {True: "#2171b5", False: "#969696"}
Row = Mapping[str, Any]


def draw(report: Report, folder: Path) -> list[str]:
    """Draw it into `folder`. Returns lines that say what was done; none if nothing was asked."""
    rows = [row for table in report.tables if table["name"] == RACE for row in table["rows"]]
    bots = list(dict.fromkeys(row["bot"] for row in rows))
    if not bots:
        return []
    try:
        pyplot: Any = import_module("matplotlib.pyplot")
    except ImportError:
        return ["no picture of the restarts: matplotlib is not installed"]
    pyplot.switch_backend("agg")
    figure, places = pyplot.subplots(1, len(bots), squeeze=False, figsize=(7.5 * len(bots), 5))
    for place, bot in zip(places[0], bots, strict=True):
        of_bot = [row for row in rows if row["bot"] == bot and row.get("ready ms")]
        _bars(place, sorted(of_bot, key=lambda row: -row["ready ms"]["median"]))
        place.set(title=f"the {bot} bot", xlabel="ms from the save; line: least to most")
    handles, labels = places[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=2, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    path = folder / "restart.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return [f"the restarts: {path}"]


def _bars(place: Any, rows: list[Row]) -> None:
    """One bar for each tool: until the old bot was told to stop, then until the new one is up."""
    for at, row in enumerate(rows):
        ready = {name: row["ready ms"][name] * 1000 for name in ("median", "min", "max")}
        told = min((row["told ms"] or {"median": 0.0})["median"] * 1000, ready["median"])
        place.barh(at, told, color=_TOLD[row["ours"]])
        place.barh(at, ready["median"] - told, left=told, color=_GAP[row["ours"]])
        spread = [[ready["median"] - ready["min"]], [ready["max"] - ready["median"]]]
        place.errorbar(ready["median"], at, xerr=spread, color="black", capsize=3, linewidth=1)
        note = f"  {ready['median']:.0f}" + ("  two at once" if row["two at once"] else "")
        place.text(ready["max"], at, note, va="center", fontsize="small")
    place.set_yticks(range(len(rows)), [row[""] for row in rows])
    place.set_xlim(0, max((row["ready ms"]["max"] for row in rows), default=1.0) * 1250)
    place.barh(
        0,
        0,
        color=_TOLD[True],
        label="from the save until the old bot is told to stop: it is online",
    )
    place.barh(0, 0, color=_GAP[True], label="from there until the new one is online: the gap")
