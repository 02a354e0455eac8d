"""What somebody wants to import: whether it could be a session, and whether it fits.

It only looks, and not for long: what is no session may be a whole disk.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.names import Names
from supervisor.session.proof import checks
from supervisor.session.proof.profile import GENERIC, profile_for
from supervisor.session.scan import scan

# No session that we know of has more; nobody is kept waiting for the rest of a disk.
MANY_FILES = 100_000
# With all that is in them, they belong to the machine (https://refspecs.linuxfoundation.org/FHS).
_SYSTEM = (
    *("bin", "boot", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys"),
    *("usr/bin", "usr/include", "usr/lib", "usr/lib32", "usr/lib64", "usr/libexec", "usr/sbin"),
    "usr/share",
)
# Folders of folders: none of them is a session itself, but one may lie below.
_SHARED = (
    *("", "dev", "dev/shm", "home", "media", "mnt", "opt", "root", "run", "srv", "tmp", "usr"),
    *("usr/local", "usr/src", "var", "var/lib", "var/log", "var/tmp"),
)
_ROOM = 1.05  # blocks and folders take some, too


def refuse_system_folder(path: Path) -> None:
    """Raise a SupervisorError for what is no session, whoever says yes to it."""
    real = files.real(path)
    named = {"", *(str(parent).removeprefix("/") for parent in (real, *real.parents))}
    whole = str(real).removeprefix("/") in _SHARED or real == files.real(Path.home())
    if whole or not named.isdisjoint(_SYSTEM):
        raise SupervisorError(
            f"{path} is a folder of the machine, and no session",
            "name the folder in which the bot's session itself lies",
        )


def refuse_own(path: Path, *, live: Path, own: bool, store: Path, around: Iterable[Path]) -> None:
    """Raise a SupervisorError for what is ours and no session, whoever says yes to it.

    `live`: where that lies. `own`: whether the path is of it. `around`: what lies in none, like the
    folder of all sessions, or the project.
    """
    real = files.real(path)
    above = (real, *real.parents)
    if own:
        raise SupervisorError(
            f"{path} is the live session itself, or a part of it",
            "it is there already; stillhere session check tells whether it is whole",
        )
    store = files.real(store)
    held = len(real.parts) > len(store.parts) + 1 and real.parts[len(store.parts)] == "quarantine"
    if store in above and not held:
        raise SupervisorError(
            f"{path} is a part of the snapshots' store, and no session",
            "stillhere session snapshots lists them, session restore --snapshot brings one back",
        )
    for place in (store, live, *around):
        if real in (resolved := files.real(place), *resolved.parents):
            what = "it belongs to the project" if real == resolved else f"{place} lies in it"
            raise SupervisorError(
                f"{path} is no session: {what}",
                "name the folder in which the one session itself lies",
            )


def doubts(path: Path) -> list[str]:
    """Return why a folder may be no session: for a person to decide. A file raises none here.

    Raises: OSError.
    """
    if not path.is_dir():
        return []
    found: list[str] = []
    if path.stat().st_uid != os.geteuid():
        found.append(f"it belongs to another user (uid {path.stat().st_uid})")
    count = sum(1 for _ in _sizes(path))
    if count > MANY_FILES:
        return [*found, f"it has more than {MANY_FILES:,} files"]
    if count and not _recognised(path):
        found.append("nothing in it looks like a session: no known kind, no database, no JSON")
    elif count and profile_for(path) is GENERIC and all(map(files.is_folder, path.iterdir())):
        found.append(f"all its files lie deeper: is one of its folders the session? ({path}/...)")
    return found


def _recognised(path: Path) -> bool:
    profile = profile_for(path)
    return profile is not GENERIC or bool(checks.formats_of(path, scan(path).seen, profile, {}))


def room_for(path: Path, target: Path, names: Names | None = None) -> None:
    """Raise a SupervisorError if the folder `path` does not fit where `target` will be.

    `names`: what of it comes in.
    """
    limit, needs = free_bytes(target), 0
    for size_bytes in _sizes(path, names):
        needs += size_bytes
        if needs * _ROOM > limit:
            raise no_room(path, limit)


def no_room(path: Path, room_bytes: int) -> SupervisorError:
    """Return the error for what is larger than the disk has room for."""
    return SupervisorError(
        f"{path} takes more than the {room_bytes >> 20:,} MB that are free for it",
        "nothing was changed; make room first",
    )


def free_bytes(target: Path) -> int:
    """Return how many bytes may be written where `target` is, or will be."""
    folder = next(parent for parent in (target, *target.parents) if files.there(parent))
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _sizes(path: Path, own: Names | None = None) -> Iterator[int]:
    """Yield the sizes of the files in a folder; of links and of what can't be read, nothing."""
    count = 0
    for folder, inner, names in os.walk(path):
        if own is not None and Path(folder) == path:
            inner[:] = [name for name in inner if own.has(name, folder=True)]
            names[:] = [name for name in names if own.has(name)]
        for name in names:
            try:
                status = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - a hundred thousand
            except OSError:
                continue
            count += 1
            yield status.st_size if stat.S_ISREG(status.st_mode) else 0
            if count > MANY_FILES:
                return
