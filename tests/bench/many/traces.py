"""What the bots' own traces say: when each life had the session, and what came of each save.

No figure here comes from the supervisor that is measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass(slots=True)
class Life:
    """One process of a bot. Instants are ns of CLOCK_MONOTONIC; 0: it did not come to that."""

    pid: int
    value: int
    start: int = 0
    taken: int = 0
    online: int = 0
    term: int = 0
    offline: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one save. Seconds; None: the saved code never came online.

    `extra`: times online beyond the one that was asked for. `stale`: those with other code than
    the saved one.
    """

    gap_s: float | None
    ready_s: float | None
    back_ns: int
    extra: int
    stale: int

    @property
    def missed(self) -> bool:
        """Whether the saved code never came online."""
        return self.ready_s is None


class Traces:
    """The traces of all bots below one folder, read on as they grow."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._read_bytes = dict.fromkeys(names, 0)
        self._lives: dict[str, dict[int, Life]] = {name: {} for name in names}

    def lives(self, name: str) -> list[Life]:
        """Return the lives of one bot so far, in the order in which they began."""
        self._read_on(name)
        return sorted(self._lives[name].values(), key=lambda life: life.start)

    def online(self, name: str, since_ns: int, value: int | None = None) -> bool:
        """Return whether the bot came online since then (with this code, if one is given)."""
        return any(
            life.online >= since_ns and value in (None, life.value) for life in self.lives(name)
        )

    def pids(self) -> set[int]:
        """Return the pids of all lives so far."""
        return {life.pid for name in self._lives for life in self.lives(name)}

    def _read_on(self, name: str) -> None:
        try:
            with (self._folder / name).open("rb") as file:
                file.seek(self._read_bytes[name])
                text = file.read()
        except FileNotFoundError:
            return  # it never started so far
        whole = text[: text.rfind(b"\n") + 1]
        self._read_bytes[name] += len(whole)
        for line in whole.decode().splitlines():
            ns, word, pid, value = line.split()
            if word == "start":  # a pid may come again, another process then
                self._close(name, int(pid))
                self._lives[name][int(pid)] = Life(int(pid), int(value))
            setattr(self._lives[name][int(pid)], word, int(ns))

    def _close(self, name: str, pid: int) -> None:
        old = self._lives[name].pop(pid, None)
        if old is not None:
            self._lives[name][-old.start] = old


def outcome(lives: Sequence[Life], saved_ns: int, value: int) -> Outcome:
    """Return what came of the save of `value`, of which all was written at `saved_ns`."""
    online = sorted((life for life in lives if life.online), key=lambda life: life.online)
    since = [life for life in online if life.online >= saved_ns]
    back = next((life for life in since if life.value == value), None)
    stale = sum(life.value != value for life in since)
    if back is None:
        return Outcome(None, None, 0, len(since), stale)
    before = [life for life in online if life.online < back.online]
    told_ns = before[-1].term if before else 0
    return Outcome(
        (back.online - told_ns) / 1e9 if told_ns else None,
        (back.online - saved_ns) / 1e9,
        back.online,
        len(since) - 1,
        stale,
    )


def overlaps(lives: Sequence[Life]) -> int:
    """Return how often a life was given the session before the one before it had let go of it.

    One without a last word counts as well: nobody knows when it ended.
    """
    having = sorted((life for life in lives if life.taken), key=lambda life: life.taken)
    return sum(not 0 < old.offline <= new.taken for old, new in pairwise(having))
