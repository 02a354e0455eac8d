"""What the file of a module says of itself, as far as it decides what to load ahead."""

# ruff: noqa: PTH123 - paths as the search path has them: text

import ast
import functools
import re
from dataclasses import dataclass
from enum import Enum, auto

from supervisor.watch.imports.parsing import parsed
from supervisor.watch.imports.stamps import Stamp, stamp

# Before the program begins, `__main__` is there and empty.
_ASKS_MAIN = re.compile(
    rb"^\s*(?:import\s+__main__|from\s+__main__\s)|modules(?:\.get\(|\[)\s*['\"]__main__",
    re.MULTILINE,
)


def asks_for_main(file: str) -> bool:
    """Return whether a module's own source looks at the main program, maybe while it loads."""
    return bool(file.endswith(".py") and _said(file, stamp(file), "").asks_main)


class Meaning(Enum):
    """What `from package import name` gives where the package has a submodule of that name."""

    SUBMODULE = auto()
    VALUE = auto()
    EITHER = auto()


def meaning(file: str, package: str, name: str) -> Meaning:
    """Return what a package's own source says of a name, once it has run to its end.

    `file`: its __init__, "" if it has none. EITHER: it takes all names of another module, does
    both, or can't be read.
    """
    if not file:
        return Meaning.SUBMODULE
    said = _said(file, stamp(file), package) if file.endswith(".py") else _NOTHING
    if name in said.loaded:
        return Meaning.EITHER if name in said.bound else Meaning.SUBMODULE
    if name in said.bound:
        return Meaning.VALUE
    return Meaning.EITHER if said.starred else Meaning.SUBMODULE


@dataclass(frozen=True, slots=True)
class _Said:
    asks_main: bool
    bound: frozenset[str]
    loaded: frozenset[str]
    starred: bool


_NOTHING = _Said(asks_main=False, bound=frozenset(), loaded=frozenset(), starred=True)


@functools.lru_cache(maxsize=4096)
def _said(file: str, _: Stamp, package: str) -> _Said:
    try:
        with open(file, "rb") as opened:
            source = opened.read()
        tree = parsed(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return _NOTHING
    seen = _Names(package)
    seen.visit(tree)
    asks_main = _ASKS_MAIN.search(source) is not None
    return _Said(asks_main, frozenset(seen.bound), frozenset(seen.loaded), seen.starred)


class _Names(ast.NodeVisitor):
    """The names that a package's source binds, and the submodules that it loads.

    Whether a branch runs is not asked: what is bound in any may be bound.
    """

    def __init__(self, package: str) -> None:
        self._package = package.split(".")
        self.bound: set[str] = set()
        self.loaded: set[str] = set()
        self.starred = False

    def visit_FunctionDef(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> None:
        """Take the name; what is inside is not the module's."""
        self.bound.add(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's name
    visit_ClassDef = visit_FunctionDef  # noqa: N815 - ast's name

    def visit_Name(self, node: ast.Name) -> None:
        """Take a name that is set."""
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.id)

    def visit_Import(self, node: ast.Import) -> None:
        """Take what an import binds, and which submodule it loads."""
        for alias in node.names:
            below = self._below(alias.name.split("."))
            self.loaded |= set(below)
            if alias.asname not in below:
                self.bound.add(alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Take what an import binds: `from . import y` and `from .y import z` both load y."""
        parts = node.module.split(".") if node.module else []
        if node.level:
            parts = [*self._package[: len(self._package) - node.level + 1], *parts]
        here = parts == self._package
        below = set(self._below(parts))
        for alias in node.names:
            self.starred = self.starred or alias.name == "*"
            loads = {alias.name} if here else below
            self.loaded |= loads
            if (alias.asname or alias.name) not in loads or not here:
                self.bound.add(alias.asname or alias.name)

    def _below(self, parts: list[str]) -> list[str]:
        depth = len(self._package)
        return parts[depth : depth + 1] if parts[:depth] == self._package else []
