"""What a tree of processes uses, by psutil; imported only when somebody asks."""

from collections.abc import Iterable
from contextlib import suppress
from typing import TypedDict

import psutil


class Usage(TypedDict):
    """`rss_bytes` counts shared pages once a process; `cpu_s` is user and system time so far."""

    processes: int
    rss_bytes: int
    cpu_s: float


def of(pids: Iterable[int]) -> Usage:
    """Add up what lives of `pids`."""
    total = Usage(processes=0, rss_bytes=0, cpu_s=0.0)
    for pid in pids:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                total["rss_bytes"] += process.memory_info().rss
                total["cpu_s"] = round(total["cpu_s"] + times.user + times.system, 3)
                total["processes"] += 1
    return total
