"""What a spare may load before its program begins, and whether what it loaded still holds.

Decides by reading; imports and runs nothing of the project. A list that is too short costs time,
one that is wrong costs the bot's behaviour: what can't be judged ends the list.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.watch.imports.entry import Entry, Kind, entry_of
from supervisor.watch.imports.facts import Facts, interpreter_facts
from supervisor.watch.imports.places import Places, Whose
from supervisor.watch.imports.stamps import Stamp, stamp
from supervisor.watch.imports.steps import read
from supervisor.watch.imports.walk import Stamped, Stopped, Walk


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a list was made of. `stamps`: of paths; `env`: a hash that only this process knows."""

    stamps: Mapping[str, Stamp]
    cwd: tuple[int, int]
    env: int


@dataclass(frozen=True, slots=True)
class Preload:
    """What to import, in order, before the program begins.

    `stopped`: why the list ends where it ends, as `file:line: reason`; "" at the program's end.
    `own_names`: top-level names that no import may ask for meanwhile (`Places.own_names`), but for
    `own`: the project's modules among the list or loaded by it, found in `first` (a folder; "").
    `run`: those that have run to their end where the list ends.
    """

    modules: tuple[str, ...]
    stopped: str
    own_names: tuple[str, ...]
    fingerprint: Fingerprint
    asked: "Question" = field(repr=False)
    own: Mapping[str, Stamped] = field(default_factory=dict)
    first: str = ""
    run: frozenset[str] = frozenset()

    @property
    def libraries(self) -> tuple[str, ...]:
        """The list without the project's modules."""
        return tuple(name for name in self.modules if name not in self.own)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a spare stands. `why`: why it is no good; "" if it is, once it has forgotten `own`."""

    why: str = ""
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What `plan` was asked."""

    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    sources: frozenset[str]
    refused: Mapping[str, str]
    edited: frozenset[str]


def plan(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    sources: Collection[Path] = (),
    refused: Mapping[str, str] | None = None,
    edited: Collection[Path] = (),
) -> Preload:
    """Return what a spare of this command may load ahead.

    `env`: all that the bot is started with, but what each generation gets anew. `sources`: the
    watched files: the project's, wherever they lie. `refused`: further modules or top-level names
    that end the list, with the reason: those that have spoiled a spare. `edited`: files of the
    project that will change again soon: they are not loaded ahead, nor what imports them. Blocks:
    25 ms for an interpreter that is new, then a few for what has changed. Never raises: an empty
    list says why.
    """
    question = Question(
        tuple(command),
        cwd,
        dict(env),
        frozenset(map(str, sources)),
        dict(refused or {}),
        frozenset(map(os.path.realpath, edited)),
    )
    return _answer(question)


def standing(
    preload: Preload,
    *,
    env: Mapping[str, str] | None = None,
    edited: Collection[Path] = (),
) -> Standing:
    """Return whether a spare that loaded this still stands for a cold start.

    `env`: the bot's environment as it is now, if it may be another one. `edited`: files of the
    project that have changed since. Reads anew only those that have. What may now be loaded beyond
    the list is no reason.
    """
    asked, was = preload.asked, preload.fingerprint
    if env is not None and _hashed(env) != was.env:
        return Standing("the environment is another one")
    if _folder(asked.cwd) != was.cwd:
        return Standing(f"{asked.cwd} is another folder")
    for path, before in was.stamps.items():
        if stamp(path) != before:
            return Standing(f"{path} has changed")
    changed = {seen.file for seen in preload.own.values() if stamp(seen.file) != seen.stamp}
    changed.update(map(os.path.realpath, edited))
    # Not before: an interpreter that has changed would have to be asked anew.
    now = _answer(replace(asked, edited=asked.edited | changed))
    if moved := _elsewhere(preload, now):
        now = _answer(replace(asked, edited=asked.edited | changed | moved))
    return _compared(preload, now)


def _compared(preload: Preload, now: Preload) -> Standing:
    libraries = preload.libraries
    if now.libraries[: len(libraries)] != libraries:
        why = "the program imports other modules" + (now.stopped and f" ({now.stopped})")
        return Standing(why)
    if new := set(now.own_names) - set(preload.own_names):
        return Standing(f"the project has a new module, {min(new)}")
    outdated = _outdated(preload, now)
    if now.stopped and (early := set(outdated) - now.run):
        # What ends the list now may come before it: then the program would be the first to load it.
        return Standing(f"{min(early)} may not be loaded ahead any more ({now.stopped})")
    return Standing(own=outdated)


def is_as_planned(preload: Preload, forgotten: Collection[str] = ()) -> bool:
    """Return whether no module of the project but these has changed since the list was made."""
    kept = (seen for name, seen in preload.own.items() if name not in forgotten)
    return all(stamp(seen.found) == seen.stamp for seen in kept)


def _elsewhere(before: Preload, now: Preload) -> set[str]:
    """Return the files that a name now leads to, and did not: to who imports it, they are new."""
    both = before.own.keys() & now.own.keys()
    return {now.own[name].file for name in both if now.own[name] != before.own[name]}


def _outdated(before: Preload, now: Preload) -> tuple[str, ...]:
    """Return which of the project's modules are not what they would be if they were loaded now."""
    gone = {name for name, seen in before.own.items() if now.own.get(name) != seen}
    stay = [name for name in before.modules if name not in gone]
    if stay == [name for name in now.modules if name in set(stay)]:
        return tuple(gone)
    return tuple(before.own)  # in another order


def _answer(asked: Question) -> Preload:
    entry = entry_of(asked.command, cwd=asked.cwd, env=asked.env)
    if isinstance(entry, str):
        return _nothing(asked, entry)
    try:
        facts = interpreter_facts(entry, cwd=asked.cwd, env=asked.env)
    except SupervisorError as error:
        return _nothing(asked, error.message)
    if "usercustomize" in facts.loaded:
        return _nothing(asked, "a usercustomize runs before the program, and after a spare loads")
    places = Places(facts, entry.first, asked.sources)
    if archive := places.archive():
        return _nothing(asked, f"{archive} is an archive: its names are not looked at")
    own_names = places.own_names()
    if hiding := places.shadowed(own_names):
        return _nothing(asked, f"the project's {hiding} stands before the installed {hiding}")
    walk = Walk(
        places,
        facts.version,
        certain=not facts.finders,
        refused=asked.refused,
        edited=asked.edited,
    )
    stopped = ""
    try:
        _follow(walk, entry)
    except Stopped as error:
        stopped = str(error)
    paths = (os.path.realpath(entry.python), *facts.watched, *_of_libraries(walk, facts))
    # The order in which a base knows its classes is that in which they were made: all or none.
    own = {} if walk.lists_classes else walk.own
    return Preload(
        tuple(name for name in walk.modules if name in own or name not in walk.own),
        stopped,
        own_names,
        _fingerprint(asked, paths),
        asked,
        own,
        entry.first,
        frozenset(walk.run),
    )


def _follow(walk: Walk, entry: Entry) -> None:
    match entry.kind:
        case Kind.CODE:
            walk.program(read(entry.what.encode(), walk.version), "-c")
        case Kind.SCRIPT:
            walk.file(entry.what)
        case Kind.FOLDER:
            walk.file(os.path.join(entry.what, "__main__.py"))  # noqa: PTH118 - paths are text here
        case Kind.MODULE:
            _follow_module(walk, entry.what)


def _follow_module(walk: Walk, name: str) -> None:
    place = walk.parents(name)
    package = name.rpartition(".")[0]
    if place.folders:
        package, name = name, f"{name}.__main__"
        place = walk.parents(name)
    if place.whose is not Whose.PROJECT and not name.endswith(".__main__"):
        # runpy complains of a module that was imported before it is run.
        raise Stopped(f"-m {name}: the program is no file of the project")
    if not place.file.endswith(".py"):
        raise Stopped(f"-m {name}: it has no source")
    walk.file(place.file, package)


def _of_libraries(walk: Walk, facts: Facts) -> list[str]:
    # A package that is replaced gets a new folder; a file of it that is edited a new time.
    found: dict[str, None] = {}
    for file in filter(None, walk.files):
        if facts.is_standard(file):
            continue
        found[file] = None
        if os.path.basename(file).startswith("__init__."):  # noqa: PTH119 - paths are text here
            found[os.path.dirname(file)] = None  # noqa: PTH120 - the same
    return list(found)


def _nothing(asked: Question, why: str) -> Preload:
    return Preload((), why, (), _fingerprint(asked, ()), asked)


def _fingerprint(asked: Question, paths: Sequence[str]) -> Fingerprint:
    return Fingerprint(
        {path: stamp(path) for path in paths}, _folder(asked.cwd), _hashed(asked.env)
    )


def _folder(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _hashed(env: Mapping[str, str]) -> int:
    # Salted anew in each process: it tells nothing of the values.
    return hash(frozenset(env.items()))
