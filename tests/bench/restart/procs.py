"""What a tool's whole tree takes, without the bot: CPU time and memory."""

import time
from collections.abc import Collection
from contextlib import suppress

from tests.bench import clock
from tests.bench.many import proc


def tree(pid: int, bots: Collection[int]) -> list[int]:
    """Return a process and all below it; not the bots, nor what they started."""
    found = [pid]
    for each in found:
        with suppress(OSError):  # it ended meanwhile
            found += sorted(proc.children(each) - set(bots) - set(found))
    return found


def idle_share(pids: Collection[int], window_s: float) -> float:
    """Return which share of a core these processes take together over so many seconds."""
    before = _cpu_s(pids)
    begin_s = time.monotonic()
    clock.wait(window_s)
    after = _cpu_s(pids)
    spent_s = sum(after[pid] - before[pid] for pid in after.keys() & before.keys())
    return spent_s / (time.monotonic() - begin_s)


def pss_bytes(pids: Collection[int]) -> int:
    """Return their memory together, shared pages by their share."""
    total = 0
    for pid in pids:
        with suppress(OSError, RuntimeError):  # it ended meanwhile, and has no memory any more
            total += proc.pss_bytes(pid)
    return total


def _cpu_s(pids: Collection[int]) -> dict[int, float]:
    found: dict[int, float] = {}
    for pid in pids:
        with suppress(OSError):
            found[pid] = proc.cpu_s(pid)
    return found
