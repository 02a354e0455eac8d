"""Capture: copy what differs from the last snapshot, fast, unsynced, into a spool.

Afterwards only the spool is read, never the live folder, so the next generation may start while
the rest is still to do. The spool has no name: it ends with the process.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from supervisor.session import files
from supervisor.session.manifest import Entry
from supervisor.session.model import EpochState
from supervisor.session.profile import Profile
from supervisor.session.scan import Scan, Seen, matches, scan, seen_from

# Younger than this when it was last looked at, a file may have changed again in the same tick.
YOUNG_NS = 2_000_000_000
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """What is already stored: the newest snapshot's entries, and when they were looked at."""

    scan_ns: int
    entries: Mapping[str, Entry]

    def same(self, path: str, seen: Seen) -> Entry | None:
        """Return the stored entry, if stat proves that the file has not changed since."""
        entry = self.entries.get(path)
        if entry is None or entry.seen != seen or _young(seen, self.scan_ns):
            return None
        return entry


class Spool:
    """A nameless file that takes the copies, one after the other.

    As a context manager it closes only on failure: what was copied is read later.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            # Not every filesystem has O_TMPFILE.
            self.fd, name = tempfile.mkstemp(prefix="work-", dir=folder)
            Path(name).unlink(missing_ok=True)  # a sweep may have been faster
        self._end = 0

    def take(self, source: int, length: int) -> tuple[int, int]:
        """Copy `length` bytes of `source`; return where they are. Raises: OSError."""
        start = self._end
        os.lseek(source, 0, os.SEEK_SET)
        os.lseek(self.fd, start, os.SEEK_SET)
        copied = files.copy_range(source, self.fd, length)
        self._end = start + copied
        return start, copied

    def close(self) -> None:
        """Give the space back. Harmless when done before."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.close()

    def __del__(self) -> None:
        self.close()


@dataclass(slots=True)
class Copies:
    """The result of one walk. `reused`: entries whose bytes are stored already."""

    spool: Spool
    scan_ns: int
    seen: dict[str, Seen] = field(default_factory=dict)
    reused: dict[str, Entry] = field(default_factory=dict)
    copied: dict[str, tuple[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def same(self, path: str, seen: Seen) -> bool:
        """Return whether stat proves that the file has not changed since it was copied."""
        return self.seen[path] == seen and not _young(seen, self.scan_ns)


@dataclass(slots=True, kw_only=True)
class Capture:
    """A session as it was at one moment, not yet committed. `commit` or `close` ends it."""

    id: str
    reason: str
    generation: int
    hot: bool
    taken_at: float
    epoch: int
    state: EpochState
    identity: str | None
    writers: int
    seals: bool
    profile: Profile
    copies: Copies
    duration_s: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and why."""
        return tuple(self.copies.notes)

    @property
    def changed(self) -> int:
        """How many files were copied."""
        return len(self.copies.copied)

    def close(self) -> None:
        """Forget it."""
        self.copies.spool.close()


def copy_changes(
    root: Path, profile: Profile, base: Stored | None, spool: Spool, pre: Copies | None = None
) -> Copies:
    """Walk `root` and copy into `spool` what neither `base` nor `pre` has.

    A file that changes or goes while it is copied is tried again, then said as a doubt. With
    `pre` (which used the same spool) only what moved since is copied. Raises: OSError.
    """
    result = Copies(spool, time.time_ns())
    found = scan(root, profile.excludes)
    _note(found, result)
    for path, seen in found.seen.items():
        if seen.kind != "file":
            result.seen[path] = seen
            continue
        if not matches(path, profile.reread):
            entry = base.same(path, seen) if base else None
            if entry is not None:
                result.seen[path] = seen
                result.reused[path] = entry
                continue
            if pre and path in pre.copied and pre.same(path, seen):
                result.seen[path] = seen
                result.copied[path] = pre.copied[path]
                continue
        _copy(root, path, result)
    return result


def moved_since(root: Path, profile: Profile, copies: Copies) -> list[str]:
    """Return what differs now from what was copied: somebody is writing. Raises: OSError."""
    now = scan(root, profile.excludes).seen
    return sorted(path for path in now.keys() | copies.seen.keys() if _moved(path, now, copies))


def _moved(path: str, now: Mapping[str, Seen], copies: Copies) -> bool:
    before, after = copies.seen.get(path), now.get(path)
    if before and after and before.kind == after.kind == "dir":
        return False
    return before != after


def _note(found: Scan, result: Copies) -> None:
    result.notes.extend(found.notes)
    result.doubts.extend(f"{path}/ can't be read" for path in found.missed)


def _copy(root: Path, path: str, result: Copies) -> None:
    """Copy one file into the spool, whole and unmoved if that can be had."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(root / path, flags)
    except FileNotFoundError:
        result.doubts.append(f"{path} disappeared while the session was copied")
        return
    except OSError as error:
        result.notes.append(f"{path} can't be read ({error.strerror}): left out")
        result.doubts.append(f"{path} can't be read")
        return
    try:
        for _try in range(_TRIES):
            seen = seen_from(os.fstat(fd))
            if seen is None or seen.kind != "file":
                result.notes.append(f"{path} is no plain file any more: left out")
                return
            start, copied = result.spool.take(fd, seen.size)
            result.seen[path] = seen._replace(size=copied)
            result.copied[path] = (start, copied)
            if copied == seen.size and seen_from(os.fstat(fd)) == seen:
                return
        result.doubts.append(f"{path} changed while it was copied")
    finally:
        os.close(fd)


def _young(seen: Seen, looked_ns: int) -> bool:
    return max(seen.mtime_ns, seen.ctime_ns) > looked_ns - YOUNG_NS
