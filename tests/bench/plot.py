"""The two curves as a picture, if matplotlib happens to be there: nothing depends on it."""

from importlib import import_module
from pathlib import Path
from typing import Any

from tests.bench.report import Report

_OVER = ("changed files", "files")


def draw(report: Report, folder: Path) -> list[str]:
    """Draw `curves.png` into `folder`. Returns lines that say what was done."""
    curves = {
        over: table["rows"]
        for over in _OVER
        for table in report.tables
        if table["name"] == f"cost over {over}"
    }
    if not curves:
        return []
    try:
        pyplot: Any = import_module("matplotlib.pyplot")
    except ImportError:
        return ["no picture of the curves: matplotlib is not installed"]
    pyplot.switch_backend("agg")
    figure, places = pyplot.subplots(1, len(curves), squeeze=False, figsize=(10, 4))
    for place, (over, rows) in zip(places[0], curves.items(), strict=True):
        points = [row[over] for row in rows]
        for name in ("snapshot ms", "stat walk ms"):
            place.plot(points, [row[name]["median"] * 1000 for row in rows], "o-", label=name[:-3])
        place.set(xlabel=over, ylabel="ms", ylim=(0, None))
        place.legend()
    figure.tight_layout()
    path = folder / "curves.png"
    figure.savefig(path)
    return [f"the curves: {path}"]
