"""What comes out: bars that are met or missed, tables for people, one file for programs."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tests.bench.clock import Samples

MISSED = "MISSED"
UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise: `measured` is at most `most`. None: there was nothing to compare with."""

    question: str
    name: str
    most: float
    measured: float | None
    unit: str
    how: str = ""

    @property
    def verdict(self) -> str:
        """What came of it."""
        if self.measured is None:
            return UNKNOWN
        return "pass" if self.measured <= self.most else MISSED

    def as_json(self) -> dict[str, Any]:
        """Return the fields, and whether it was met (null: not measured)."""
        passed = None if self.measured is None else self.verdict == "pass"
        return {
            "question": self.question,
            "name": self.name,
            "target": self.most,
            "measured": self.measured,
            "unit": self.unit,
            "how": self.how,
            "passed": passed,
        }


@dataclass(slots=True)
class Report:
    """All results of one run. `facts`: the machine and the tools."""

    facts: dict[str, Any]
    bars: list[Bar] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    begin_s: float = field(default_factory=time.monotonic)

    def stage(self, what: str) -> None:
        """Say what begins now, and how many seconds the run has taken so far."""
        click.echo(f"[{time.monotonic() - self.begin_s:4.0f} s] {what}", err=True)

    def bar(
        self,
        question: str,
        name: str,
        most: float,
        measured: float | None,
        unit: str = "x",
        how: str = "",
    ) -> None:
        """Add a promise and what was measured."""
        self.bars.append(Bar(question, name, most, measured, unit, how))

    def table(
        self, name: str, title: str, head: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add rows, and show those of their columns that are in `head`."""
        self.tables.append({"name": name, "title": title, "rows": list(rows)})
        shown = [[cell(row.get(column)) for column in head] for row in rows]
        say("", title, *columns([list(head), *shown]))

    @property
    def missed(self) -> list[Bar]:
        """The promises that were not kept."""
        return [bar for bar in self.bars if bar.verdict == MISSED]

    def finish(self, path: Path) -> None:
        """Show the bars, and write all to `path`."""
        rows = [["", "at most", "measured", ""]]
        for bar in self.bars:
            how = f"  ({bar.how})" if bar.how else ""
            measured = "-" if bar.measured is None else quantity(bar.measured, bar.unit)
            name, most = f"{bar.question}: {bar.name}", quantity(bar.most, bar.unit)
            rows.append([name, most, measured, bar.verdict + how])
        say("", "What is promised", *columns(rows))
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {
            "version": 1,
            **self.facts,
            "bars": [bar.as_json() for bar in self.bars],
            "tables": self.tables,
        }
        path.write_text(json.dumps(whole, indent=1) + "\n")


def say(*lines: str) -> None:
    """Show lines at once."""
    for line in lines:
        click.echo(line)


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit, as short as it stays clear."""
    if unit == "s":
        return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
    if unit == "x":
        return f"{value:.2f} x"
    return f"{value:.1f} {unit}".replace(".0 ", " ")


def cell(value: Any) -> str:
    """Return what a table shows: times in ms with their spread, bytes in MB."""
    if value is None:
        return ""
    if isinstance(value, dict):
        low, high = value["min"], value["max"]
        middle = f"{value['median'] * 1000:.1f}"
        spread = f" ({low * 1000:.1f}-{high * 1000:.1f})" if value["n"] > 1 else ""
        return middle + spread
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines in which the cells stand below each other, the first column to the left."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    last = len(widths) - 1
    lines: list[str] = []
    for row in rows:
        cells = [
            text.ljust(width) if at in (0, last) else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def ratio(ours: Samples, theirs: Samples | None) -> float | None:
    """Return median over median, or None where there is nothing to compare with."""
    if theirs is None or not theirs.values or not ours.values:
        return None
    return ours.median / theirs.median
