"""The curves of `many` as a picture, `many.png`, if matplotlib is there: nothing depends on it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench.many.question import ALL_GAP_S, IDLE_MOST, PSS_MOST_MB, REST, RESTARTS
from tests.bench.report import Report

Row = Mapping[str, Any]


def draw(report: Report, folder: Path) -> list[str]:
    """Draw it into `folder`. Returns lines that say what was done; none if nothing was asked."""
    tables = {table["name"]: table["rows"] for table in report.tables}
    if not tables.keys() >= {REST, RESTARTS}:
        return []
    try:
        pyplot: Any = import_module("matplotlib.pyplot")
    except ImportError:
        return ["no picture of many bots: matplotlib is not installed"]
    pyplot.switch_backend("agg")
    figure, places = pyplot.subplots(2, 2, figsize=(10, 7))
    rest = {mode: _chosen(tables[REST], "mode", mode) for mode in ("run", "dev")}
    saved = {what: _chosen(tables[RESTARTS], "saved", what) for what in ("one", "all")}
    idle, memory, gap, whole = places.flat
    for mode, rows in rest.items():
        _line(idle, rows, mode, lambda row: row["idle %"])
        _line(memory, rows, mode, lambda row: row["PSS MB"] + row["helpers' PSS MB"])
        _line(whole, rows, f"start of all, {mode}", lambda row: row["all online s"])
    _line(gap, saved["one"], "one saved: median", lambda row: _ms(row, "gap ms"))
    _line(gap, saved["all"], "all saved at once: median", lambda row: _ms(row, "gap ms"))
    _line(gap, saved["all"], "all saved at once: longest", lambda row: _ms(row, "longest gap ms"))
    _line(whole, saved["all"], "all saved at once, until all are back", lambda r: r["all back s"])
    for place, title, most in (
        (idle, "at rest, % of a core", IDLE_MOST),
        (memory, "memory (PSS), MB", PSS_MOST_MB),
        (gap, "gap, ms", ALL_GAP_S * 1000),
        (whole, "seconds", None),
    ):
        if most is not None:
            place.axhline(most, color="grey", linestyle="--", linewidth=1, label="promised")
        place.set(title=title, xlabel="bots of one supervisor", ylim=(0, None))
        place.legend(fontsize="small")
    figure.tight_layout()
    path = folder / "many.png"
    figure.savefig(path)
    return [f"many bots: {path}"]


def _chosen(rows: list[Row], column: str, value: str) -> list[Row]:
    return [row for row in rows if row[column] == value]


def _line(place: Any, rows: list[Row], label: str, height: Callable[[Row], float]) -> None:
    place.plot([row["bots"] for row in rows], [height(row) for row in rows], "o-", label=label)


def _ms(row: Row, column: str) -> float:
    """Return a time in ms; no number where no bot came back."""
    return float("nan") if row[column] is None else row[column]
