"""The picture of one restart, from its record: a bar for each phase, the gap marked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The phases in their order, as the record names them.
PHASES = (
    "detect",
    "quiet",
    "preflight",
    "standby",
    "checkpoint",
    "snapshot",
    "stop",
    "seal",
    "activate",
    "ready",
    "verify",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One phase: where it begins and how long it is, in thousandths of the picture's width."""

    phase: str
    x: float
    width: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A restart as bars; `gap`: the bar of the time offline, None where there was none."""

    bars: tuple[Bar, ...]
    gap: Bar | None
    words: str


def timeline(record: Mapping[str, Any], whole_s: float) -> Timeline:
    """Return the picture of a record. `whole_s`: the seconds that its whole width stands for."""
    bars: list[Bar] = []
    at = 0.0
    for phase in PHASES:
        seconds = record.get(f"{phase}_s")
        if not isinstance(seconds, int | float):
            continue
        if seconds > 0:
            bars.append(_bar(phase, at, seconds, whole_s))
        at += seconds
    ready, gap_s = record.get("save_to_ready_s"), record.get("gap_s")
    gap = None
    if isinstance(ready, int | float) and isinstance(gap_s, int | float) and gap_s > 0:
        gap = _bar("gap", max(0.0, ready - gap_s), gap_s, whole_s)
    said = ", ".join(f"{bar.phase} {_ms(bar.seconds)}" for bar in bars)
    offline = f"; offline {_ms(gap.seconds)}" if gap is not None else ""
    return Timeline(bars=tuple(bars), gap=gap, words=f"{said}{offline}")


def length_s(record: Mapping[str, Any]) -> float:
    """Return how long a restart took, verified; 0 where its record does not say."""
    parts = (record.get(f"{phase}_s") for phase in PHASES)
    return float(sum(part for part in parts if isinstance(part, int | float)))


def _bar(phase: str, at: float, seconds: float, whole_s: float) -> Bar:
    scale = 1000 / whole_s if whole_s > 0 else 0.0
    return Bar(phase=phase, x=at * scale, width=seconds * scale, seconds=seconds)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
