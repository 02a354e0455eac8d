"""Where an interpreter finds its modules: asked of it once, with the bot's own environment.

Knows nothing of the program. The question runs `site`, with all that the bot's start runs there.
"""

import ast
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.watch.imports.entry import Entry
from supervisor.watch.imports.stamps import Stamp, stamp

ANSWER_S = 20.0
# Finders that claim only what is named after them, and that no bot imports.
_KNOWN_FINDERS = "_distutils_hack"
# Imports nothing that is not loaded at the start: the project may have a module of that name.
_QUESTION = """
import sys
loaded = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
path = sys.path[:] if sys.flags.safe_path else sys.path[1:]
finders = [each if isinstance(each, type) else type(each) for each in sys.meta_path]
import _imp, os
editable = [
    name for key, module in list(sys.modules.items()) if key.startswith("__editable__")
    for name in [*getattr(module, "MAPPING", ()), *getattr(module, "NAMESPACES", ())]
]
print(ascii({
    "version": list(sys.version_info[:2]),
    "path": [os.path.abspath(each) for each in path],
    "standard": os.path.dirname(os.__file__),
    "standard_names": sorted(sys.stdlib_module_names),
    "fixed": sorted(
        {n for n in sys.stdlib_module_names if _imp.find_frozen(n)}
        | set(sys.builtin_module_names) | set(loaded)
    ),
    "loaded": loaded,
    "suffixes": _imp.extension_suffixes(),
    "finders": sorted({
        each.__module__ for each in finders if not each.__module__.startswith("_frozen_importlib")
    }),
    "editable": editable,
    "prefix": sys.prefix,
}))
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an interpreter answered. `path` is sys.path without its first entry, the program's.

    `standard`: the folder of the standard library. `fixed`: what no file on the path can replace.
    `loaded`: modules that are there before any program runs, with their files. `finders`: further
    ways to find modules; `editable`: top-level names that such a way finds outside the path.
    `watched`: the paths that, unchanged, let the answer stand.
    """

    version: tuple[int, int]
    path: tuple[str, ...]
    standard: str
    standard_names: frozenset[str]
    fixed: frozenset[str]
    loaded: Mapping[str, str | None]
    suffixes: tuple[str, ...]
    finders: tuple[str, ...]
    editable: frozenset[str]
    prefix: str
    watched: tuple[str, ...] = ()

    def site_folders(self) -> tuple[str, ...]:
        """Return the folders of installed packages."""
        return tuple(
            each
            for each in self.path
            if os.path.basename(each) in {"site-packages", "dist-packages"}  # noqa: PTH119 - text
        )

    def is_standard(self, file: str) -> bool:
        """Return whether a file is of the standard library."""
        return file.startswith(self.standard + os.sep) and not file.startswith(self.site_folders())


def interpreter_facts(entry: Entry, *, cwd: Path, env: Mapping[str, str]) -> Facts:
    """Return the facts about the interpreter of an entry; asks for about 25 ms, then remembers.

    Raises: SupervisorError if it can't be run, or does not know what is asked (Python < 3.11).
    """
    steering = {k: v for k, v in env.items() if k.startswith("PYTHON")}
    steering |= {key: env[key] for key in ("HOME", "VIRTUAL_ENV") if key in env}
    key = (entry.python, entry.options, str(cwd), frozenset(steering.items()))
    known = _KNOWN.get(key)
    if known is not None and known[1] == _stamps(entry.python, known[0]):
        return known[0]
    answered = _facts(_ask(entry, cwd, env))
    facts = replace(answered, watched=_watched(answered))
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[key] = (facts, _stamps(entry.python, facts))
    return facts


_MOST_KNOWN = 64
_KNOWN: dict[tuple[Any, ...], tuple[Facts, tuple[Stamp, ...]]] = {}


def _stamps(python: str, facts: Facts) -> tuple[Stamp, ...]:
    return tuple(stamp(path) for path in (os.path.realpath(python), *facts.watched))


def _watched(facts: Facts) -> tuple[str, ...]:
    # A new .pth file shows in its folder's own stamp.
    settings = [
        os.path.join(folder, name)  # noqa: PTH118 - text, as sys.path has it
        for folder in facts.site_folders()
        for name in _listed(folder)
        if name.endswith(".pth")
    ]
    started = (file for file in facts.loaded.values() if file and not facts.is_standard(file))
    config = os.path.join(facts.prefix, "pyvenv.cfg")  # noqa: PTH118 - the same
    return (config, facts.standard, *facts.site_folders(), *settings, *sorted(started))


def _ask(entry: Entry, cwd: Path, env: Mapping[str, str]) -> Any:
    command = [entry.python, *entry.options, "-c", _QUESTION]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWER_S,
            check=True,
            cwd=cwd,
            env=dict(env),
        )
        return ast.literal_eval(done.stdout.decode("ascii"))
    except (OSError, subprocess.SubprocessError, ValueError, SyntaxError) as error:
        # Not the error's own text: it would show the question.
        raise SupervisorError(
            f"the bot's Python {entry.python} gave no answer ({type(error).__name__})",
            "Check `command` in config.toml; a spare needs Python 3.11 or newer.",
        ) from None


def _facts(answer: Any) -> Facts:
    return Facts(
        version=(answer["version"][0], answer["version"][1]),
        path=tuple(answer["path"]),
        standard=answer["standard"],
        standard_names=frozenset(answer["standard_names"]),
        fixed=frozenset(answer["fixed"]),
        loaded=dict(answer["loaded"]),
        suffixes=tuple(answer["suffixes"]),
        finders=tuple(each for each in answer["finders"] if each != _KNOWN_FINDERS),
        editable=frozenset(answer["editable"]),
        prefix=answer["prefix"],
    )


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
