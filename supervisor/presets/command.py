"""Guesses how a bot is started, from what lies in its folder. Nothing is executed."""

import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from supervisor.session.files import read_file

_BYTES_MAX = 1 << 20
_PYTHON = ("bot.py", "main.py", "app.py", "run.py", "src/bot.py", "src/main.py")
_NODE = tuple(
    f"{folder}{name}.{suffix}"
    for folder in ("", "src/")
    for name in ("index", "bot", "main", "app")
    for suffix in ("js", "mjs", "cjs")
)
_SHELL = set("|&;<>()$`*?[]{}~=")


def guessed(folder: Path) -> tuple[str, ...]:
    """Return the words of the command, or none where the folder does not tell."""
    if (folder / "package.json").is_file():
        return _of_node(folder)
    if (folder / "bot" / "__main__.py").is_file():
        return ("python", "-m", "bot")
    found = _there(folder, _PYTHON)
    if found:
        return ("python", found)
    found = _there(folder, _NODE)
    return ("node", found) if found else ()


def _of_node(folder: Path) -> tuple[str, ...]:
    listed: object = None
    with suppress(OSError, ValueError, RecursionError):
        listed = json.loads(read_file(folder / "package.json", _BYTES_MAX))
    scripts = listed.get("scripts") if isinstance(listed, dict) else None
    start = scripts.get("start") if isinstance(scripts, dict) else None
    if isinstance(start, str) and start.strip():
        # Without npm and its shell in between: whoever is told to stop is the bot itself.
        words = _words(start)
        return words if words[:1] == ("node",) else ("npm", "start")
    main = listed.get("main") if isinstance(listed, dict) else None
    if isinstance(main, str) and (folder / main).is_file():
        return ("node", main)
    found = _there(folder, _NODE)
    return ("node", found) if found else ()


def _words(line: str) -> tuple[str, ...]:
    """Return the words of a line that needs no shell; none of another."""
    with suppress(ValueError):
        return () if set(line) & _SHELL else tuple(shlex.split(line))
    return ()


def _there(folder: Path, names: Sequence[str]) -> str:
    return next((name for name in names if (folder / name).is_file()), "")
