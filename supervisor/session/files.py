"""Writing so that it stays, and stays private: modes, sync, rename, the sync of the folder.

Every call into the kernel goes through `os.`, so that a test can fail or end the process at each
of them. After a failed fsync the file is discarded: a second fsync would report success for
pages that the kernel has already dropped.
"""

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 1 << 20
_WORK = "work-"


def real(path: Path) -> Path:
    """Return where a path leads; of links that lead round and round, as far as that is known."""
    return Path(os.path.realpath(path))  # before Python 3.13, Path.resolve() raises for those


def make_private(folder: Path, mode: int = 0o700) -> None:
    """Create `folder` and its missing parents with this mode, whatever the umask.

    Path.mkdir makes parents as the umask has it, so that others could put theirs in their place.
    """
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        try:
            path.mkdir(0o700)
        except FileExistsError:
            continue
        path.chmod(mode)


def keep_private(folder: Path) -> None:
    """Create a folder of ours, or take it back from group and others."""
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        make_private(folder)
        return
    with suppress(PermissionError):
        if stat.S_IMODE(mode) != 0o700:  # noqa: PLR2004 - a mode reads as octal
            folder.chmod(0o700)


def there(path: Path) -> bool:
    """Return whether `path` names anything, be it a link to nothing. Raises: OSError.

    os.path.lexists says no where the disk fails; what is there would be taken to be done with.
    """
    return _kind(path) is not None


def is_folder(path: Path) -> bool:
    """Return whether `path` is a folder itself, and no link to one. Raises: OSError."""
    return _kind(path) == stat.S_IFDIR


def is_plain(path: Path) -> bool:
    """Return whether `path` is a plain file itself. Raises: OSError."""
    return _kind(path) == stat.S_IFREG


def _kind(path: Path) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def sync_dir(folder: Path) -> None:
    """Commit the names in `folder` to the disk. Raises: OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_full(error: OSError) -> bool:
    """Return whether it is about the room on a disk: that helps, and nothing else does."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def naming(fd: int) -> Iterator[None]:
    """Let an error of a descriptor say which file it was: a person asks which disk is full."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            with suppress(OSError):
                name = str(Path(f"/proc/self/fd/{fd}").readlink())
                error.filename = name.removesuffix(" (deleted)")
        raise


def write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of `data`, however often the kernel takes only a part. Raises: OSError."""
    view = memoryview(data)
    with naming(fd):
        while view:
            view = view[os.write(fd, view) :]


def create(path: Path, mode: int = 0o600) -> int:
    """Create a new private file and return its descriptor. Raises: FileExistsError, OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, mode)
    os.fchmod(fd, mode)
    return fd


def replace_synced(target: Path, data: bytes, drafts: Path) -> None:
    """Put `data` in the place of `target`: it is the old file or the new one, never a part.

    The new file grows in the folder `drafts`, or beside `target` where that is another
    filesystem; there the next one sweeps away what a crash left. Raises: OSError.
    """
    try:
        _draft_and_rename(target, data, drafts)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = f"{target.name}.{_WORK}"
        with suppress(OSError):  # a folder that can be written, and not be listed
            sweep_scratch(target.parent, beside)
        _draft_and_rename(target, data, target.parent, beside)
    sync_dir(target.parent)


def _draft_and_rename(target: Path, data: bytes, folder: Path, prefix: str = _WORK) -> None:
    draft, fd = new_draft(folder, prefix)
    try:
        write_all(fd, data)
        os.fsync(fd)
        draft.rename(target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    finally:
        os.close(fd)


def new_draft(folder: Path, prefix: str = _WORK) -> tuple[Path, int]:
    """Create and open a file that a sweep removes once nobody holds it. Raises: OSError."""
    while True:
        draft = folder / f"{prefix}{os.getpid()}-{os.urandom(6).hex()}"
        fd = create(draft)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return draft, fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # a sweep was faster than our flock


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a plain file of at most `limit` bytes. Raises: OSError, ValueError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        os.close(fd)
        raise ValueError(f"{path} is no plain file of at most {limit} bytes")
    with os.fdopen(fd, "rb") as file:  # which refuses a folder, and would not say its path
        return file.read(limit + 1)


def read_at(fd: int, length: int, offset: int) -> bytes:
    """Return `length` bytes at `offset`, or fewer at the end of the file. Raises: OSError."""
    parts: list[bytes] = []
    while length > 0 and (part := os.pread(fd, length, offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def fill(fd: int, view: memoryview, offset: int) -> int:
    """Read at `offset` what fits into `view`. Returns the bytes: fewer only where the file ends.

    Raises: OSError.
    """
    done = 0
    while done < len(view) and (count := os.preadv(fd, [view[done:]], offset + done)):
        done += count
    return done


def copy_range(source: int, target: int, length: int) -> int:
    """Copy up to `length` bytes from one descriptor's position to the other's. Raises: OSError.

    The kernel copies (and shares the blocks, on filesystems that can). Returns the bytes copied:
    fewer when the source ends early.
    """
    done = 0
    by_kernel = True
    while done < length:
        want = min(length - done, 1 << 30)
        if by_kernel:
            try:
                copied = os.copy_file_range(source, target, want)
            except OSError as error:
                if is_full(error):
                    with naming(target):
                        raise
                if error.errno == errno.EIO:
                    raise
                by_kernel = False
                continue
            if not copied and not done:
                # Some filesystems (procfs, old FUSE) say 0 where there is something to read.
                by_kernel = False
                continue
        else:
            data = os.read(source, min(want, _CHUNK))
            write_all(target, data)
            copied = len(data)
        if not copied:
            break
        done += copied
    return done


def remove_tree(path: Path) -> None:
    """Remove a folder of ours and all in it; a folder without write permission too.

    A mount point in it (a cache on a tmpfs, or one file of a container) stays, empty: else
    nothing that was begun here could ever be ended. Raises: OSError, also for where we are: a path
    that came to nothing is the current folder, and that is never meant.
    """
    if not there(path):
        return
    if not is_folder(path):
        _unlink(path)
        return
    if Path.cwd().is_relative_to(real(path)):
        raise PermissionError(errno.EPERM, "not removed: it holds the current folder", str(path))
    for _folder, _dirs, _files, fd in os.fwalk(path):
        with suppress(OSError):
            os.fchmod(fd, 0o700)
    try:
        shutil.rmtree(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        _remove_but_mounts(path)


def _remove_but_mounts(path: Path) -> None:
    for folder, folders, names in os.walk(path, topdown=False):
        for name in names:
            _unlink(Path(folder, name))
        for name in folders:
            if Path(folder, name).is_symlink():
                Path(folder, name).unlink()
        try:
            Path(folder).rmdir()
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                raise


def _unlink(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        if is_plain(path):
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.ftruncate(fd, 0)
                os.fsync(fd)
            finally:
                os.close(fd)


def walk_up(path: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder of a tree with the names of what is in it but folders, parents last.

    Raises: OSError, which os.walk would keep to itself.
    """

    def fail(error: OSError) -> None:
        raise error

    for folder, _folders, names in os.walk(path, topdown=False, onerror=fail):
        yield Path(folder), names


def sync_tree(path: Path) -> None:
    """Commit a whole tree to the disk: each file, then each folder. Raises: OSError."""
    for folder, names in walk_up(path):
        for name in names:
            file = Path(folder, name)
            if not is_plain(file):
                continue
            fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        sync_dir(folder)


def hold(folder: Path) -> int:
    """Keep a folder from being swept away until the descriptor is closed. Raises: OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd


@contextmanager
def scratch(parent: Path, prefix: str = _WORK) -> Iterator[Path]:
    """Yield a private folder in `parent` that is gone afterwards, also after a crash.

    It is marked by a flock on the folder itself, which ends with the process: `sweep_scratch`
    removes what nobody holds, with no need to trust a pid. `prefix`: nothing else in `parent` may
    be called so.
    """
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        # A sweep may be faster than our flock, and than our look at the folder.
        with suppress(FileNotFoundError):
            fd = hold(path)
            if path.exists():
                break
            os.close(fd)
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(fd)


def sweep_scratch(parent: Path, prefix: str = _WORK) -> None:
    """Remove the scratch folders and drafts of dead processes. Raises: OSError."""
    for path in parent.iterdir():
        if not path.name.startswith(prefix):
            continue
        with suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(path)
            except BlockingIOError:
                pass
            finally:
                os.close(fd)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a short lock on a folder, against other threads and other processes."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
