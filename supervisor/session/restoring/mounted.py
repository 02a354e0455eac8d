"""What in a session's folder is a mount point of its own: a volume, or one file of a container."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.session.names import Names

_MOUNTS = Path("/proc/self/mountinfo")
# proc_pid_mountinfo(5): where it is mounted. Blanks and the like are octal there.
_POINT = 4
_OCTAL = re.compile(rb"\\([0-7]{3})")


def mounts_below(folder: Path) -> list[Path]:
    """Return the mount points in `folder`, none where the kernel does not tell.

    The device of a file does not tell: a mount may be of the same disk.
    """
    return [path for path in _points() if folder in path.parents and files.there(path)]


def _points() -> Iterable[Path]:
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:
        return ()
    points = (line.split(b" ", _POINT + 1)[_POINT] for line in lines)
    return {Path(os.fsdecode(_OCTAL.sub(_byte, point))) for point in points}


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)])


def refuse_read_only(live: Path, names: Names | None = None) -> None:
    """Raise a SupervisorError where a session could only be half replaced, or half cleared.

    A volume is emptied and filled, entry by entry; what is mounted read-only in it can't be.
    `names`: what of the folder is the session; of the rest nothing is said.
    """
    points = _points()
    if live not in points and names is None:
        return
    for path in sorted(points):
        own = live in path.parents
        if own and names is not None:
            own = names.has(str(path.relative_to(live)))
        if own and files.there(path) and not os.access(path, os.W_OK):
            raise SupervisorError(
                f"{path} is mounted read-only in the session, which can't be replaced so",
                "unmount it, or mount it writable, and do it again: nothing was changed",
            )
