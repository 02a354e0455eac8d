"""Make the changes of an intent in the live folder, so that a crash anywhere is finished later.

Everything that goes is in quarantine before, and everything that comes lies ready in the staging
folder under its number. Each step may come twice: what was placed is not in the staging folder any
more, and that says that it is done. Old journals go first, and for good, before a file comes.

A large file of which little differs is moved to the staging folder, written over there, and moved
back: whoever starts a bot by hand after a crash can't write into a file that is half new.
"""

import errno
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from supervisor.session import files
from supervisor.session.copying.pieces import group_digests
from supervisor.session.inside import inside, make_inside, set_mode_inside
from supervisor.session.restoring import moving
from supervisor.session.scan import Seen, seen_from
from supervisor.session.storage.entries import safe_path

_OWNER = 0o700
_SIZE_MAX = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How the old file at `path`, which looks `old`, becomes the new one of `size` bytes.

    `digest`: of the old one's content, as `digest_of` gives it: in another boot, or from a copy
    of the disk, it may look otherwise. `ranges`: (offset, length) of what is written over; the
    bytes lie one after the other in the staged file that ends with ".parts".
    """

    path: str
    old: Seen
    digest: str
    size: int
    mode: int
    mtime_ns: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """`drop`: what goes. `folders`: what is made. `put`: path n comes from the staged file n.

    `modes`: (path, mode). `parts`: what of `put` is made of the old file.
    """

    drop: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    put: tuple[str, ...] = ()
    modes: tuple[tuple[str, int], ...] = ()
    parts: tuple[Parts, ...] = ()


def steps_from(value: Any) -> Steps:
    """Return the steps that an intent's JSON holds. Raises: ValueError, TypeError, KeyError."""
    found = Steps(
        drop=tuple(value["drop"]),
        folders=tuple(value["folders"]),
        put=tuple(value["put"]),
        modes=tuple((path, mode) for path, mode in value["modes"]),
        parts=tuple(_parts_from(item) for item in value.get("parts", ())),
    )
    if not {parts.path for parts in found.parts} <= set(found.put):
        raise ValueError("parts of a file that does not come")
    paths = (*found.drop, *found.folders, *found.put, *(path for path, _mode in found.modes))
    if not all(isinstance(path, str) and safe_path(path) for path in paths):
        raise ValueError("a path leads out of the session")
    if not all(type(mode) is int and 0 <= mode <= _OWNER for _path, mode in found.modes):
        raise ValueError("a mode is none")
    return found


def _parts_from(value: Any) -> Parts:
    """Return the parts that an intent's JSON holds. Raises: ValueError, TypeError, KeyError."""
    ranges = tuple((offset, length) for offset, length in value["ranges"])
    numbers = [value["size"], *(number for pair in ranges for number in pair)]
    times = (value["mode"], value["mtime_ns"])
    if not all(type(number) is int and 0 <= number < _SIZE_MAX for number in numbers):
        raise ValueError("a range is none")
    texts = (value["path"], value["digest"])
    if not all(type(number) is int for number in times) or not all(
        isinstance(text, str) for text in texts
    ):
        raise ValueError("a file's looks are none")
    return Parts(
        path=value["path"],
        old=Seen(*value["old"]),
        digest=value["digest"],
        size=value["size"],
        mode=value["mode"] & _OWNER,
        mtime_ns=value["mtime_ns"],
        ranges=ranges,
    )


def carry_out(live: Path, staging: Path, steps: Steps) -> None:
    """Do the steps, as far as they are not done. Raises: OSError; the next call goes on then.

    What somebody removed after a crash ends nothing: the next check finds what is missing then.
    """
    staged = {path: staging / str(number) for number, path in enumerate(steps.put)}
    _drop(live, staged, steps)
    if steps.folders or steps.put:
        files.make_private(live)  # somebody may have removed it
    for path in steps.folders:
        make_inside(live, path)
        set_mode_inside(live, path, 0o700)
    for path, mode in steps.modes:
        with suppress(FileNotFoundError):
            set_mode_inside(live, path, mode)
    parts = {some.path: some for some in steps.parts}
    for path, new in staged.items():
        if path in parts or files.there(new):
            _put(live, path, new, parts.get(path))
    _sync_parents(live, (*steps.folders, *steps.put, *(path for path, _mode in steps.modes)))
    files.remove_tree(staging)


def _drop(live: Path, staged: Mapping[str, Path], steps: Steps) -> None:
    coming = set(steps.folders)
    dropped: set[str] = set()
    for path in steps.drop:
        new = staged.get(path)
        if new is not None and not files.there(new):
            continue  # its successor is there already
        if path in coming and files.is_folder(live / path):
            continue
        with suppress(FileNotFoundError), inside(live, path) as place:
            files.remove_tree(place)
        dropped.add(path)
    if dropped:
        _sync_parents(live, dropped)


def _put(live: Path, path: str, new: Path, parts: Parts | None) -> None:
    if parent := path.rpartition("/")[0]:
        make_inside(live, parent)
    with inside(live, path) as place:
        if parts is not None:
            _make_of_old(place, new, parts)
        if files.there(new):
            moving.move_entry(new, place)


def parts_of(new: Path) -> Path:
    """Return where the bytes lie that are written over the old file, to make `new` of it."""
    return new.with_name(f"{new.name}.parts")


def _make_of_old(old: Path, new: Path, parts: Parts) -> None:
    """Move the old file to `new` and write over it, if that is not done. Raises: OSError.

    What is not the old file any more was put there by somebody, after a crash: it stays.
    """
    source = parts_of(new)
    if not files.there(source):
        return
    if not files.there(new) and _is_old(old, parts):
        moving.move_entry(old, new)
        # On the disk before the first write: else what a power cut leaves may look like the old.
        files.sync_dir(new.parent)
        files.sync_dir(old.parent)
    if files.there(new):
        _write_over(new, source, parts)
    source.unlink()


def digest_of(hashes: Iterable[str]) -> str:
    """Return one hash for the hashes of a file's groups."""
    return blake3("".join(hashes).encode()).hexdigest()


def _is_old(path: Path, parts: Parts) -> bool:
    """Return whether this is the old file, by its looks or else by its content. Raises: OSError."""
    if not files.is_plain(path):
        return False
    status = path.lstat()
    if seen_from(status) == parts.old:
        return True
    if status.st_size != parts.old.size:
        return False
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return digest_of(group_digests(fd, status.st_size)) == parts.digest
    finally:
        os.close(fd)


def _write_over(new: Path, source: Path, parts: Parts) -> None:
    staged = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        new.chmod(0o600)  # it may have got its last mode before a crash
        fd = os.open(new, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except BaseException:
        os.close(staged)
        raise
    try:
        at = 0
        for offset, length in parts.ranges:
            data = files.read_at(staged, length, at)
            if len(data) != length:
                raise OSError(errno.EIO, "it ends early", str(source))
            os.lseek(fd, offset, os.SEEK_SET)
            files.write_all(fd, data)
            at += length
        os.ftruncate(fd, parts.size)
        os.fchmod(fd, parts.mode)
        os.utime(fd, ns=(parts.mtime_ns, parts.mtime_ns))
        os.fsync(fd)
    finally:
        os.close(fd)
        os.close(staged)


def _sync_parents(live: Path, paths: Iterable[str]) -> None:
    """Bring the names to the disk. A folder that went as well has none."""
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        with suppress(FileNotFoundError):
            files.sync_dir(live / folder)
