"""A private place for a bot's bytecode, where it is checked by content.

Python trusts bytecode whose source has the recorded size and second of change, so the second of
two saves of one length within a second runs the first one's code. Bytecode that is once marked
'checked hash' is compared with its source at each import, and rewritten the same way.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from blake3 import blake3

from supervisor.core.errors import SupervisorError
from supervisor.watch import compiling, interpreters

# Names the project a folder belongs to, so that those of projects that are gone can go too.
OWNER_FILE = "project"
# No folder can be made there: Python then compiles at each start, slower and just as right.
NOWHERE = Path("/dev/null/stillhere")


def prefix(config_path: Path) -> Path:
    """Return the folder for PYTHONPYCACHEPREFIX, made (0700) if it can be.

    When it is new, the folders of projects that no longer exist are removed.
    """
    config = os.path.abspath(config_path)  # noqa: PTH100 - the path as it is named, links included
    store = _cache_home() / "stillhere" / "pycache"
    folder = store / blake3(os.fsencode(config)).hexdigest(length=8)
    try:
        new = not folder.exists()
        for each in (store.parent, store, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            _keep_private(each)
        if new:
            (folder / OWNER_FILE).write_bytes(os.fsencode(config_path.absolute().parent))
            _prune(store)
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

    Before a start: all the project's own files; before a restart, those that changed. Blocks for
    about 20 us a file that is fresh, 1 ms one that is not. Returns how many were written. A
    failure never raises: the bot then compiles by itself.
    """
    paths = [os.path.abspath(file) for file in files if str(file).endswith((".py", ".pyw"))]  # noqa: PTH100 - as in prefix
    try:
        if interpreters.same_version(python):
            return sum(compiling.refresh(path, str(folder)) for path in paths)
        return sum(interpreters.ask(python, {"refresh": paths, "prefix": str(folder)}))
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


def _prune(store: Path) -> None:
    for folder in store.iterdir():
        with contextlib.suppress(OSError):
            if not os.path.isdir((folder / OWNER_FILE).read_bytes()):  # noqa: PTH112 - bytes: any name
                shutil.rmtree(folder, ignore_errors=True)
