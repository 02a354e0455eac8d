"""What must never be looked at, by whatever path: the session's files. Opens none of them."""

# ruff: noqa: PTH120 - a look handles thousands of plain strings

import os
from collections.abc import Callable, Iterable


class Hidden:
    """The paths that must never be looked at, as they are right now: links may have moved."""

    def __init__(
        self, never: Iterable[str], among: Iterable[tuple[str, Callable[[str], bool]]]
    ) -> None:
        given = [(path, os.path.realpath(path)) for path in never]
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
