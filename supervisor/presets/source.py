"""Reads what tells which library a bot uses: its lists of packages, and its source. Bounded.

Nothing is executed, and nothing outside of the bot's folder is read.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from supervisor.session.files import read_file

SUFFIXES = (".py", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx")
_NEVER = ("node_modules", "site-packages", "__pycache__", "venv", "dist", "build")
# What lies in a browser's profile: its extensions are scripts, and nobody's source here.
_PROFILE = "Local State"
_FILES_MAX = 400
_FOLDERS_MAX = 200
_BYTES_MAX = 256 << 10
_PROGRAM_MAX_BYTES = 64 << 20
# The names that are in whatever speaks the contract: docs/contract.md.
_CONTRACT = re.compile(rb"X_STILLHERE_[A-Z]+|STILLHERE_[A-Z_]+")
# `import x`, `from x import`, `require('x')`, `from 'x'`, `import('x')`, `import 'x'`.
_PYTHON = re.compile(r"^\s*(?:import|from)\s+([A-Za-z_][\w.]*)", re.MULTILINE)
_NODE = re.compile(r"""(?:\brequire\(|\bfrom\s|\bimport\(|\bimport\s)\s*['"]([^'"\n]+)['"]""")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True, slots=True)
class Project:
    """What was read of a bot's folder. `texts`: its source by path."""

    packages: frozenset[str]
    imports: frozenset[str]
    texts: dict[Path, str]


NOTHING = Project(frozenset(), frozenset(), {})


def read(folder: Path, roots: Sequence[Path], command: Sequence[str]) -> Project:
    """Read the lists of packages in a bot's folder, its source in `roots`, and its program.

    What can't be read is left out.
    """
    named = [path for word in command if (path := folder / word).suffix not in SUFFIXES]
    texts = {path: text for path in _sources(roots) if (text := _text(path))}
    texts |= {path: text for path in named if (text := _strings(path))}
    return Project(
        packages=frozenset(map(normal, (*_of_node(folder), *_of_python(folder)))),
        imports=frozenset(name for path, text in texts.items() for name in _imports(path, text)),
        texts=texts,
    )


def holds_source(folder: Path) -> bool:
    """Return whether there is source in this folder: then it is no session."""
    return folder.is_dir() and any(_sources([folder]))


def normal(name: str) -> str:
    """Return a package's name as it is compared (PEP 503); npm's names are so already."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _sources(roots: Sequence[Path]) -> Iterator[Path]:
    """Yield the source files, those nearest to the top first."""
    yield from (root for root in roots if root.name.endswith(SUFFIXES) and root.is_file())
    todo, seen, count = [root for root in roots if root.is_dir()], 0, 0
    while todo and seen < _FOLDERS_MAX:
        here = todo.pop(0)
        seen += 1
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue
        if any(entry.name == _PROFILE for entry in entries):
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _NEVER:
                continue
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    todo.append(Path(entry.path))
                elif entry.name.endswith(SUFFIXES) and entry.is_file():
                    count += 1
                    if count > _FILES_MAX:
                        return
                    yield Path(entry.path)


def _text(path: Path) -> str:
    """Return a file's text; "" for what can't be read, or is too large to be written by hand."""
    with suppress(OSError, ValueError):
        return read_file(path, _BYTES_MAX).decode("utf-8", "replace")
    return ""


def _strings(path: Path) -> str:
    """Return what a program of any language says of the contract: it may be compiled."""
    with suppress(OSError, ValueError):
        data = read_file(path, _PROGRAM_MAX_BYTES)
        return "\n".join(sorted({word.decode() for word in _CONTRACT.findall(data)}))
    return ""


def _imports(path: Path, text: str) -> Iterator[str]:
    pattern = _PYTHON if path.suffix == ".py" else _NODE
    for match in pattern.finditer(text):
        name = match[1]
        yield name.partition(".")[0] if path.suffix == ".py" else _package(name)


def _package(name: str) -> str:
    """Return the npm package of a module: `@scope/name/part` is of `@scope/name`."""
    parts = name.split("/")
    return "/".join(parts[:2]) if name.startswith("@") else parts[0]


def _of_node(folder: Path) -> Sequence[str]:
    with suppress(ValueError, AttributeError, RecursionError):
        listed = json.loads(_text(folder / "package.json"))
        return [*listed.get("dependencies", {}), *listed.get("optionalDependencies", {})]
    return []


def _of_python(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("requirements*.txt")):
        for line in _text(path).splitlines():
            if match := _REQUIREMENT.match(line):
                yield match[1]
    with suppress(ValueError, AttributeError, TypeError, RecursionError):
        listed = tomllib.loads(_text(folder / "pyproject.toml"))
        for line in listed.get("project", {}).get("dependencies", []):
            if match := _REQUIREMENT.match(line):
                yield match[1]
        yield from listed.get("tool", {}).get("poetry", {}).get("dependencies", {})
