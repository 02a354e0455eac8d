"""Who has a session's files open, as far as /proc tells us."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def open_by_somebody(folder: Path) -> bool:
    """Return whether a process that we may look at has a file of `folder` open.

    Many bots open, write and close: a "no" proves nothing.
    """
    return next(users(folder), None) is not None


def users(folder: Path) -> Iterator[int]:
    """Yield the pids of the processes that we may look at and that have a file of it open."""
    prefix = f"{folder}/"
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _uses(process, prefix):
            yield int(process.name)


def _uses(process: Path, prefix: str) -> bool:
    # Others' processes can't be looked at; ours may end meanwhile.
    with suppress(OSError):
        for fd in (process / "fd").iterdir():
            with suppress(OSError):
                if str(fd.readlink()).startswith(prefix):
                    return True
    return False
