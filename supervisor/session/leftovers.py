"""What a browser left in its profile that keeps the next one from starting.

`SingletonLock` is a link to HOST-PID. Chromium takes away that of a dead process of its own host;
that of another host (a container has a new name each time), and that of a number which another
browser has by now, it respects for ever. Removes those three links and nothing else.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.session.copying.writers import uses
from supervisor.session.sight import looked

_LOCK = "SingletonLock"
_LINKS = (_LOCK, "SingletonCookie", "SingletonSocket")
_OPTION = b"--user-data-dir="


def clear_leftovers(folder: Path) -> list[str]:
    """Remove the lock of a browser that is gone; return what was done, in words.

    Only for who holds the owner's lock of this session and knows that no survivor is left: so one
    of another host, of which nothing can be seen, is a dead one's.
    Raises: SupervisorError, with its pid, if a browser of this host has that profile; OSError.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(folder, flags)
    except OSError:  # there is none, or whether it may be one is for others to say
        return []
    try:
        try:
            target = os.readlink(_LOCK, dir_fd=fd)
        except OSError:  # there is none, or it is no link: Chromium mends that itself
            return []
        host, _, number = target.rpartition("-")
        pid = int(number) if number.isascii() and number.isdigit() else 0
        if not host or not pid:
            return []
        here = host == os.uname().nodename
        if here and _has(pid, folder):
            raise SupervisorError(
                f"a browser (pid {pid}) has the profile {folder} open",
                f"close it, or end it (kill {pid}); then start again",
            )
        _remove(fd)
    finally:
        os.close(fd)
    whose = "that is gone" if here else f"on {host!r}, which is not this host,"
    return [f"removed the lock that a browser {whose} left in its profile (pid {pid})"]


def _remove(fd: int) -> None:
    for name in reversed(_LINKS):  # the lock last: who is interrupted comes back for the rest
        with suppress(FileNotFoundError):
            if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=fd)


def _has(pid: int, folder: Path) -> bool:
    """Return whether a process is a browser on that profile, and not another with its number."""
    profile = folder.resolve()
    with suppress(OSError):
        words = looked(pid, Path(f"/proc/{pid}/cmdline").read_bytes).split(b"\0")
        here = looked(pid, Path(f"/proc/{pid}/cwd").readlink)
        for word in words:
            if word.startswith(_OPTION):
                return (here / os.fsdecode(word.removeprefix(_OPTION))).resolve() == profile
    return uses(pid, profile)
