"""Whose device a session is whose databases were not closed: they are whole with journals only.

At rest a -wal or a -journal is a part of its database; the file alone may be of long ago, or half
written. SQLite puts both together, and eats the journal doing so: only copies are given to it.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from supervisor.session import files
from supervisor.session.proof.databases import play_back
from supervisor.session.proof.profile import Profile, identifies, identity_of
from supervisor.session.proof.sqlite_files import JOURNALS
from supervisor.session.scan import Seen

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def has_journals(profile: Profile, seen: Mapping[str, Seen]) -> bool:
    """Return whether a database that may tell the identity has a journal with something in it."""
    return bool(_journaled(profile, seen))


def played_back_identity(
    profile: Profile, folder: Path, seen: Mapping[str, Seen], work: Path
) -> str | None:
    """Return the identity with all journals played back, in copies in `work`.

    Raises: OSError where a copy can't be made, or as `identity_of`.
    """
    wanted = [
        path
        for path, item in seen.items()
        if item.kind == "file" and identifies(profile, path, "sqlite")
    ]
    for path in wanted:
        for name in (path, *(path + end for end in JOURNALS)):
            if name in seen and seen[name].kind == "file":
                _copy(folder / name, work / name)
    for path in _journaled(profile, seen):
        play_back(work / path)
    return identity_of(profile, work)


def play_back_all(profile: Profile, root: Path, seen: Mapping[str, Seen]) -> None:
    """Play the journals of a copy back that lies in `root`, as far as it lies there."""
    for path in _journaled(profile, seen):
        if (root / path).is_file():
            play_back(root / path)


def _journaled(profile: Profile, seen: Mapping[str, Seen]) -> list[str]:
    return [
        path
        for path, item in seen.items()
        if item.kind == "file"
        and any(path + end in seen and seen[path + end].size for end in JOURNALS)
        and identifies(profile, path, "sqlite")
    ]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(0o700, parents=True, exist_ok=True)
    fd = os.open(source, _FLAGS)
    try:
        copy = files.create(target)
        try:
            files.copy_range(fd, copy, os.fstat(fd).st_size)
        finally:
            os.close(copy)
    finally:
        os.close(fd)
