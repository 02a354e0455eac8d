"""What lies in a folder, reached through no link, whatever somebody puts on the way meanwhile."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def open_inside(root: Path, path: str, flags: int) -> int:
    """Open what lies at `path` in `root`, through no link. Raises: OSError.

    For a tree that somebody may change meanwhile: a path that was looked at before may lead
    anywhere by now, a folder that is open can't.
    """
    through = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *parents, name = path.split("/")
        for parent in parents:
            inner = os.open(parent, through, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def inside(root: Path, path: str) -> Iterator[Path]:
    """Yield where `path` lies in `root`: a name in an open folder, to which no link has led.

    Of what lies there itself nothing is said: it may be a link. Raises: OSError.
    """
    parent, _, name = path.rpartition("/")
    fd = open_inside(root, parent or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    folder = f"/proc/self/fd/{fd}"
    try:
        yield Path(folder, name)
    except OSError as error:  # a person has to know which file it was
        for field in ("filename", "filename2"):
            said = getattr(error, field)
            if isinstance(said, str) and said.startswith(folder):
                setattr(error, field, f"{root / parent}{said[len(folder) :]}")
        raise
    finally:
        os.close(fd)


def make_inside(root: Path, path: str) -> None:
    """Create the folder `path` in `root`, and its missing parents, private. Raises: OSError."""
    parts = path.split("/")
    for count in range(1, len(parts) + 1):
        with inside(root, "/".join(parts[:count])) as place, suppress(FileExistsError):
            place.mkdir(0o700)


def set_mode_inside(root: Path, path: str, mode: int) -> None:
    """Set the mode of what lies at `path` in `root`, and of nothing that a link leads to.

    Raises: OSError.
    """
    fd = open_inside(root, path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            Path(f"/proc/self/fd/{fd}").chmod(mode)
    finally:
        os.close(fd)
