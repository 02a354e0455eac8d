"""A look at a process of another user, as root: what /proc shows its owner, it shows us.

Root without CAP_SYS_PTRACE, as in a container or in our own unit, is refused what the process's
own user sees: its environment, descriptors and mappings. So the thread that looks becomes that
user for its access to files (setfsuid(2), of one thread alone), and does nothing else meanwhile.
For the kernel we have changed our user once then, so it writes no core of us (prctl(2)).
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def looked(pid: int | str, look: Callable[[], T]) -> T:
    """Return what `look` finds of a process; it must read /proc alone. Raises: OSError."""
    try:
        return look()
    except PermissionError:
        if os.geteuid():
            raise
    owner = Path(f"/proc/{pid}").stat()
    try:
        _libc.setfsgid(owner.st_gid)  # before: it takes a capability that goes with the other
        _libc.setfsuid(owner.st_uid)
        return look()
    finally:
        _libc.setfsuid(0)
        _libc.setfsgid(os.getegid())
