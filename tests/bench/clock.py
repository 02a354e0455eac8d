"""Taking the time: samples, the floor that no snapshot can be under, and what was written."""

import ctypes
import gc
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tests.bench.trees import Change

Result = TypeVar("Result")
# The store reads a file again that was younger than 2 s when it was last looked at.
SETTLED_S = 3.0
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Samples:
    """Measured values of one thing, seconds or bytes."""

    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Add one."""
        self.values.append(value)

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        """Return median, least, most, and how many there are."""
        return {
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "n": len(self.values),
        }


class Timing(NamedTuple):
    """Seconds until the work was done, and until it was on the disk as well."""

    plain_s: float
    synced_s: float


def rounds(most: int, within_s: float, least: int = 2) -> Iterator[int]:
    """Yield 0, 1, ...: fewer than `most`, but not than `least`, when the machine is too slow."""
    begin = time.monotonic()
    for number in range(most):
        if number >= least and time.monotonic() - begin > within_s:
            return
        yield number


def wait(seconds: float) -> None:
    """Let files get old enough; a benchmark may wait."""
    threading.Event().wait(seconds)


def sync_filesystem(folder: Path) -> None:
    """Bring to the disk all that was written to the filesystem of `folder` (syncfs(2))."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(fd):
            raise OSError(ctypes.get_errno(), "syncfs failed", str(folder))
    finally:
        os.close(fd)


def timed(work: Callable[[], Result], folder: Path, *, sync: bool = True) -> tuple[Timing, Result]:
    """Run `work`, then, if `sync`, bring what it wrote below `folder` to the disk.

    What others left to be written is written before, and their garbage collected.
    """
    gc.collect()
    sync_filesystem(folder)
    begin = time.perf_counter()
    result = work()
    plain_s = time.perf_counter() - begin
    if sync:
        sync_filesystem(folder)
    return Timing(plain_s, time.perf_counter() - begin), result


def walk(folder: Path | str) -> int:
    """Look at each file below `folder` by scandir and stat; return how many things there are."""
    count = 0
    todo = [os.fspath(folder)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
    return count


def floor(folder: Path, change: Change, target: Path) -> None:
    """Do what no incremental snapshot can do without, and nothing else.

    Look at each file, read those that changed, write the blocks that changed into one new file,
    bring it and its folder's entry to the disk.
    """
    walk(folder)
    for path in change.paths:
        fd = os.open(folder / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while os.read(fd, 1 << 20):
                pass
        finally:
            os.close(fd)
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, change.blocks)
        os.fsync(fd)
    finally:
        os.close(fd)
    fd = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put_aside(folder: Path) -> None:
    """Make room for another folder of that name, if there is one; delete nothing.

    For some minutes ext4 gives nobody the inode of a file that was just deleted, and looks at each
    of them again for every file that is created near it (`recently_deleted` in fs/ext4/ialloc.c):
    after 600 deletions, to write 600 files took 500 ms instead of 70.
    """
    if not folder.exists():
        return
    away = folder.with_name(f".aside-{folder.name}")
    away.mkdir(exist_ok=True)
    folder.rename(away / str(len(os.listdir(away))))


Weights = Mapping[tuple[int, int, int], int]


def weigh(folder: Path) -> Weights:
    """Return the bytes of each file below `folder`, which may be absent; hard links count once."""
    found: dict[tuple[int, int, int], int] = {}
    for place, _folders, names in os.walk(folder):
        for name in names:
            status = os.lstat(f"{place}/{name}")
            found[status.st_ino, status.st_mtime_ns, status.st_size] = status.st_size
    return found


def new_bytes(before: Weights, after: Weights) -> int:
    """Return the bytes of the files that were not there before."""
    return sum(size for key, size in after.items() if key not in before)


def growth_bytes(before: Weights, after: Weights) -> int:
    """Return by how much all files together grew: what replaces another file counts as that."""
    return sum(after.values()) - sum(before.values())
