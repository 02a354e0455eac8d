"""What the kernel counts of a process: CPU time, memory, threads, open files, children."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench import clock

_SCHED = 2  # CPUCLOCK_SCHED of the kernel's posix-timers.h: all threads, also those that ended


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, to the ns (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | _SCHED)


def pss_bytes(pid: int) -> int:
    """Return the memory of a process, shared pages by their share."""
    return _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")


def rss_bytes(pid: int) -> int:
    """Return the memory of a process, shared pages in full."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:")


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def fds(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid: int) -> set[int]:
    """Return the children of all threads of a process, zombies too."""
    found: set[int] = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            found |= set(map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split()))
        except FileNotFoundError:
            continue  # a thread that ended just now
    return found


def state(pid: int) -> str:
    """Return the letter of a process's state; X for one that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return text.rpartition(")")[2].split()[0]


@dataclass(frozen=True, slots=True)
class Reading:
    """A supervisor at one moment. `helpers` are its children that are no bots."""

    pss_bytes: int
    rss_bytes: int
    threads: int
    fds: int
    helpers: int
    helpers_pss_bytes: int
    zombies: int

    @classmethod
    def of(cls, pid: int, bots: set[int]) -> Self:
        """Read it. `bots`: the bots' pids, which are left out."""
        under = {child: state(child) for child in children(pid) - bots}
        helpers = [child for child, letter in under.items() if letter not in "ZX"]
        return cls(
            pss_bytes(pid),
            rss_bytes(pid),
            threads(pid),
            fds(pid),
            len(helpers),
            sum(pss_bytes(helper) for helper in helpers),
            sum(state(child) == "Z" for child in children(pid)),
        )


def idle_share(pid: int, bots: set[int], window_s: float) -> float:
    """Return which share of a core a supervisor and its helpers take, over so many seconds."""
    pids = [pid, *sorted(children(pid) - bots)]
    before_s, begin_s = sum(map(cpu_s, pids)), time.monotonic()
    clock.wait(window_s)
    return (sum(map(cpu_s, pids)) - before_s) / (time.monotonic() - begin_s)


def _kilobytes(path: Path, word: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(word):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{path} has no {word}")
