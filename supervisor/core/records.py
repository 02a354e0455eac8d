"""The record of one restart: the instants as they come, the durations that people read."""

from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["standby", "warm", "cold"]
Reason = Literal["change", "manual", "crash", "hang", "limit", "schedule", "start"]

# What a restart goes through, in this order; each is a key of its record, with `_s` behind it. From
# `stop` until `ready` nobody is online.
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
class Restart:
    """One restart. Instants (`_at`) are seconds of the monotonic clock, None: not gone through.

    No decision reads it: the search of the machine's states leaves it out.
    """

    reason: Reason
    begun_at: float
    changed: tuple[str, ...] = ()
    mode: Mode = "cold"
    generation: int = 0
    saved_at: float | None = None
    detected_at: float | None = None
    quiet_at: float | None = None
    preflight_at: float | None = None
    standby_at: float | None = None
    checkpoint_at: float | None = None
    snapshot_at: float | None = None
    terminated_at: float | None = None
    gone_at: float | None = None
    sealed_at: float | None = None
    activated_at: float | None = None
    ready_at: float | None = None
    verified_at: float | None = None
    verified: bool = False
    proof: str = ""
    late: bool = False
    rolled_back: bool = False
    spare: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the record with the keys that `status --json` promises, durations in seconds."""
        # Each phase lasts from the latest instant before it that was gone through.
        ends = (
            self.detected_at,
            self.quiet_at,
            self.preflight_at,
            self.standby_at,
            self.checkpoint_at,
            self.snapshot_at,
            self.gone_at,
            self.sealed_at,
            self.activated_at,
            self.ready_at,
            self.verified_at,
        )
        start = self.begun_at if self.saved_at is None else self.saved_at
        phases: dict[str, float | None] = {}
        previous = start
        for phase, instant in zip(PHASES, ends, strict=True):
            phases[f"{phase}_s"] = _between(previous, instant)
            previous = previous if instant is None else max(previous, instant)
        return {
            "generation": self.generation,
            "reason": self.reason,
            "changed": list(self.changed),
            "mode": self.mode,
            "verified": self.verified,
            "proof": self.proof or None,
            "late": self.late,
            "rolled_back": self.rolled_back,
            "spare": self.spare,
            "save_to_ready_s": _between(start, self.ready_at),
            "gap_s": _between(self.terminated_at, self.ready_at),
            **phases,
        }


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else round(max(0.0, end - start), 6)
