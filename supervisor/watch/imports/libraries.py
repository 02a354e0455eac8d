"""What the file of an installed module says of itself, as far as it decides what to load ahead."""

# ruff: noqa: PTH123 - paths as the search path has them: text

import ast
import functools
import re

from supervisor.watch.imports.stamps import Stamp, stamp

# Before the program begins, `__main__` is there and empty.
_ASKS_MAIN = re.compile(
    rb"^\s*(?:import\s+__main__|from\s+__main__\s)|modules(?:\.get\(|\[)\s*['\"]__main__",
    re.MULTILINE,
)


def asks_for_main(file: str) -> bool:
    """Return whether a module's own source looks at the main program, maybe while it loads."""
    return bool(file.endswith(".py") and _said(file, stamp(file))[0])


def is_name(file: str, name: str) -> bool | None:
    """Return whether a package's own source binds `name` to something else than a submodule.

    None: it may; it takes over all names of another module, or it can't be read.
    """
    if not file:
        return False
    _, bound, loaded, starred = _said(file, stamp(file)) if file.endswith(".py") else _NOTHING
    if name in bound:
        return True
    if name in loaded:
        return False
    return None if starred else False


_Said = tuple[bool, frozenset[str], frozenset[str], bool]
_NOTHING: _Said = (False, frozenset(), frozenset(), True)


@functools.lru_cache(maxsize=4096)
def _said(file: str, _: Stamp) -> _Said:
    try:
        with open(file, "rb") as opened:
            source = opened.read()
        tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return _NOTHING
    bound: set[str] = set()
    loaded: set[str] = set()
    starred = False
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                bound.add(name)
                continue
            case ast.ClassDef(name=name):
                bound.add(name)
                continue
            case ast.Name(id=name, ctx=ast.Store()):
                bound.add(name)
            case ast.Import(names=aliases):
                bound |= {each.asname or each.name.partition(".")[0] for each in aliases}
            case ast.ImportFrom(module=module, names=aliases, level=level):
                names = {each.name for each in aliases}
                starred = starred or "*" in names
                # `from . import y` and `from .y import z` both load y.
                beside = names if level and not module else {(module or "").partition(".")[0]}
                loaded |= beside if level == 1 else set()
                aliased = {each.asname or each.name for each in aliases}
                bound |= aliased - (beside if level == 1 else set())
        pending += ast.iter_child_nodes(node)
    return _ASKS_MAIN.search(source) is not None, frozenset(bound), frozenset(loaded), starred
