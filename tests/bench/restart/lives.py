"""What the bot's own trace says: when each process lived, and what came of each save.

No figure here comes from the tool that is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path


@dataclass(slots=True)
class Life:
    """One process. Instants are ns of CLOCK_MONOTONIC; 0: it did not come to that.

    `taken`: it opens the session. `dead` is not from the trace: who watches the process sets it.
    """

    pid: int
    value: int = 0
    start: int = 0
    imported: int = 0
    taken: int = 0
    online: int = 0
    term: int = 0
    offline: int = 0
    dead: int = 0


@dataclass(slots=True)
class Trace:
    """The trace at `path`, read on as it grows."""

    path: Path
    lives: list[Life] = field(default_factory=list)
    _read_bytes: int = 0
    _by_pid: dict[int, Life] = field(default_factory=dict)

    def read(self) -> list[Life]:
        """Return all lives so far, in the order in which they began to write."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_bytes)
                text = file.read()
        except FileNotFoundError:
            return self.lives  # none was ever started
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.decode().splitlines():
            ns, word, pid, value = line.split()
            if word == "start":  # a pid may come again: another process then
                self._by_pid[int(pid)] = Life(int(pid))
                self.lives.append(self._by_pid[int(pid)])
            life = self._by_pid[int(pid)]
            life.value = int(value)
            setattr(life, word, int(ns))
        return self.lives

    def online(self, since_ns: int, value: int | None = None) -> Life | None:
        """Return who came online first since then (with this code, if one is given)."""
        found = [
            life
            for life in self.read()
            if life.online >= max(since_ns, 1) and value in (None, life.value)
        ]
        return min(found, key=lambda life: life.online, default=None)

    def current(self) -> Life | None:
        """Return who came online last, if it was not told to stop."""
        online = sorted((life for life in self.read() if life.online), key=lambda x: x.online)
        return online[-1] if online and not online[-1].term else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one save. Seconds; None: it did not come to that, or nobody saw it.

    `told_s`: save to the old one's SIGTERM. `stop_s`, `dead_s`: from there to its last line, and
    to its end. `gap_s`: from there to the new one online. `ready_s`: save to the new one online.
    `extra`: times online beyond the one asked for. `stale`: those of them with other code.
    """

    told_s: float | None
    stop_s: float | None
    dead_s: float | None
    gap_s: float | None
    ready_s: float | None
    extra: int
    stale: int

    @property
    def missed(self) -> bool:
        """Whether the saved code never came online."""
        return self.ready_s is None


def outcome(lives: Sequence[Life], saved_ns: int, value: int) -> Outcome:
    """Return what came of the save of `value`, which was all written at `saved_ns`."""
    online = sorted((life for life in lives if life.online), key=lambda life: life.online)
    since = [life for life in online if life.online >= saved_ns]
    back = next((life for life in since if life.value == value), None)
    stale = sum(life.value != value for life in since)
    if back is None:
        return Outcome(None, None, None, None, None, len(since), stale)
    before = [life for life in online if life.online < saved_ns]
    old = before[-1] if before else Life(0)
    term = old.term
    return Outcome(
        told_s=_between(saved_ns, term),
        stop_s=_between(term, old.offline),
        dead_s=_between(term, old.dead),
        gap_s=_between(term, back.online),
        ready_s=_between(saved_ns, back.online),
        extra=len(since) - 1,
        stale=stale,
    )


def overlaps(lives: Sequence[Life], *, waits: bool) -> int:
    """Return how often two processes might write the session at once.

    Who does not know how to wait (`waits`) may do so from its first line on, else from when it
    opens the session; until its last line, or its end if it had none. With neither nobody knows
    when it was done: it counts.
    """
    spans = sorted(
        (life.taken if waits else life.start, life.offline or life.dead)
        for life in lives
        if (life.taken if waits else life.start)
    )
    return sum(not 0 < end <= begin for (_, end), (begin, _) in pairwise(spans))


def _between(start_ns: int, end_ns: int) -> float | None:
    return (end_ns - start_ns) / 1e9 if start_ns and end_ns else None
