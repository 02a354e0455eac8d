"""What a path looks like from outside: enough to see that it was replaced or written."""

# ruff: noqa: PTH116 - a spare's fitness is asked in the gap of a restart: plain strings

import os

Stamp = tuple[int, int, int, int]
GONE: Stamp = (0, 0, 0, 0)


def stamp(path: str) -> Stamp:
    """Return a path's mtime_ns, size, inode and ctime_ns; GONE where nothing can be seen.

    Of a folder only what adding, removing or replacing an entry changes.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return GONE
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns
