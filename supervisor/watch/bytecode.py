"""A private place for a bot's bytecode, where it is checked by content.

Python trusts bytecode whose source has the recorded size and second of change, so the second of
two saves of one length within a second runs the first one's code. Bytecode that is once marked
'checked hash' is compared with its source at each import, and rewritten the same way.
"""

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.session import files
from supervisor.watch import compiling, interpreters

# Touched when the folder was last looked through for what no longer has a source.
SWEPT = ".swept"
SWEEP_EVERY_S = 86400.0
# No folder can be made there: Python then compiles at each start, slower and just as right.
NOWHERE = Path("/dev/null/stillhere")


def prefix() -> Path:
    """Return the folder for PYTHONPYCACHEPREFIX, made (0700) if it can be.

    Bytecode lies in it under its source's full path, so one folder serves all projects and the
    libraries are compiled once. Once a day what has lost its source's folder is removed, and what
    was left half written.
    """
    folder = _cache_home() / "stillhere" / "pycache"
    try:
        files.make_private(folder)
        for each in (folder.parent, folder):
            _keep_private(each)
        if not os.access(folder, os.W_OK):
            return NOWHERE  # unchecked bytecode in it could never be replaced
        _sweep(folder)
    except OSError:
        # A read-only home or somebody else's folder: bytecode that others can write is code.
        return NOWHERE
    return folder


def variables(env: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return what to add to a bot's environment; nothing if its own settings say otherwise."""
    if env.get("PYTHONDONTWRITEBYTECODE") or env.get("PYTHONPYCACHEPREFIX"):
        return {}
    return {"PYTHONPYCACHEPREFIX": str(folder)}


def refresh(files: Iterable[Path], folder: Path, python: str) -> int:
    """Write checked bytecode for the files that have none, an old one or an unchecked one.

    For all the project's own files before a first start: later the preflight does it for those that
    changed. Blocks for about 20 us a file that is fresh, 2 ms one of 300 lines that is not; any
    thread may call it at any time. Returns how many were written. A failure never raises: the bot
    then compiles by itself.
    """
    paths = [os.path.abspath(file) for file in files if str(file).endswith((".py", ".pyw"))]  # noqa: PTH100 - as in prefix
    try:
        if interpreters.same_version(python):
            return compiling.refresh(paths, str(folder))
        return int(interpreters.ask(python, {"refresh": paths, "prefix": str(folder)}))
    except (SupervisorError, OSError):
        return 0


def _cache_home() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # noqa: PTH117 - the specification: a relative one is ignored
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return NOWHERE


def _keep_private(folder: Path) -> None:
    # Not a link either: in a cache that others can write, it would be theirs.
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is not a folder of ours")
    if stat.S_IMODE(status.st_mode) & 0o077:
        folder.chmod(0o700)


def _sweep(folder: Path) -> None:
    mark = folder / SWEPT
    with contextlib.suppress(OSError):
        if time.time() - mark.stat().st_mtime < SWEEP_EVERY_S:
            return
    mark.touch(mode=0o600)
    for place, names, leaves in os.walk(folder):
        for name in leaves:
            if not name.endswith((".pyc", SWEPT)):  # who wrote it was killed at it
                with contextlib.suppress(OSError):
                    os.remove(os.path.join(place, name))  # noqa: PTH107, PTH118 - os.walk's strings
        source = os.path.join("/", os.path.relpath(place, folder))  # noqa: PTH118 - os.walk's strings
        for name in list(names):
            if not os.path.isdir(os.path.join(source, name)):  # noqa: PTH112, PTH118 - the same
                names.remove(name)
                shutil.rmtree(os.path.join(place, name), ignore_errors=True)  # noqa: PTH118 - the same
