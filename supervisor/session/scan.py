"""What lies in a session's folder: one walk of scandir and stat. Reads no file, follows no link."""

import errno
import fnmatch
import operator
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from supervisor.core.errors import SupervisorError
from supervisor.session.names import Names
from supervisor.session.proof.sqlite_files import SHARED

# We have no descriptor or memory left, which says nothing about a file.
OUR_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
# Nor does it that we may not read it: given back that right, we may find it whole.
NO_RIGHTS = (errno.EACCES, errno.EPERM)
Kind = Literal["file", "dir", "link"]
Fits = Callable[[str], re.Match[str] | None]


class Seen(NamedTuple):
    """One thing in the folder, as stat saw it. Times in nanoseconds since 1970."""

    kind: Kind
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    target: str = ""


_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}
_FORMATS = {kind: form for form, kind in _KINDS.items()}
_NAME = operator.attrgetter("name")
# What stat.S_IFMT and stat.S_IMODE return: a call for each costs more than the look.
_FORMAT = 0o170000
_PERMISSIONS = 0o7777
# A path of 4,096 bytes is one too many, a name has 255 at most, and a letter four bytes.
_PATH_MAX = 4096
_LONG = (_PATH_MAX - 256) // 4
# A folder's device and inode.
Which = tuple[int, int]


@dataclass(slots=True)
class Scan:
    """A folder's content by relative path, parents before children.

    `notes`: what was left out and why, in words for a person. `missed`: the ones among them that
    belong to the session, but could not be read. `barred`: what of it we have no right
    to read, and that in words. `excluded`: what was asked to be left out. `elsewhere`:
    files on another filesystem than the folder itself, of whose stat nothing is known. `links`:
    the links among what was seen. `device`: the folder's own filesystem.
    """

    seen: dict[str, Seen] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    barred: dict[str, str] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)
    elsewhere: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    device: int | None = None

    def miss(self, path: str, error: OSError) -> None:
        """Say that something can't be looked at; what went meanwhile is not missed.

        Raises: `error` itself, where it says nothing about that.
        """
        if not isinstance(error, FileNotFoundError):
            self._miss(path, f"{path} can't be looked at", error)

    def miss_inside(self, folder: str, error: OSError) -> None:
        """Say that a folder can't be read. Raises: as `miss`."""
        self._miss(folder, f"{folder}/ can't be read", error)

    def _miss(self, path: str, what: str, error: OSError) -> None:
        if error.errno in OUR_LACKS:
            error.filename = path  # the kernel was asked by a descriptor
            raise error
        self.notes.append(f"{what} ({error.strerror}): left out")
        self.missed.append(path)
        if error.errno in NO_RIGHTS:
            self.barred[path] = f"{what}: {error.strerror}"

    @property
    def files(self) -> int:
        """How many plain files there are."""
        return sum(1 for seen in self.seen.values() if seen.kind == "file")

    @property
    def size_bytes(self) -> int:
        """What the plain files hold together."""
        return sum(seen.size for seen in self.seen.values() if seen.kind == "file")


@lru_cache(maxsize=256)
def _patterns(globs: Sequence[str]) -> tuple[Fits, Fits | None]:
    """Return what the last part of a path must fit, and what the whole path may fit instead."""
    last = [glob for glob in globs if "/" not in glob]
    whole = [glob for glob in globs if "/" in glob]
    return _fits(last), _fits(whole) if whole else None


def _fits(globs: Sequence[str]) -> Fits:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)").match


def matches(path: str, globs: tuple[str, ...]) -> bool:
    """Return whether `path` fits one of `globs`; for one without a slash, its last part."""
    return matcher(globs)(path)


@lru_cache(maxsize=256)
def matcher(globs: Sequence[str]) -> Callable[[str], bool]:
    """Return `matches` for these globs: faster where there are many paths."""
    last, whole = _patterns(globs)

    def fits(path: str) -> bool:
        if last(path.rpartition("/")[2]):
            return True
        return whole is not None and whole(path) is not None

    return fits


@lru_cache(maxsize=4)
def remembering(globs: Sequence[str]) -> Callable[[str], bool]:
    """Return `matches` for globs that each walk asks of the same paths."""
    return lru_cache(maxsize=1 << 15)(matcher(globs))


def seen_from(status: os.stat_result, target: str = "", before: Seen | None = None) -> Seen | None:
    """Return what `status` says, or None for what can't be in a snapshot (sockets, devices).

    If that is what was seen `before`, it is the very same object: thousands of new ones at each
    walk would set off the garbage collector.
    """
    mode = status.st_mode
    if before is not None:
        # This is done for each file at each look.
        then, rights, size, mtime_ns, ctime_ns, inode, led_to = before
        if (
            ctime_ns == status.st_ctime_ns
            and mtime_ns == status.st_mtime_ns
            and inode == status.st_ino
            and mode == _FORMATS[then] | rights
            and (size == status.st_size or then != "file")
            and target == led_to
        ):
            return before
    kind = _KINDS.get(mode & _FORMAT)
    if kind is None:
        return None
    size = status.st_size if kind == "file" else 0
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return Seen(kind, mode & _PERMISSIONS, size, *times, status.st_ino, target)


class Known(Protocol):
    """Something that was seen before."""

    @property
    def path(self) -> str:
        """Where, relative to the session's folder."""

    @property
    def seen(self) -> Seen:
        """What stat said."""


def scan(
    root: Path,
    excludes: tuple[str, ...] = (),
    known: Mapping[str, Known] | None = None,
    names: Names | None = None,
) -> Scan:
    """Walk `root`; an absent folder is an empty one. `known`: what an earlier walk saw, by path.

    `names`: what of it is the session, None: all. Nothing else is looked at.

    Raises: OSError for what fails at root itself, and where we have no descriptor or memory left.
    """
    result = Scan(device=_device(root))
    walk = _Walk(
        root, result, result.device, known or {}, remembering(excludes) if excludes else _none
    )
    todo: list[tuple[str, Which | None]] = [("", None)]
    while todo:
        folder, which = todo.pop()
        fd, listed = _listed(root, folder, which, result, None if folder else names)
        try:
            todo += walk.look_at(fd, f"{folder}/" if folder else "", listed)
        finally:
            if fd is not None:
                os.close(fd)
    return result


@dataclass(frozen=True, slots=True)
class _Walk:
    """Looks at what lies in one folder after the other. See Scan and `scan`."""

    root: Path
    result: Scan
    device: int | None
    before: Mapping[str, Known]
    excluded: Callable[[str], bool]

    def look_at(
        self, fd: int | None, parent: str, listed: Sequence[os.DirEntry[str]]
    ) -> list[tuple[str, Which | None]]:
        """Note each entry of a folder; return which of them are folders. Raises: OSError.

        `fd`: the folder's own descriptor. By that more can be looked at than has a path that is
        short enough to be opened: such is missed.
        """
        result, before, excluded = self.result, self.before, self.excluded
        folders: list[tuple[str, Which | None]] = []
        long = len(f"{self.root}/{parent}") >= _LONG
        for entry in listed:
            path = parent + entry.name
            if excluded(path) and not _only_called_so(entry, listed):
                result.excluded.append(path)
                continue
            try:
                if long and len(os.fsencode(f"{self.root}/{path}")) >= _PATH_MAX:
                    raise _too_long(path)
                status = entry.stat(follow_symlinks=False)
                link = status.st_mode & _FORMAT == stat.S_IFLNK
                target = os.readlink(entry.path, dir_fd=fd) if link else ""
            except OSError as error:
                result.miss(path, error)
                continue
            then = before.get(path)
            if then is None:
                seen = seen_from(status, target)
            else:
                path = then.path  # the same string object: whoever looks it up is faster
                seen = seen_from(status, target, then.seen)
            if seen is None:
                result.notes.append(f"{path} is a {_odd(status.st_mode)}: left out")
                continue
            result.seen[path] = seen
            if link:
                result.links.append(path)
            if seen.kind == "dir":
                folders.append((path, (status.st_dev, status.st_ino)))
            elif status.st_dev != self.device:
                result.elsewhere.add(path)
        return folders


def _none(_path: str) -> bool:
    return False


def leading_out(root: Path, found: Scan, names: Names | None = None) -> list[str]:
    """Return a note on each link to what is not of the session: only the link itself is stored.

    One that leads nowhere is what a process says of itself, as Chromium's SingletonLock.
    """
    notes: list[str] = []
    real = os.path.realpath(root)
    for path in found.links:
        end = Path(os.path.realpath(root / path))  # a loop ends it, and fails nothing
        # A Path would raise where we may not look: that is no link to something that we know of.
        within = end.is_relative_to(real)
        if within and names is not None:
            within = names.has(str(end.relative_to(real)))
        if not within and os.path.exists(end):  # noqa: PTH110 - as said above
            where = found.seen[path].target
            notes.append(
                f"what {path} leads to, out of the session ({where}): only the link is kept"
            )
    return notes


def _device(root: Path) -> int | None:
    try:
        return root.stat().st_dev
    except FileNotFoundError:
        return None


def _too_long(path: str) -> OSError:
    return OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)


def _same(fd: int, which: Which, path: str) -> None:
    found = os.fstat(fd)
    if (found.st_dev, found.st_ino) != which:
        raise FileNotFoundError(errno.ENOENT, "it was replaced", path)


def _listed(
    root: Path, folder: str, which: Which | None, result: Scan, names: Names | None
) -> tuple[int | None, list[os.DirEntry[str]]]:
    """Return what lies in a folder, and the descriptor by which it was listed.

    With that the kernel does not go through the whole path for each file. None: there is none.
    `which`: what it was when it was seen. A link that came there, or further up, leads elsewhere:
    then it has gone, as far as the session is concerned.
    """
    path = f"{root}/{folder}" if folder else str(root)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if which is not None:
                _same(fd, which, path)
            with os.scandir(fd) as entries:
                wanted = entries if names is None else filter(names.lists, entries)
                return fd, sorted(wanted, key=_NAME)
        except BaseException:
            os.close(fd)
            raise
    except FileNotFoundError:
        return None, []
    except OSError as error:
        if not folder and isinstance(error, NotADirectoryError):
            raise SupervisorError(
                f"{root} is a file, and a session is a folder",
                "move it away: its snapshots are untouched, and stillhere session restore brings"
                " the newest back",
            ) from error
        if not folder:
            error.filename = path
            raise
        result.miss_inside(folder, error)
        return None, []


def _only_called_so(entry: os.DirEntry[str], listed: Sequence[os.DirEntry[str]]) -> bool:
    """Return whether it is called like SQLite's shared memory, and is the bot's own.

    That is a plain file, and lies beside its database.
    """
    if not entry.name.endswith(SHARED):
        return False
    database = entry.name.removesuffix(SHARED)
    with suppress(OSError):
        found = [other for other in (entry, *listed) if other.name in (entry.name, database)]
        plain = {other.name for other in found if other.is_file(follow_symlinks=False)}
        return plain != {entry.name, database}
    return False


def _odd(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "socket"
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "device"
