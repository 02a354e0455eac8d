"""Follows a program's imports through the project's own modules, in the order they would run.

Takes what is installed, goes into what is the project's, and ends where a `Stop` is reached. What
is the project's is taken too where it is whole (`Whole`), once it has run to its end.
"""

# ruff: noqa: PTH123 - paths as the search path has them: text

import functools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from supervisor.watch.imports import libraries
from supervisor.watch.imports.harmless import REFUSED
from supervisor.watch.imports.libraries import Meaning
from supervisor.watch.imports.places import Place, Places, Whose
from supervisor.watch.imports.stamps import Stamp, stamp
from supervisor.watch.imports.steps import (
    Attempt,
    Import,
    Reading,
    Step,
    Stop,
    Version,
    WhenMain,
    read,
)
from supervisor.watch.imports.values import ITEM, of_the_moment
from supervisor.watch.imports.whole import Whole

_HOPS_MAX = 20  # from one module's name for something to another's


class Stopped(Exception):  # noqa: N818 - not an error: the walk has an end
    """Why and where the walk ended."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """A module's file as it was read, by its real path, and the path by which it was found.

    `imports`: the modules of the project that it imports by itself.
    """

    file: str
    stamp: Stamp
    found: str = ""
    imports: frozenset[str] = frozenset()


class _Missing(Exception):  # noqa: N818 - a program's ImportError, foreseen
    """A module that is surely not there."""


@functools.lru_cache(maxsize=4096)
def _reading(file: str, _: Stamp, version: Version) -> Reading:
    try:
        with open(file, "rb") as opened:
            return read(opened.read(), version)
    except OSError as error:
        return Reading((Stop(1, f"it can't be read: {error.strerror}"),))


class Walk:
    """One program's imports. `modules`: those taken, in order; `files`: those of libraries.

    `own`: the modules of the project among what is taken or loaded by it, with their files; `run`:
    those that have run to their end. `lists_classes`: see `Reading`. `edited`: files that are not
    taken.
    """

    def __init__(
        self,
        places: Places,
        version: Version,
        *,
        certain: bool,
        refused: Mapping[str, str],
        edited: Collection[str] = (),
    ) -> None:
        self.modules: dict[str, None] = {}
        self.files: dict[str, None] = {}
        self.own: dict[str, Stamped] = {}
        self.run: set[str] = set()
        self.lists_classes = False
        self._whole = Whole()
        self._never = set(edited)  # the program's own file among them
        self._places = places
        self.version = version
        self._certain = certain
        self._refused = {**REFUSED, **refused}
        self._entered: dict[str, Reading] = {}
        self._packages: dict[str, str] = {}
        self._own_places: dict[str, Place] = {}
        self._stamped: dict[str, Stamped] = {}
        self._running: dict[str, set[str]] = {}  # in order, with what each imports
        self._at = ""

    def program(self, reading: Reading, shown: str, package: str = "") -> None:
        """Follow the program's own first module. Raises: Stopped."""
        self.lists_classes |= reading.lists_classes
        try:
            self._run(reading.steps, shown, package, main=True)
        except _Missing as error:
            raise Stopped(f"{self._at}: {error} is not there") from None

    def file(self, file: str, package: str = "") -> None:
        """Follow a file as the program. Raises: Stopped."""
        # Once more under another name, it is another module: `python -m` would complain of it.
        self._never.add(self._places.real_path(file))
        self.program(_reading(file, stamp(file), self.version), file, package)

    def parents(self, name: str) -> Place:
        """Follow the packages that hold the module `name`, and find it. Raises: Stopped."""
        try:
            *parents, last = name.split(".")
            place = self._dotted(".".join(parents)) if parents else None
            found = self._places.below(place, last) if place else self._places.top(last)
        except _Missing as error:
            raise Stopped(f"-m {name}: {error} is not there") from None
        if found.whose is Whose.NOBODY:
            raise Stopped(f"-m {name}: it is not there")
        return found

    def _run(self, steps: Iterable[Step], file: str, package: str, *, main: bool) -> None:
        for step in steps:
            match step:
                case Stop():
                    raise Stopped(f"{file}:{step.line}: {step.why}")
                case WhenMain():
                    self._run(step.body if main else step.orelse, file, package, main=main)
                case Import():
                    self._at = f"{file}:{step.line}"
                    self._import(step, package)
                case Attempt():
                    self._attempt(step, file, package, main=main)

    def _attempt(self, step: Attempt, file: str, package: str, *, main: bool) -> None:
        before = len(self._entered)
        try:
            self._run(step.body, file, package, main=main)
        except _Missing:
            if step.handler is None:
                raise
            self._run(step.handler, file, package, main=main)
        else:
            # Of a library it is known whether it is there; a file of the project may fail anyhow.
            if step.risky and not (step.plain and len(self._entered) == before):
                raise Stopped(f"{file}:{step.line}: it may fail, and then imports something else")
            self._run(step.orelse, file, package, main=main)
        self._run(step.final, file, package, main=main)

    def _import(self, step: Import, package: str) -> None:
        module = step.module
        if step.level:
            parts = package.split(".") if package else []
            if step.level > len(parts):
                raise Stopped(f"{self._at}: it leads out of its package")
            parts = parts[: len(parts) - step.level + 1]
            module = ".".join([*parts, *([module] if module else [])])
        at = self._at
        place = self._dotted(module)
        for name in step.names:
            self._at = at
            self._attribute(module, place, name)

    def _dotted(self, module: str) -> Place:
        """Import each part of a dotted name. Raises: _Missing, Stopped."""
        parts = module.split(".")
        place = self._places.top(parts[0])
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if count > 1:
                if self._places.is_loaded(name):
                    place = Place(Whose.THERE)
                    continue
                place, parent = self._places.below(place, parts[count - 1]), place
                if place.whose is Whose.NOBODY and parent.whose is not Whose.PROJECT:
                    raise Stopped(f"{self._at}: {name} is not seen in its package")
            self._enter(name, place)
        return place

    def _enter(self, name: str, place: Place) -> None:
        match place.whose:
            case Whose.NOBODY:
                if self._certain:
                    raise _Missing(name)
                raise Stopped(f"{self._at}: {name} is not on the search path")
            case Whose.LIBRARY:
                self._take(name, place.file)
            case Whose.PROJECT:
                self._own(name, place)
            case Whose.THERE:
                if not self._places.is_loaded(name):
                    self._take(name, place.file)

    def _take(self, name: str, file: str) -> None:
        if name in self.modules:
            return
        if why := self._is_refused(name):
            raise Stopped(f"{self._at}: {name} is not loaded ahead: {why}")
        # Python's own modules (multiprocessing) only hold on to it.
        if not self._places.is_standard(file) and libraries.asks_for_main(file):
            raise Stopped(f"{self._at}: {name} looks at the main program")
        self.modules[name] = None
        self.files[file] = None

    def _is_refused(self, name: str) -> str:
        return self._refused.get(name) or self._refused.get(name.partition(".")[0]) or ""

    def _own(self, name: str, place: Place) -> None:
        self._needs(name)
        if name in self._entered:
            return
        file = place.file
        if not file:
            if not place.folders:
                raise Stopped(f"{self._at}: {name} is the project's, and found in a way of its own")
            self._entered[name] = Reading(())
            return
        if not file.endswith(".py"):
            raise Stopped(f"{self._at}: {name} is compiled")
        seen = Stamped(self._places.real_path(file), stamp(file), file)
        reading = _reading(file, seen.stamp, self.version)
        self._entered[name] = reading
        self.lists_classes |= reading.lists_classes
        imports = self._running[name] = set[str]()
        at = self._at
        parent = name.rpartition(".")[0]
        package = self._packages[name] = name if place.folders else parent
        self._own_places[name] = place
        never = self._is_refused(name) or seen.file in self._never
        # A package that binds the name itself has another value in its place until then.
        hidden = parent in self._entered and name.rpartition(".")[2] in self._entered[parent].names
        self._whole.begin(name, whole=not (never or hidden or reading.timely))
        if parent:
            self._whole.needs(parent)
        try:
            self._run(reading.steps, file, package, main=False)
        except _Missing:
            del self._entered[name], self._running[name]
            self._whole.abandon(name)
            raise
        self._at = at
        for used in reading.used:
            self._looks_at(used, package)
        if not all(self._is_plain(base, package) for base in reading.bases):
            self._whole.spoil()
        del self._running[name]
        self.run.add(name)
        self._stamped[name] = replace(seen, imports=frozenset(imports))
        if together := self._whole.end(name):
            self.modules[name] = None
            self.own.update((each, self._stamped[each]) for each in together)

    def _needs(self, name: str) -> None:
        """What runs imports a module of the project, or looks at one."""
        for imports in list(self._running.values())[-1:]:
            imports.add(name)
        if name in self._entered:
            self._whole.needs(name)

    def _absolute(self, name: str, package: str) -> str:
        plain = name.lstrip(".")
        if level := len(name) - len(plain):
            parts = package.split(".")
            return ".".join([*parts[: len(parts) - level + 1], plain])
        return name

    def _looks_at(self, used: str, package: str) -> None:
        """See that what runs may look at this ahead: follow the name to where the thing is made."""
        name = self._absolute(used, package)
        for _ in range(_HOPS_MAX):
            rest = name.split(".")
            if rest[0] not in self._entered:
                if not self._is_said_plainly(name):
                    self._whole.spoil()
                return
            long = range(len(rest), 0, -1)
            at = next(n for n in long if ".".join(rest[:n]) in self._entered)
            module, rest = ".".join(rest[:at]), rest[at:]
            self._needs(module)
            if rest and self._is_to_come(module, rest[0]):
                raise Stopped(f"{self._at}: {module}.{rest[0]} may be there by then or not")
            origin = self._entered[module].origins.get(rest[0]) if rest else None
            if origin is None:
                self._looks_at_own(self._entered[module], [each for each in rest if each != ITEM])
                return
            name = ".".join([self._absolute(origin, self._packages.get(module, "")), *rest[1:]])
        self._whole.spoil()

    def _is_to_come(self, package: str, name: str) -> bool:
        """Return whether this is a submodule that nobody has imported yet."""
        place = self._own_places.get(package)
        if place is None or name in self._entered[package].names:
            return False
        return self._places.below(place, name).whose is not Whose.NOBODY

    def _looks_at_own(self, reading: Reading, rest: list[str]) -> None:
        # A module as a value, one that somebody else has put into its package, a value's value.
        first, *more = rest or [""]
        deep = 0 if first not in reading.classes else 1
        if first not in reading.names or not (len(more) <= deep or first in reading.enums):
            self._whole.spoil()

    def _is_said_plainly(self, name: str) -> bool:
        """Return whether what a library has under this name is the same at any time."""
        first, *rest = name.split(".")
        if of_the_moment(name):
            return False
        if self._places.is_pythons(first) or first == "builtins":
            return True
        place = self._places.top(first)
        while rest and place.folders:
            place = self._places.below(place, rest[0])
            if place.whose is Whose.NOBODY:
                break
            rest = rest[1:]
        return len(rest) <= 1  # its objects may answer as they like: settings, caches

    def _is_plain(self, base: str, package: str) -> bool:
        """Return whether a class may be made of this ahead, and forgotten.

        It may if it is Python's or the project's own: a library may keep what is made of its.
        """
        name = self._absolute(base, package)
        module, _, last = name.rpartition(".")
        if module in self._entered:
            return last in self._entered[module].classes
        return module == "builtins" or self._places.is_pythons(name.partition(".")[0])

    def _attribute(self, module: str, place: Place, name: str) -> None:
        """Import what `from module import name` may import."""
        if name == "*":
            self._star(module, place)
            return
        full = f"{module}.{name}"
        if not place.folders or self._places.is_loaded(full):
            return
        below = self._places.below(place, name)
        if below.whose is Whose.NOBODY:
            return
        said = libraries.meaning(place.file, module, name)
        # A package that is still running may not have come to what binds the name.
        if said is Meaning.EITHER or (said is Meaning.VALUE and module in self._running):
            raise Stopped(f"{self._at}: {full} may be a module or not")
        if said is Meaning.SUBMODULE:
            self._enter(full, below)
        elif full in self._entered:  # it is there instead of the value
            self._needs(full)

    def _star(self, module: str, place: Place) -> None:
        if not place.folders:
            return
        if place.whose is not Whose.PROJECT:
            raise Stopped(f"{self._at}: what {module} gives is not known before")
        if not self._entered[module].listed:
            raise Stopped(f"{self._at}: {module} gives what is loaded of it by then")
        for listed in self._entered[module].listed:
            if listed == "?":
                raise Stopped(f"{self._at}: what {module} gives is not written down")
            self._attribute(module, place, listed)
