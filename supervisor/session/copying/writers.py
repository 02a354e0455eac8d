"""Who has a session's files open, as far as /proc tells us."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def open_by_somebody(folder: Path) -> bool:
    """Return whether a process that we may look at has a file of `folder` open.

    Many bots open, write and close: a "no" proves nothing.
    """
    return next(users(folder), None) is not None


def writers(folder: Path) -> Iterator[int]:
    """Yield the pids of the processes that we may look at and that may write a file of it now."""
    return users(folder, to_write=True)


def users(folder: Path, *, to_write: bool = False) -> Iterator[int]:
    """Yield the pids of the processes that we may look at and that have a file of it open.

    `to_write`: only those that opened one for writing (proc_pid_fdinfo(5)).
    """
    prefix = f"{folder}/"
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _uses(process, prefix, to_write=to_write):
            yield int(process.name)


def _uses(process: Path, prefix: str, *, to_write: bool) -> bool:
    # Others' processes can't be looked at; ours may end meanwhile.
    with suppress(OSError):
        for fd in (process / "fd").iterdir():
            with suppress(OSError):
                if str(fd.readlink()).startswith(prefix) and (
                    not to_write or _may_write(process / "fdinfo" / fd.name)
                ):
                    return True
    return False


def _may_write(info: Path) -> bool:
    flags = next(line for line in info.read_text().splitlines() if line.startswith("flags:"))
    return int(flags.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
