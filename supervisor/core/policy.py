"""What one bot's configuration means for the decisions of the core."""

from dataclasses import dataclass
from typing import Literal

Standby = Literal["auto", "bot", "warm", "off"]
RestartPolicy = Literal["always", "on-failure", "never"]


@dataclass(frozen=True, slots=True)
class Keep:
    """How many snapshots stay: the last ones, and more by age."""

    last: int = 5
    hourly: int = 6
    daily: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The knobs that `step` reads. Durations in seconds."""

    has_session: bool = True
    standby: Standby = "auto"
    restart: RestartPolicy = "on-failure"
    stop_timeout_s: float = 10.0
    restore_timeout_s: float = 10.0
    start_timeout_s: float = 60.0
    checkpoint_timeout_s: float = 2.0
    snapshot_timeout_s: float = 60.0
    settle_s: float = 0.0
    backoff_s: tuple[float, float] = (0.5, 30.0)
    intensity: tuple[int, float] = (5, 60.0)
    no_retry: tuple[int, ...] = ()
    # Bots that crashed together must not come back together: each has its own, at random.
    seed: int = 0
    # A developer's next save is the cure for a crash; a service has only time.
    on_change: bool = True
