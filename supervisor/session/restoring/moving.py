"""Move one file or folder to another place, by copy where the kernel will not rename it."""

import errno
import os
import shutil
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from supervisor.session import files

# Another filesystem, or a mount point, or (for a folder) a name that is taken.
NOT_BY_RENAME = (errno.EXDEV, errno.EBUSY, errno.ENOTEMPTY, errno.EEXIST)


def move_entry(source: Path, target: Path, gone: Path | None = None) -> None:
    """Move one file or folder, by copy where it must be; the source goes last.

    `gone`: a place on the source's filesystem from where it may be removed part by part.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno not in NOT_BY_RENAME:
            raise
    else:
        return
    draft = target.with_name(f".moving-{target.name}")
    files.remove_tree(draft)
    if files.is_folder(source):
        shutil.copytree(source, draft, symlinks=True, ignore=_odd_ones)
        files.sync_tree(draft)
    else:
        shutil.copy2(source, draft, follow_symlinks=False)
        if files.is_plain(draft):
            fd = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    draft.rename(target)
    files.sync_dir(target.parent)
    if gone is not None:
        files.remove_tree(gone)
        source = source.rename(gone)
    files.remove_tree(source)


def _odd_ones(folder: str, names: list[str]) -> list[str]:
    """Return the sockets, pipes and devices: they can't be copied, and hold nothing."""
    found = ((name, Path(folder, name).lstat().st_mode) for name in names)
    return [name for name, mode in found if not (S_ISREG(mode) or S_ISDIR(mode) or S_ISLNK(mode))]


def unused(path: Path) -> Path:
    """Return `path`, or one beside it that is not taken yet."""
    count = 1
    candidate = path
    while files.there(candidate):
        count += 1
        candidate = path.with_name(f"{path.name}~{count}")
    return candidate
