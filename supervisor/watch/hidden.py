"""What must never be looked at, by whatever path: the session's files. Opens none of them."""

# ruff: noqa: PTH114, PTH118, PTH120 - a look handles thousands of plain strings

import os
from collections.abc import Callable, Iterable
from functools import lru_cache

from supervisor.config.patterns import around

# The folders of sessions that lie among other files, and the patterns of their names.
Among = tuple[tuple[str, tuple[str, ...]], ...]


# Few: all bots of a supervisor hide the same, and share it. For two hundred of them, each with its
# own copy of two hundred sessions' paths, that would be 10 MB.
@lru_cache(maxsize=4)
def joined(before: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Return both, each path once."""
    return tuple(dict.fromkeys((*before, *more)))


@lru_cache(maxsize=4)
def joined_among(before: Among, more: Among) -> Among:
    """Return both, each once."""
    return tuple(dict.fromkeys((*before, *more)))


@lru_cache(maxsize=4)
def deciding(among: Among) -> tuple[tuple[str, Callable[[str], bool]], ...]:
    """Return for each folder what says of a name in it whether it is hidden."""
    return tuple((folder, around(names)) for folder, names in among)


class Hidden:
    """The paths that must never be looked at, as they are right now: links may have moved."""

    def __init__(
        self, never: Iterable[str], among: Iterable[tuple[str, Callable[[str], bool]]]
    ) -> None:
        folders: dict[str, str] = {}
        given = [(path, _real(path, folders)) for path in never]
        self._real = frozenset(real for _, real in given)
        self._both = frozenset(path for pair in given for path in pair)
        self._parents = frozenset(os.path.dirname(path) for path in self._both)
        # What lies among others is hidden by its name alone.
        self._among = tuple((os.path.realpath(path), hides) for path, hides in among)
        self._mixed = frozenset(folder for folder, _ in self._among)

    def covers(self, real: str) -> bool:
        """Return whether a real path is hidden or lies in something hidden."""
        if any(real == one or real.startswith(one + "/") for one in self._real):
            return True
        return any(
            real.startswith(folder + "/") and hides(real[len(folder) + 1 :].partition("/")[0])
            for folder, hides in self._among
        )

    def entry(self, name: str, folder: str) -> bool:
        """Return whether an entry of a folder (its real path) is hidden."""
        if folder in self._mixed:
            mixed = (hides for one, hides in self._among if one == folder)
            if any(hides(name) for hides in mixed):
                return True
        if folder not in self._parents:
            return False
        return any(belongs(name, folder, path) for path in self._both)


def _real(path: str, folders: dict[str, str]) -> str:
    """Return the real path; the links on the way to many names of one folder are followed once."""
    folder, name = os.path.split(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.realpath(path) if os.path.islink(path) else os.path.join(folders[folder], name)


def belongs(name: str, folder: str, never: str) -> bool:
    """Return whether an entry of a folder is what is hidden, or comes and goes with it."""
    # Its own locks, temporary files, what was kept aside and SQLite's side files stand beside
    # what is hidden.
    parent, _, own = never.rpartition("/")
    if folder != (parent or "/"):
        return False
    rest = name.removeprefix(own)
    return (
        name.startswith("." + own.removeprefix("."))
        or rest in {"", "-wal", "-shm", "-journal"}
        or (rest != name and rest.startswith(".") and ("tmp" in rest or "unreadable" in rest))
    )
