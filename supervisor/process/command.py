"""What is executed to start a bot: the program that its command names, and the prefix before it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.process.user import User


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


def death_signal(user: User | None = None) -> list[str]:
    """Return the prefix that has the kernel tell the bot when we die, where setpriv(1) exists.

    `user`: who the bot runs as, if that is not us; then setpriv(1) must exist.

    It execs the bot's own command, so the pid and the command line are the bot's. Doing it in
    the child ourselves (preexec_fn) would turn vfork into fork, and is unsafe beside threads.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return []
    return [setpriv, "--pdeathsig", "TERM", *(user.prefix() if user is not None else ()), "--"]


def cannot_start(name: str, error: Exception) -> SupervisorError:
    """Return what a person is told where a command could not be started."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return SupervisorError(
        f"{name} could not be started: {why}", "see `command` and `cwd` in the config"
    )
