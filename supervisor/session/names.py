"""Which entries of a folder are the session's, where it lies as a few files among others.

Everything that walks, moves or removes asks here first: what is not named is not of the session,
and never touched. With no Names, all that lies in the folder is the session's.
"""

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any, Self, TypeVar

from supervisor.config.patterns import beside, named
from supervisor.session import files

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Names:
    """`patterns`: see config/patterns.py. `never`: names that are the project's, whatever fits."""

    patterns: tuple[str, ...]
    never: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """Return what a person calls them."""
        return " or ".join(self.patterns)

    def has(self, path: str, *, folder: bool | Callable[[], bool] = False) -> bool:
        """Return whether a path, relative to the folder, is of the session or lies in it.

        `folder`: whether it is one itself: what is only called like a companion of a database
        is none then.
        """
        first, slash, _rest = path.partition("/")
        if first in self.never:
            return False
        fits = named(self.patterns)
        if fits(first):
            return True
        if slash or not fits(beside(first)):
            return False
        return not (folder() if callable(folder) else folder)

    def among(self, folder: Path) -> list[str]:
        """Return the names of what lies in the folder and is of the session, sorted.

        Raises: OSError, but not where there is no such folder.
        """
        try:
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries if self.lists(entry))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def lists(self, entry: os.DirEntry[str]) -> bool:
        """Return whether what was listed in the folder is of the session."""
        return self.has(entry.name, folder=lambda: entry.is_dir(follow_symlinks=False))

    def only(self, entries: Mapping[str, T], is_folder: Callable[[T], bool]) -> Mapping[str, T]:
        """Return of these, by path, what is of the session: the very same if all is."""
        mine = {
            path: entry
            for path, entry in entries.items()
            if self.has(path, folder=is_folder(entry))
        }
        return entries if len(mine) == len(entries) else mine


class _Shown(PosixPath):
    """A folder of which a listing shows what is of the session alone."""

    names: Names | None = None

    def iterdir(self) -> Generator[Self, None, None]:
        return (path for path in super().iterdir() if self._shows(path))

    def glob(self, pattern: str, **options: Any) -> Generator[Self, None, None]:
        return (path for path in super().glob(pattern, **options) if self._shows(path))

    def rglob(self, pattern: str, **options: Any) -> Generator[Self, None, None]:
        return (path for path in super().rglob(pattern, **options) if self._shows(path))

    def _shows(self, path: Path) -> bool:
        own = str(path.relative_to(self))
        return self.names is None or self.names.has(own, folder=path.is_dir)


def shown(folder: Path, names: Names | None) -> Path:
    """Return the folder for whoever looks in it for a session's files, be it by a pattern."""
    if names is None:
        return folder
    seen = _Shown(folder)
    seen.names = names
    return seen


def names_in(folder: Path, names: Names | None) -> list[str]:
    """Return the names of what is of the session in its folder, sorted. Raises: as `among`."""
    if names is not None:
        return names.among(folder)
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def kept_from(folder: Path, places: Iterable[Path]) -> frozenset[str]:
    """Return under which names of the folder these places of ours lie: never a session's."""
    inside = (files.real(place) for place in places)
    return frozenset(
        place.relative_to(folder).parts[0]
        for place in inside
        if place != folder and place.is_relative_to(folder)
    )


def make_plain(folder: Path) -> None:
    """Make the folder that a session lies in among others, if it is gone: it is no folder of ours.

    Its mode is what everybody's is, and that of one which is there stays. Raises: OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
