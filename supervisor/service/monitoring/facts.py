"""What is known of each bot when somebody asks: the words of metrics and health. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from supervisor.core.state import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What the loop knows without looking anywhere.

    `backoff_s`: until the next try; 0 where none is waited for. `memory_limit_bytes` None: there
    is none.
    """

    name: str
    session: bool
    phase: Phase
    up: bool
    wanted: bool
    paused: bool
    held: bool
    generation: int
    backoff_s: float = 0.0
    memory_limit_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The session's own counts, which outlive every supervisor."""

    restores: int
    rollbacks: int
    links: int
    qr_shown: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """A session's snapshots: how many of each verdict, and the newest good one.

    `taken_at`: in seconds since 1970.
    """

    verdicts: Mapping[str, int]
    newest: str = ""
    taken_at: float | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was read from /proc and from the disk. None: it could not be read.

    `cpu_s`, `strangers`: so far, of all generations that this supervisor has seen.
    """

    processes: int = 0
    rss_bytes: int = 0
    cpu_s: float = 0.0
    strangers: int = 0
    ledger: Ledger | None = None
    copies: Copies | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All bots at a moment. `age_s`: how old the figures are; None: there are none yet."""

    glances: tuple[Glance, ...]
    figures: Mapping[str, Figures] = field(default_factory=dict)
    age_s: float | None = None


class Knows(Protocol):
    """Who can be asked."""

    def glances(self) -> tuple[Glance, ...]:
        """Return what is known at once; of the loop's thread."""
        ...

    async def facts(self) -> Facts:
        """Return all, with figures as new as can be had in a moment."""
        ...

    def close(self) -> None:
        """Know no more: the loop ends."""
        ...
