"""Where stat tells that a file changed, and where it does not: in memory.

A write through a mapping moves a file's times at the page's first fault for writing. On a disk
each page has one, at the latest after it was written back. In memory nothing is written back, so
that a page that was read first has none (Linux, vma_wants_writenotify; measured with 6.18: on
tmpfs such a write moves nothing, on ext4 it does). There every file is read each time, and so is
one on another filesystem than the session's folder, whatever that is (see `scan.elsewhere`).
"""

import os
import re
import time
from pathlib import Path

from supervisor.session.lock import boot_id

# clock_gettime(2), linux/time.h: `time` has no name for it.
_CLOCK_REALTIME_COARSE = 5
_MOUNTS = Path("/proc/self/mountinfo")
# proc_pid_mountinfo(5): the device, and after a dash the filesystem's type.
_IN_MEMORY = re.compile(r"^\d+ \d+ (\d+:\d+) .* - (?:tmpfs|ramfs) ", re.MULTILINE)


def stat_boot(folder: Path) -> str:
    """Return the boot in which stat proves that a file in `folder` did not change; "": in none.

    Of files that lie in it, but on another filesystem, it proves nothing.
    """
    return "" if _in_memory(folder) else boot_id()


def has_device(folder: Path) -> bool:
    """Return whether a folder lies on a device of this machine, whose times are of our own clock.

    Not so on network filesystems, in memory, on overlays and on btrfs: those have no device number
    of their own (major 0).
    """
    try:
        return os.major(folder.stat().st_dev) != 0
    except OSError:
        return False


def file_clock_ns() -> int:
    """Return what the clock says that a file on a device of this machine gets its times from.

    It stands still for a tick of the kernel, 1 to 10 ms (CONFIG_HZ). Whoever writes from now on
    leaves no older time (Linux, current_time in fs/inode.c; from 6.13 on it may be a newer one).
    """
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def _in_memory(folder: Path) -> bool:
    try:
        device = folder.stat().st_dev
        if os.major(device):  # a disk's: only those without one have 0
            return False
        mounts = _MOUNTS.read_text(errors="replace")
    except OSError:
        return False  # it is not there, or nobody tells
    return f"{os.major(device)}:{os.minor(device)}" in _IN_MEMORY.findall(mounts)
