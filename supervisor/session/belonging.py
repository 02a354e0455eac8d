"""Whose a session is, where its bot runs as another user than we do.

We are root then, and what lies in the session was put there by somebody who is not: no path in it
may lead us to what the bot itself could not reach. So we never write into a live session, we only
swap it whole, in a folder that the bot can't write into; and what comes back is given to the bot
while nobody but us can look at it. Chowns nothing that it did not make.
"""

import os
import pwd
import stat
from pathlib import Path
from typing import NamedTuple

from supervisor.core.errors import SupervisorError
from supervisor.session import files

_OTHERS_WRITE = 0o022
_OTHERS_PASS = 0o011


class Belonging(NamedTuple):
    """The user and the group that a session's files belong to."""

    uid: int
    gid: int


def belonging_of(user: str) -> Belonging | None:
    """Return the ids of a user; None for "". Raises: SupervisorError for nobody we know."""
    if not user:
        return None
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise SupervisorError(
            f"there is no user {user!r}", "make one (useradd --system), or see `user` in the config"
        ) from None
    return Belonging(found.pw_uid, found.pw_gid)


def give(tree: Path, to: Belonging) -> None:
    """Give a tree of ours, into which nobody else can look yet, to another user.

    The top goes last: from then on it is theirs. Raises: OSError.
    """
    for folder, folders, names in os.walk(tree, topdown=False):
        for name in (*names, *folders):
            os.chown(Path(folder, name), *to, follow_symlinks=False)
    os.chown(tree, *to, follow_symlinks=False)


def make_way(folder: Path) -> None:
    """Make a folder, and what is missing above it, through which others can pass. Raises: OSError.

    Before anything else makes it: for whoever has no such bot it is nobody's but ours.
    """
    files.make_private(folder, 0o700 | _OTHERS_PASS)


def make_folder(folder: Path, to: Belonging, sessions: Path) -> None:
    """Make the session's folder, of the bot's user alone, or check that it is one.

    `sessions`: the folder of all sessions, which others may pass through, and not list.
    Raises: SupervisorError where the bot could put something else in its place; OSError.
    """
    make_way(sessions)
    if folder.parent == sessions:
        mode = sessions.stat().st_mode
        if mode & _OTHERS_PASS != _OTHERS_PASS:
            sessions.chmod(stat.S_IMODE(mode) | _OTHERS_PASS)
    _refuse_swappable(folder.parent, to)
    try:
        found = folder.lstat()
    except FileNotFoundError:
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
        os.chown(folder, *to, follow_symlinks=False)
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != to.uid:
        raise SupervisorError(
            f"the session's folder {folder} does not belong to uid {to.uid}, who runs the bot",
            f"look at what lies in it, and then: chown -hR {to.uid}:{to.gid} {folder}",
        )
    if os.path.ismount(folder):
        raise SupervisorError(
            f"the session's folder {folder} is a mount point, which can't be swapped",
            "mount the folder that it lies in, or let the bot run without `user`",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.chmod(folder, 0o700)  # noqa: PTH101 - its parent is ours: it is the folder we saw


def _refuse_swappable(parent: Path, to: Belonging) -> None:
    for folder in (parent, *parent.parents):
        found = folder.lstat()
        mode = found.st_mode
        open_to_all = mode & _OTHERS_WRITE and not (mode & stat.S_ISVTX and folder != parent)
        if stat.S_ISDIR(mode) and found.st_uid != to.uid and not open_to_all:
            continue
        raise SupervisorError(
            f"{folder} can be changed by who runs the bot, and its session lies below",
            "keep `sessions` (or `session_path`) in folders that only root can write",
        )
