"""Move one file or folder to another place, by copy where the kernel will not rename it.

What is a mount point of its own in a session can neither go nor be replaced: a mounted folder is
filled or left empty, and a mounted file is written over where it lies, or emptied.
"""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from blake3 import blake3

from supervisor.session import files

# Another filesystem, or a mount point, or (for a folder) a name that is taken.
NOT_BY_RENAME = (errno.EXDEV, errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST)
# What rename(2) says of a target that is a mount point, or has one in it.
_STAYS = (errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST)
_NAME_MAX_BYTES = 255


def move_entry(source: Path, target: Path, gone: Path | None = None) -> None:
    """Move one file or folder, by copy where it must be; the source goes last.

    `gone`: a place on the source's filesystem from where it may be removed part by part. Sockets,
    pipes and devices can't be copied, and hold nothing: they just go. Raises: OSError.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in NOT_BY_RENAME:
            raise
    else:
        return
    if _is_odd(source):
        files.remove_tree(source)
        return
    copy_entry(source, target)
    if gone is not None:
        files.remove_tree(gone)
        source = source.rename(gone)
    files.remove_tree(source)


def copy_entry(source: Path, target: Path) -> None:
    """Copy one file or folder, all on the disk: under its name at once, or not at all."""
    draft = draft_of(target)
    files.remove_tree(draft)
    if files.is_folder(source):
        shutil.copytree(source, draft, symlinks=True, ignore=_odd_ones)
        files.sync_tree(draft)
    else:
        shutil.copy2(source, draft, follow_symlinks=False)
        if files.is_plain(draft):
            _sync(draft)
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno not in _STAYS:
            raise
        _put_into(draft, target)
    files.sync_dir(target.parent)


def _put_into(draft: Path, target: Path) -> None:
    """Make `target`, which can't be replaced, what `draft` is. Raises: OSError."""
    if files.is_folder(draft):
        for name in sorted(os.listdir(draft)):
            move_entry(draft / name, target / name)
        files.sync_dir(target)
    else:
        _write_over(draft, target)
    files.remove_tree(draft)


def _write_over(draft: Path, target: Path) -> None:
    source = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fd = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(source)
            if files.copy_range(source, fd, status.st_size) != status.st_size:
                raise OSError(errno.EIO, "it ends early", str(draft))
            os.ftruncate(fd, status.st_size)
            with suppress(PermissionError):  # it may be another's, and lets us write all the same
                os.fchmod(fd, status.st_mode & 0o700)
                os.utime(fd, ns=(status.st_mtime_ns, status.st_mtime_ns))
            os.fsync(fd)
        finally:
            os.close(fd)
    finally:
        os.close(source)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def draft_of(target: Path) -> Path:
    """Return where what is to be `target` grows: the same at each try, and never a long name."""
    return target.with_name(f".moving-{blake3(os.fsencode(target.name)).hexdigest()[:16]}")


def _is_odd(path: Path) -> bool:
    mode = path.lstat().st_mode
    return not (S_ISREG(mode) or S_ISDIR(mode) or S_ISLNK(mode))


def _odd_ones(folder: str, names: list[str]) -> list[str]:
    """Return the sockets, pipes and devices: they can't be copied, and hold nothing."""
    return [name for name in names if _is_odd(Path(folder, name))]


def unused(path: Path) -> Path:
    """Return `path`, or one beside it that is not taken yet."""
    count = 1
    candidate = path
    while files.there(candidate):
        count += 1
        end = os.fsencode(f"~{count}")
        name = os.fsencode(path.name)[: _NAME_MAX_BYTES - len(end)]
        candidate = path.with_name(os.fsdecode(name + end))
    return candidate
