"""What a bot's command is wrapped in: who may keep a signal to itself, or restart it on its own.

From the words alone, and from the scripts of a package.json; nothing is executed.
"""

import json
import re
import shlex
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any

from supervisor.session.files import read_file

_BYTES_MAX = 1 << 20
_SHELLS = {"sh", "bash", "dash", "zsh", "ash"}
_PACKAGERS = {"npm", "pnpm", "yarn", "npx", "bunx"}
_SHELL_SIGNS = set("|&;<>()$`*?[]{}~")
# Those that start a bot again by themselves, and the word that makes them do so, if one must.
_RESTARTERS = {
    "nodemon": "",
    "node-dev": "",
    "ts-node-dev": "",
    "tsnd": "",
    "supervisord": "",
    "forever": "",
    "pm2": "",
    "pm2-runtime": "",
    "air": "",
    "entr": "",
    "watchmedo": "auto-restart",
    "watchfiles": "",
    "node": "--watch",
    "tsx": "watch",
    "bun": "--watch",
    "deno": "--watch",
}
_SCRIPT = re.compile(r".+\.(?:py|[cm]?[jt]s)")


def name(word: str) -> str:
    """Return a program's name without its folder; and without its suffix, if it has a folder."""
    found = Path(word).name
    return re.sub(r"\.(?:[cm]?js|py)$", "", found) if "/" in word else found


def wrapper(command: tuple[str, ...]) -> str:
    """Return the shell or the packager that a command runs its bot by; "" if none does."""
    first = name(command[0])
    if first in _PACKAGERS:
        return first
    return first if first in _SHELLS and "-c" in command[1:3] else ""


def unwrapped(command: tuple[str, ...], cwd: Path) -> tuple[str, ...]:
    """Return the command that the wrapper runs, without it; () where that is not known."""
    first, *rest = command
    if name(first) in _SHELLS:
        return _simple(rest[rest.index("-c") + 1]) if rest[-1:] != ["-c"] else ()
    if name(first) in ("npx", "bunx"):
        return _installed(tuple(rest), cwd) if rest and not rest[0].startswith("-") else ()
    words = [word for word in rest if word not in ("run", "run-script", "--silent", "-s")]
    script = scripts(cwd).get(words[0]) if len(words) == 1 else None
    return _installed(_simple(script), cwd) if isinstance(script, str) else ()


def missing_script(command: tuple[str, ...], cwd: Path) -> str:
    """Return which script of a package.json a command runs that is not there; "" for none."""
    first, *rest = command
    if name(first) not in ("npm", "pnpm", "yarn") or rest[:1] != ["run"] or len(rest) == 1:
        return ""
    wanted = rest[1]
    return "" if wanted.startswith("-") or wanted in scripts(cwd) else wanted


def scripts(cwd: Path) -> dict[str, Any]:
    """Return the scripts of a folder's package.json."""
    with suppress(OSError, ValueError, RecursionError):
        listed = json.loads(read_file(cwd / "package.json", _BYTES_MAX))
        found = listed.get("scripts") if isinstance(listed, dict) else None
        return found if isinstance(found, dict) else {}
    return {}


def _simple(line: str) -> tuple[str, ...]:
    """Return the words of one command that needs no shell; () of anything else."""
    with suppress(ValueError):
        words = shlex.split(line)
        if words[:1] == ["exec"]:
            words = words[1:]
        if words and not set(line) & _SHELL_SIGNS and "=" not in words[0]:
            return tuple(words)
    return ()


def _installed(words: tuple[str, ...], cwd: Path) -> tuple[str, ...]:
    """Return the words with a project's own program by its path."""
    if words and (cwd / "node_modules" / ".bin" / words[0]).exists():
        return (f"node_modules/.bin/{words[0]}", *words[1:])
    return words


def restarter(words: tuple[str, ...]) -> str:
    """Return who of a command line restarts what it runs; "" if nobody does."""
    for at, word in enumerate(words[:4]):
        needs = _RESTARTERS.get(name(word))
        if needs is None and _SCRIPT.fullmatch(word):
            break  # what follows is the program's own
        if needs is None or (at and needs and name(words[0]) not in _PACKAGERS):
            continue
        options = takewhile(lambda each: not _SCRIPT.fullmatch(each), words[at + 1 :])
        if not needs or any(w == needs or w.startswith(f"{needs}=") for w in options):
            return name(word)
    return ""


def without_restarter(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that a restarter runs, as far as its words tell; () if they do not."""
    who = restarter(words)
    at = next(i for i, word in enumerate(words) if name(word) == who)
    if needs := _RESTARTERS[who]:
        if who == "watchmedo":
            return ()
        rest = (w for w in words[at + 1 :] if w != needs and not w.startswith(f"{needs}"))
        return (words[at], *rest)
    script = next((i for i in range(at + 1, len(words)) if _SCRIPT.fullmatch(words[i])), None)
    if script is None:
        return ()
    runs = "python" if words[script].endswith(".py") else "node"
    typed = words[script].endswith("ts")
    return () if typed else (runs, *words[script:])
