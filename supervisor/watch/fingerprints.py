"""What the watched files are: found by walking, known by stamp, told apart by content.

A stamp that differs makes a file a candidate; only content that differs makes it changed. Files
of the session (`never`, `among`) are not opened, not listed and not descended into, by whatever
path.
"""

# ruff: noqa: PTH100, PTH112, PTH116, PTH118, PTH120 - a look handles thousands of plain strings

import contextlib
import errno
import fnmatch
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from blake3 import blake3

from supervisor.watch.hidden import Among, Hidden, belongs, deciding, joined, joined_among

ALWAYS_IGNORED = (
    *(".git", ".hg", ".svn", ".jj", "__pycache__", ".venv", "venv", "node_modules", "*.egg-info"),
    *(".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".coverage*"),
    *(".idea", ".vscode", ".DS_Store", "*.pyc", "*.pyo", "*.sw[opxn]", "*.kate-swp", "*~"),
    *(".#*", "#*#", "4913", ".~lock.*", "___jb_*___", ".goutputstream-*", ".nfs*"),
)
# A write in the clock tick of the last look leaves the stamp as it was (FAT: two seconds).
RACY_NS = 2_000_000_000
# Above this, content is not read: size and time have to do.
LARGEST_HASHED = 64 * 1024 * 1024
# A file that is looked at between two other things is no larger.
GLANCE_BYTES = 1024 * 1024
UNREADABLE = b"unreadable"
GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}

Stamp = tuple[int, int, int, int]  # mtime_ns, size, inode, ctime_ns


class Cancelled(Exception):  # noqa: N818 - not an error: the watcher was told to end
    """The walk was given up because its watcher ends."""


@dataclass(frozen=True, slots=True)
class Known:
    """A file as last read. `racy`: it may have changed since without a new stamp."""

    stamp: Stamp
    digest: bytes
    racy: bool


@dataclass(slots=True)
class Scan:
    """One walk: the files, the folders where events tell of them, files behind links."""

    files: dict[str, Stamp] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Diff:
    """What a look found.

    `newest_ns`: the newest ctime among what changed (of the folder, where a file is gone);
    `saved_ns`: the newest mtime. 0 if there is none.
    `torn`: a file moved while it was read.
    """

    known: dict[str, Known]
    changed: tuple[str, ...]
    newest_ns: int
    saved_ns: int
    torn: bool


class Tree:
    """The files under some roots, minus what is ignored and what must never be looked at.

    `only`: patterns of the names that count in a walked folder; () is all.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        base: Path,
        ignore: Sequence[str],
        never: Sequence[Path],
        among: Sequence[tuple[Path, tuple[str, ...]]] = (),
        only: Sequence[str] = (),
    ) -> None:
        self._only = _any_of(only)
        self.base = os.path.abspath(base)
        self.roots = tuple(dict.fromkeys(os.path.abspath(root) for root in roots))
        self._never: tuple[str, ...] = ()
        self._parts: Among = ()
        self._among = deciding(())
        self.hide(never, among)
        patterns = [pattern.strip().strip("/") for pattern in (*ALWAYS_IGNORED, *ignore)]
        self._names = _any_of([pattern for pattern in patterns if "/" not in pattern])
        self._paths = _any_of([pattern for pattern in patterns if "/" in pattern])

    def hide(self, never: Sequence[Path], among: Sequence[tuple[Path, tuple[str, ...]]]) -> None:
        """Look at these no more, either."""
        self._never = joined(self._never, tuple(os.path.abspath(path) for path in never))
        parts = ((os.path.abspath(path), tuple(names)) for path, names in among)
        self._parts = joined_among(self._parts, tuple(parts))
        self._among = deciding(self._parts)

    def scan(self, cancelled: threading.Event | None = None) -> Scan:
        """Walk the roots.

        Raises: OSError when the tree can't be read for a reason that is not its own (no file
        descriptors left, an I/O error): not to be taken for files that are gone. Cancelled.
        """
        return _Walk(self, Hidden(self._never, self._among), cancelled or threading.Event()).scan()

    def ignores(self, path: str, name: str) -> bool:
        """Return whether a pattern leaves out this entry of a walked folder."""
        if self._names is not None and self._names.match(name):
            return True
        # Only where it is needed: this is called for each file of each look.
        relative = self._paths and os.path.relpath(path, self.base)
        return bool(self._paths and relative and self._paths.match(relative))

    def counts(self, path: str) -> bool:
        """Return whether a file is meant by its name, or is named itself."""
        if self._only is None or self._only.match(path.rpartition("/")[2]):
            return True
        return path in self.roots

    def interesting(self, path: str) -> bool:
        """Return whether an event at `path` may mean a change of a watched file."""
        return any(
            # A root, or a folder above it that has to come first, or something inside.
            root == path or root.startswith(path + "/") or self._inside(path, root)
            for root in self.roots
        )

    def _inside(self, path: str, root: str) -> bool:
        if not path.startswith(root.rstrip("/") + "/"):
            return False
        at = root
        for name in os.path.relpath(path, root).split("/"):
            if any(belongs(name, at, never) for never in self._never):
                return False
            if any(folder == at and hides(name) for folder, hides in self._among):
                return False
            at = os.path.join(at, name)
            if self.ignores(at, name):
                return False
        # What a bot writes all the time beside its source is worth no look.
        return self.counts(path) or not os.path.isfile(path)  # noqa: PTH113 - each event


class _Walk:
    """One walk over a tree: folders first, then what links lead to, in a fixed order."""

    def __init__(self, tree: Tree, hidden: Hidden, cancelled: threading.Event) -> None:
        self._tree = tree
        self._hidden = hidden
        self._cancelled = cancelled
        self._found = Scan()
        self._entered: set[str] = set()
        self._links: dict[str, str] = {}
        # Not walked, but what happens to a root or to a link's target is seen there.
        self._around: set[str] = set()

    def scan(self) -> Scan:
        for root in self._tree.roots:
            self._root(root)
        while self._links:
            # Sorted, and after all plain folders: which of two ways into a folder is taken must
            # not depend on the order of a directory, or its files would seem to come and go.
            path = min(self._links)
            real = self._links.pop(path)
            if real not in self._entered:
                self._walk(path, real)
        for folder in self._around:
            # The kernel gives each folder's events one name only: the name it was walked by.
            if os.path.realpath(folder) not in self._entered and os.access(folder, os.R_OK):
                self._found.folders.add(folder)
        return self._found

    def _root(self, root: str) -> None:
        real = os.path.realpath(root)
        if self._hidden.covers(real):
            return
        if root != self._tree.base and not self._tree.base.startswith(root + "/"):
            # Tells when the root is made, or deleted and made again.
            self._around.add(_existing(os.path.dirname(root)))
        try:
            status = os.stat(root)
        except OSError as error:
            _only(error, GONE | {errno.EACCES})
            return
        if stat.S_ISDIR(status.st_mode):
            self._walk(root, real)
        else:
            self._file(root, status, real if real != root else None)

    def _walk(self, path: str, real: str) -> None:
        pending = [(path, real)]
        while pending:
            path, real = pending.pop()
            if self._cancelled.is_set():
                raise Cancelled
            try:
                entries = os.scandir(path)
            except OSError as error:
                _only(error, GONE | {errno.EACCES, errno.EPERM})
                continue
            self._entered.add(real)
            self._found.folders.add(path)
            with entries:
                for entry in entries:
                    if self._left_out(entry, real):
                        continue
                    if entry.is_symlink():
                        self._link(entry.path)
                    elif entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, os.path.join(real, entry.name)))
                    else:
                        with _vanishing():
                            self._file(entry.path, entry.stat(follow_symlinks=False), None)

    def _left_out(self, entry: os.DirEntry[str], folder: str) -> bool:
        return self._tree.ignores(entry.path, entry.name) or self._hidden.entry(entry.name, folder)

    def _link(self, path: str) -> None:
        real = os.path.realpath(path)
        if self._hidden.covers(real):
            return
        with _vanishing():
            status = os.stat(path)
            if stat.S_ISDIR(status.st_mode):
                self._links[path] = real
            else:
                self._file(path, status, real)

    def _file(self, path: str, status: os.stat_result, real: str | None) -> None:
        if not stat.S_ISREG(status.st_mode) or not self._tree.counts(path):
            return
        self._found.files[path] = stamp_of(status)
        if real is not None:
            self._found.aliases.add(real)
            self._around.add(os.path.dirname(real))


def compare(
    known: Mapping[str, Known],
    files: Mapping[str, Stamp],
    cancelled: threading.Event | None = None,
) -> Diff:
    """Return what differs in content between what is known and what a walk found.

    Raises: as `Tree.scan` does.
    """
    now_ns = time.time_ns()
    now: dict[str, Known] = {}
    changed = [path for path in known if path not in files]
    # A file that is gone has no time; the folder that lost it has.
    newest_ns = max((_folder_ns(each) for each in {os.path.dirname(p) for p in changed}), default=0)
    saved_ns = 0
    torn = False
    for path, stamp in files.items():
        before = known.get(path)
        if before is not None and before.stamp == stamp and not before.racy:
            now[path] = before
            continue
        if cancelled is not None and cancelled.is_set():
            raise Cancelled
        digest, stable = fingerprint(path, stamp)
        torn = torn or not stable
        if digest is None:
            changed += [path] if before else []
            continue
        racy = min(abs(now_ns - stamp[0]), abs(now_ns - stamp[3])) < RACY_NS
        now[path] = Known(stamp, digest, racy)
        if before is None or before.digest != digest:
            changed.append(path)
            newest_ns = max(newest_ns, stamp[3])
            saved_ns = max(saved_ns, stamp[0])
    return Diff(now, tuple(changed), newest_ns, saved_ns, torn)


def glance(known: Mapping[str, Known], paths: Iterable[str]) -> Diff | None:
    """Compare only some paths, if they are known files that are still there, or nothing at all.

    None: that is not all that they are (a link may lead elsewhere now), and everything has to be
    looked at.
    Raises: OSError as `Tree.scan` does.
    """
    files: dict[str, Stamp] = {}
    for path in paths:
        try:
            status = os.lstat(path)
        except OSError as error:
            _only(error, GONE)
            if path in known:
                return None
            continue  # it came and went
        if path not in known or not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > GLANCE_BYTES:
            return None
        files[path] = stamp_of(status)
    diff = compare({path: known[path] for path in files}, files)
    return replace(diff, known={**known, **diff.known})


def fingerprint(path: str, stamp: Stamp) -> tuple[bytes | None, bool]:
    """Return a hash of the content, and whether the file held still; None: it is gone."""
    if stamp[1] > LARGEST_HASHED:
        return repr(stamp[:2]).encode(), True
    try:
        # Not blocking: a pipe may have taken the file's place.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        _only(error, GONE | {errno.EACCES, errno.EPERM, errno.ENXIO, errno.ETXTBSY})
        return (None, False) if error.errno in GONE else (UNREADABLE, True)
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            return UNREADABLE, False
        digest = blake3()
        while chunk := os.read(handle, 1024 * 1024):
            digest.update(chunk)
        same = stamp == stamp_of(before) == stamp_of(os.fstat(handle))
        return digest.digest(), same
    finally:
        os.close(handle)


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what of a file's status tells that it may have changed."""
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(fnmatch.translate(one) for one in patterns if one)
    return re.compile(joined) if joined else None


def _folder_ns(folder: str) -> int:
    try:
        return os.stat(_existing(folder)).st_ctime_ns
    except OSError:
        return 0


def _existing(folder: str) -> str:
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def _only(error: OSError, expected: set[int]) -> None:
    if error.errno not in expected:
        raise error


@contextlib.contextmanager
def _vanishing() -> Iterator[None]:
    """Let an entry be gone again by the time it is looked at."""
    try:
        yield
    except OSError as error:
        _only(error, GONE | {errno.EACCES, errno.EPERM})
