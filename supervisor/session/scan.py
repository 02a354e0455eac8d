"""What lies in a session's folder: one walk of scandir and stat. Reads no file, follows no link."""

import fnmatch
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["file", "dir", "link"]


class Seen(NamedTuple):
    """One thing in the folder, as stat saw it. Times in nanoseconds since 1970."""

    kind: Kind
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    target: str = ""


@dataclass(slots=True)
class Scan:
    """A folder's content by relative path, parents before children.

    `notes`: what was left out and why, in words for a person. `missed`: the ones among them that
    belong to the session, but could not be read.
    """

    seen: dict[str, Seen] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        """How many plain files there are."""
        return sum(1 for seen in self.seen.values() if seen.kind == "file")

    @property
    def size_bytes(self) -> int:
        """What the plain files hold together."""
        return sum(seen.size for seen in self.seen.values() if seen.kind == "file")


@lru_cache(maxsize=64)
def _pattern(globs: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


def matches(path: str, globs: tuple[str, ...]) -> bool:
    """Return whether the relative `path`, or its last part, fits one of `globs`."""
    pattern = _pattern(globs)
    return bool(pattern.match(path) or pattern.match(path.rpartition("/")[2]))


def seen_from(status: os.stat_result, target: str = "") -> Seen | None:
    """Return what `status` says, or None for what can't be in a snapshot (sockets, devices)."""
    kind: Kind
    if stat.S_ISREG(status.st_mode):
        kind = "file"
    elif stat.S_ISDIR(status.st_mode):
        kind = "dir"
    elif stat.S_ISLNK(status.st_mode):
        kind = "link"
    else:
        return None
    return Seen(
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_size if kind == "file" else 0,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        target,
    )


def scan(root: Path, excludes: tuple[str, ...] = ()) -> Scan:
    """Walk `root`; an absent folder is an empty one. Raises: OSError for other failures at root."""
    result = Scan()
    todo = [""]
    while todo:
        folder = todo.pop()
        try:
            with os.scandir(root / folder if folder else root) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            if not folder:
                raise
            result.notes.append(f"{folder}/ can't be read ({error.strerror}): left out")
            result.missed.append(folder)
            continue
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if matches(path, excludes):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
                target = str(Path(entry.path).readlink()) if entry.is_symlink() else ""
            except FileNotFoundError:
                continue
            seen = seen_from(status, target)
            if seen is None:
                result.notes.append(f"{path} is a {_odd(status.st_mode)}: left out")
                continue
            result.seen[path] = seen
            if seen.kind == "dir":
                todo.append(path)
    return result


def _odd(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "device"
