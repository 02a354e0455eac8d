"""Where a program finds a module by name: its own folders, installed packages, or nowhere.

Looks at names of files and folders only, in the import system's own order. Imports nothing.
"""

# ruff: noqa: PTH112, PTH113, PTH114, PTH118, PTH119, PTH120 - paths as sys.path has them: text

import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from supervisor.watch.imports.facts import Facts

# A project may have a folder of tests: no library imports the standard library's own.
_NO_SHADOW = {"test"}


class Whose(Enum):
    """Whom a module belongs to."""

    PROJECT = auto()
    LIBRARY = auto()
    THERE = auto()  # loaded before any program runs, or part of the interpreter
    NOBODY = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """A module: its file ("" for a namespace), and the folders that hold its submodules."""

    whose: Whose
    file: str = ""
    folders: tuple[str, ...] = ()


class Places:
    """The search path of one program, looked at once."""

    def __init__(self, facts: Facts, first: str, sources: Collection[str] = ()) -> None:
        self._facts = facts
        self._path = (*([first] if first else ()), *facts.path)
        real = os.path.realpath
        site = {each: real(each) for each in facts.site_folders()}
        inside = os.path.join(facts.standard, "lib-dynload")
        self._libraries = {**site, facts.standard: real(facts.standard), inside: real(inside)}
        self._real_libraries = tuple(each + os.sep for each in self._libraries.values())
        self._sources = frozenset(sources)
        self._names: dict[str, frozenset[str]] = {}
        self._real: dict[str, str] = {}
        self._tops: dict[str, Place] = {}

    def archive(self) -> str:
        """Return an archive on the search path, whose names can't be seen; "" if there is none."""
        return next((each for each in self._path if os.path.isfile(each)), "")

    def own_names(self) -> tuple[str, ...]:
        """Return the top-level names that the program finds in folders of its own.

        While a spare loads ahead, the program's first folder is not on the path yet: an import of
        any of these, by whatever library, would find something else than in the program.
        """
        own = {
            name
            for folder in self._path
            if folder not in self._libraries
            for name in map(self._module_name, self._listed(folder))
            if name
        }
        return tuple(sorted(n for n in own | self._facts.editable if self._is_own(n)))

    def shadowed(self, own_names: Collection[str]) -> str:
        """Return a name of the project that hides a library's or Python's own; "" if none does."""
        for name in own_names:
            if name not in _NO_SHADOW and self._find(name, self._library_path()) is not None:
                return name
        return ""

    def top(self, name: str) -> Place:
        """Find a top-level module as the program would."""
        if name not in self._tops:
            self._tops[name] = self._top(name)
        return self._tops[name]

    def below(self, parent: Place, name: str) -> Place:
        """Find a submodule, by the last part of its name."""
        found = self._find(name, parent.folders)
        return found or Place(Whose.NOBODY)

    def is_loaded(self, name: str) -> bool:
        """Return whether a module is there before any program runs."""
        return name in self._facts.loaded

    def _top(self, name: str) -> Place:
        facts = self._facts
        if name in facts.loaded or name in facts.fixed:
            file = facts.loaded.get(name) or os.path.join(facts.standard, name, "__init__.py")
            package = os.path.basename(file).startswith("__init__.")
            return Place(Whose.THERE, "", (os.path.dirname(file),) if package else ())
        if name in facts.editable:
            return Place(Whose.PROJECT)
        return self._find(name, self._path) or Place(Whose.NOBODY)

    def is_standard(self, file: str) -> bool:
        """Return whether a file is of the standard library."""
        return self._facts.is_standard(file)

    def is_pythons(self, name: str) -> bool:
        """Return whether a top-level name is one of Python itself."""
        return name in self._facts.standard_names and not self._is_own(name)

    def _library_path(self) -> tuple[str, ...]:
        return tuple(each for each in self._path if each in self._libraries)

    def _is_own(self, name: str) -> bool:
        return self.top(name).whose is Whose.PROJECT

    def _find(self, name: str, folders: Collection[str]) -> Place | None:
        portions: list[str] = []
        for folder in folders:
            names = self._listed(folder)
            if name in names:
                below = os.path.join(folder, name)
                inside = self._listed(below)
                file = self._file(below, "__init__", inside)
                if file:
                    return Place(self._whose(file), file, (below,))
                if os.path.isdir(below):
                    portions.append(below)
            file = self._file(folder, name, names)
            if file:
                return Place(self._whose(file), file)
        if not portions:
            return None
        ours = all(self._whose(each) is Whose.LIBRARY for each in portions)
        return Place(Whose.LIBRARY if ours else Whose.PROJECT, "", tuple(portions))

    def _file(self, folder: str, stem: str, names: frozenset[str]) -> str:
        for suffix in (*self._facts.suffixes, ".py", ".pyc"):
            if stem + suffix in names:
                return os.path.join(folder, stem + suffix)
        return ""

    def _whose(self, file: str) -> Whose:
        # A link out of an installed package leads into somebody's project.
        if file in self._sources or not self.real_path(file).startswith(self._real_libraries):
            return Whose.PROJECT
        inside = file.startswith(tuple(each + os.sep for each in self._libraries))
        return Whose.LIBRARY if inside else Whose.PROJECT

    def real_path(self, path: str) -> str:
        """Return where a path leads. Folders are the same few: each is resolved once."""
        folder, name = os.path.split(path)
        if os.path.islink(path):
            return os.path.realpath(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        return os.path.join(self._real[folder], name)

    def _module_name(self, entry: str) -> str:
        for suffix in (*self._facts.suffixes, ".py", ".pyc"):
            if entry.endswith(suffix):
                stem = entry.removesuffix(suffix)
                return stem if stem.isidentifier() else ""
        return entry if entry.isidentifier() else ""

    def _listed(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._names[folder] = frozenset()
        return self._names[folder]
