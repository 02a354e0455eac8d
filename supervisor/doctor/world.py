"""The machine as the checks see it: /proc, mounts, the clock, where units lie. It only looks."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from supervisor.doctor.findings import CannotTell
from supervisor.watch.kernel import REMOTE

SYSTEM_UNITS = Path("/etc/systemd/system")
# Of FUSE those that are a network's; of the others it is not known.
_REMOTE_FUSE = (
    "sshfs",
    "rclone",
    "glusterfs",
    "s3fs",
    "gcsfuse",
    "davfs",
    "curlftpfs",
    "gvfsd-fuse",
)


class Mount(NamedTuple):
    """Where a filesystem is mounted, and of what type it is."""

    at: Path
    kind: str

    @property
    def remote(self) -> bool:
        """Whether it is of a network, or of another system."""
        return self.kind in REMOTE or self.kind.removeprefix("fuse.") in _REMOTE_FUSE


def _is_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def _home() -> Path:
    """Return the home of who asks; "/" for a user of whom nothing is known, as in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def own_units() -> Path:
    """Return where the units of one's own manager lie."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(given) if given.startswith("/") else _home() / ".config") / "systemd" / "user"


def _units() -> tuple[Path, ...]:
    return SYSTEM_UNITS, own_units()


@dataclass(frozen=True, kw_only=True)
class World:
    """The machine, as it is seen: what a test can't have otherwise may be given.

    `units`: where systemd's units lie, the system's first. `container`: it is one, whose own
    files are gone with it. `home`: of who asks.
    """

    proc: Path = Path("/proc")
    units: tuple[Path, ...] = field(default_factory=_units)
    python: tuple[int, ...] = field(default_factory=lambda: tuple(sys.version_info[:3]))
    now: Callable[[], float] = time.time
    container: bool = field(default_factory=_is_container)
    home: Path = field(default_factory=_home)

    def processes(self) -> Iterator[str]:
        """Yield the folders of all processes in /proc; plain strings, for they are many."""
        proc = str(self.proc)
        yield from (f"{proc}/{name}" for name in os.listdir(proc) if name.isdigit())

    @cached_property
    def by_folder(self) -> dict[str, list[str]]:
        """The processes by the folder in which they are, as far as is seen."""
        found: dict[str, list[str]] = {}
        for process in self.processes():
            with suppress(OSError):
                found.setdefault(os.readlink(f"{process}/cwd"), []).append(process)  # noqa: PTH115 - strings
        return found

    @cached_property
    def inotify(self) -> dict[int, tuple[int, int]]:
        """How many inotify instances and watches each user's processes have, as far as is seen."""
        found: dict[int, tuple[int, int]] = {}
        for process in self.processes():
            with suppress(OSError):
                uid = os.stat(process).st_uid  # noqa: PTH116 - strings
                instances, watches = _inotify_of(process)
                had = found.get(uid, (0, 0))
                found[uid] = had[0] + instances, had[1] + watches
        return found

    @cached_property
    def mounts(self) -> list[Mount]:
        """All mounts, those that hide others later (proc_pid_mountinfo(5)). Raises: OSError."""
        found: list[Mount] = []
        for text in (self.proc / "self" / "mountinfo").read_text().splitlines():
            words = text.split(" ")
            if "-" in words[5:]:
                found.append(Mount(Path(_unescaped(words[4])), words[words.index("-", 5) + 1]))
        return found

    def mount_of(self, path: Path) -> Mount:
        """Return the mount that a path lies on. Raises: CannotTell, OSError."""
        mounts = {mount.at: mount for mount in self.mounts}
        for look in (os.path.abspath, os.path.realpath):
            place = Path(look(path))
            found = next((mounts[each] for each in (place, *place.parents) if each in mounts), None)
            if found is not None and (found.remote or look is os.path.realpath):
                return found  # a network's disk is not touched: it may hang
        raise CannotTell(f"it is not known on which filesystem {path} lies")


def _inotify_of(process: str) -> tuple[int, int]:
    """Return a process's inotify instances and watches (proc_pid_fdinfo(5)). Raises: OSError."""
    instances = watches = 0
    for fd in os.listdir(f"{process}/fd"):
        with suppress(OSError):
            if os.readlink(f"{process}/fd/{fd}") == "anon_inode:inotify":  # noqa: PTH115 - strings
                instances += 1
                watches += Path(f"{process}/fdinfo/{fd}").read_text().count("inotify wd:")
    return instances, watches


def _unescaped(text: str) -> str:
    """Return a path as mountinfo has it (proc_pid_mountinfo(5)) without its escapes."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
