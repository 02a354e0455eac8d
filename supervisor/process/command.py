"""What is executed to start a bot: the program that its command names, and the prefix before it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from supervisor.core.errors import SupervisorError


def program(name: str, cwd: Path, env: Mapping[str, str]) -> Path:
    """Find the program as exec would. Raises: SupervisorError, with what to do."""
    if "/" in name:
        path = cwd / name
        if os.access(path, os.X_OK) and path.is_file():
            return path
        reason = "is not executable" if path.exists() else "does not exist"
        raise SupervisorError(f"{path} {reason}", "see `command` and `cwd` in the config")
    found = shutil.which(name, path=env.get("PATH"))
    if found is None:
        raise SupervisorError(
            f"the program {name!r} is not on PATH", "install it, or name it by its full path"
        )
    return Path(found)


def death_signal() -> list[str]:
    """Return the prefix that has the kernel tell the bot when we die, where setpriv(1) exists.

    It execs the bot's own command, so the pid and the command line are the bot's. Doing it in
    the child ourselves (preexec_fn) would turn vfork into fork, and is unsafe beside threads.
    """
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM", "--"]
