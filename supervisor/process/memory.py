"""The memory of processes: read from /proc without a library, and our own given back."""

import ctypes
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


# malloc.h of glibc, mallopt(3).
_M_ARENA_MAX = -8
# Once: each of these makes classes of its own, 3 KB that only the garbage collector frees.
_libc = ctypes.CDLL(None)


def use_one_arena() -> None:
    """Have all threads allocate in one place, where what one frees is of use to the next.

    glibc gives each thread a place of its own, so that none waits for another; ours wait for
    Python's lock anyway. To be called before there are threads.
    """
    option = getattr(_libc, "mallopt", None)
    if option is not None:
        option(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return to the kernel what was allocated once and is free now.

    glibc keeps what a thread had freed for the next one: after the copy of a session of 50 MB,
    15 MB. malloc_trim(3) looks through all of it, in 1 to 3 ms without Python's lock. Elsewhere
    (musl) nothing is done.
    """
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
