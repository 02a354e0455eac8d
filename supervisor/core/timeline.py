"""The picture of one restart, from its record: a bar for each phase, the gap marked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from supervisor.core.records import PHASES

# What the whole picture is wide.
WIDTH = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One phase, or the gap: where it begins and how wide it is, of `WIDTH`."""

    phase: str
    x: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A restart as bars. `gap`: the time offline, None where there was none."""

    bars: tuple[Bar, ...]
    gap: Bar | None
    total_s: float


def timeline(
    record: Mapping[str, Any], whole_s: float | None = None, *, least: float = 0.0
) -> Timeline:
    """Return the picture of a record, as `Restart.to_json` makes it.

    `whole_s`: the seconds that the whole width stands for; None: the restart's own. No bar is less
    than `least` wide: it could not be seen.
    """
    total_s = length_s(record)
    scale = WIDTH / (whole_s or total_s) if whole_s or total_s else 0.0
    bars: list[Bar] = []
    at_s = 0.0
    for phase in PHASES if total_s else ():
        seconds = _seconds(record.get(f"{phase}_s"))
        if seconds is None:
            continue
        width = max(seconds * scale, least)
        bars.append(Bar(phase=phase, x=at_s * scale, width=width, seconds=seconds))
        at_s += seconds
    return Timeline(bars=tuple(bars), gap=_gap(record, scale, least), total_s=total_s)


def length_s(record: Mapping[str, Any]) -> float:
    """Return how long a restart took until it was verified; 0 where its record does not say."""
    return sum(_seconds(record.get(f"{phase}_s")) or 0.0 for phase in PHASES)


def _gap(record: Mapping[str, Any], scale: float, least: float) -> Bar | None:
    gap_s, ready_s = _seconds(record.get("gap_s")), _seconds(record.get("save_to_ready_s"))
    if gap_s is None or ready_s is None or not scale:
        return None
    width = min(max(gap_s * scale, least), WIDTH)
    x = min(max(0.0, ready_s - gap_s) * scale, WIDTH - width)
    return Bar(phase="gap", x=x, width=width, seconds=gap_s)


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
