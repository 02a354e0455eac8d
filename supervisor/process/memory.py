"""The memory of one process, read from /proc without a library."""

from contextlib import suppress
from pathlib import Path


def pss_bytes(pid: int) -> int | None:
    """Return a process's memory, shared pages by their share; None if that can't be read.

    From /proc/<pid>/smaps_rollup, `Pss` (proc_pid_smaps(5)).
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return None
