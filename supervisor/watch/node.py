"""Judges the changed files of a bot that Node runs, by the rules of what runs it in the end.

Only what can't be parsed is held against a file. A type error stops no bot that runs by tsx or
ts-node, and a wrong refusal would keep good code away for ever: where it is not known what reads a
file, or its compiler is not installed in the project, it is not judged.
"""

import json
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

ANSWER_S = 10.0
FILES_MAX = 500

_JUDGE = Path(__file__).with_name("judge.cjs")
_ENDINGS = (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts", ".tsx")
_RUNNERS = {
    "node": "node",
    "nodejs": "node",
    "tsx": "tsx",
    "ts-node": "ts-node",
    "ts-node-esm": "ts-node",
    "bun": "bun",
    "deno": "deno",
}
_WRAPPERS = {"npm", "npx", "pnpm", "pnpx", "yarn"}
_SHELLS = {"sh", "bash", "dash"}
_EXECUTE = {"exec", "x", "dlx"}
_RUN = {"run", "run-script"}
_LOADERS = ("tsx", "ts-node")
_DEEP = 4


class Problem(NamedTuple):
    """Why a file can't be parsed, and where: counted from 1, None where that is not known."""

    line: int | None
    column: int | None
    text: str


def runner(command: Sequence[str], cwd: Path) -> str | None:
    """Return what runs a bot in the end: node, tsx, ts-node, bun or deno; None: no Node bot.

    Looks through npm and its kind, by package.json's scripts in `cwd`, and through `sh -c`.
    """
    inner: list[str] | None = list(command)
    for _ in range(_DEEP):  # a script may run itself
        if not inner:
            return None
        name, words = Path(inner[0]).name, inner[1:]
        if name in _RUNNERS:
            loaders = _LOADERS if _RUNNERS[name] == "node" else ()
            return next((each for each in loaders if _loads(words, each)), _RUNNERS[name])
        inner = inside(name, words, cwd)
    return None


def inside(name: str, words: list[str], cwd: Path) -> list[str] | None:
    """Return the command that a wrapper runs."""
    if name in _SHELLS:
        return _split(words[1]) if words[:1] == ["-c"] and len(words) > 1 else None
    if name not in _WRAPPERS:
        return None
    words = [word for word in words if not word.startswith("-")]
    first = words[0] if words else "start"
    if first in _EXECUTE:
        return words[1:]
    if name in {"npx", "pnpx"}:
        return words
    if first in _RUN:
        first = words[1] if len(words) > 1 else ""
    script = _scripts(cwd).get(first)
    if isinstance(script, str):
        return _split(script)
    return words if name in {"yarn", "pnpm"} else None


def _split(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    while words and (words[0] == "exec" or "=" in words[0]):
        del words[0]
    return words


def _loads(words: Sequence[str], loader: str) -> bool:
    # `node --import tsx bot.ts`, `node -r ts-node/register bot.ts`.
    return any(word.rpartition("=")[2].partition("/")[0] == loader for word in words)


def _scripts(cwd: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((cwd / "package.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    scripts = found.get("scripts") if isinstance(found, dict) else None
    return scripts if isinstance(scripts, dict) else {}


def judged(path: str) -> bool:
    """Return whether a file of this name is source that can be judged."""
    name = path.rpartition("/")[2]
    if name.endswith(".json"):
        return name == "package.json" or name.startswith("tsconfig")
    return name.endswith(_ENDINGS)


def judge(
    files: Sequence[str],
    *,
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    prefix: Sequence[str] = (),
) -> list[Problem | None] | str:
    """Parse files (absolute paths) as what runs the bot would; or return why nothing was judged.

    `env`: the bot's environment, of which only PATH and HOME are used. `prefix`: executes Node as
    the bot's own user: the compiler that is asked is the project's.
    """
    own = Path(command[0]).name in {"node", "nodejs"}
    node = shutil.which(command[0] if own else "node", path=env.get("PATH"))
    if node is None:
        return "there is no `node` on the bot's PATH"
    if (told := _told(files, node, command, cwd, env, prefix)) is None:
        return f"{node} gave no answer"
    # A broken package.json keeps Node from reading anything else there.
    return [_package(file) if file.endswith("/package.json") else each for file, each in told]


def _package(file: str) -> Problem | None:
    try:
        json.loads(Path(file).read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        return Problem(error.lineno, error.colno, f"SyntaxError: {error.msg}")
    except UnicodeDecodeError:
        return Problem(None, None, "SyntaxError: it is not UTF-8")
    except (OSError, RecursionError):
        pass  # it is gone, or nobody can say
    return None


def _told(
    files: Sequence[str],
    node: str,
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    prefix: Sequence[str],
) -> list[tuple[str, Problem | None]] | None:
    request = {
        "files": [*files[:FILES_MAX]],
        "cwd": str(cwd),
        "runner": runner(command, cwd),
    }
    flags = ("--no-warnings", "--experimental-vm-modules", str(_JUDGE))
    try:
        done = subprocess.run(
            [*prefix, node, *flags],
            input=json.dumps(request).encode("utf-8", "surrogateescape"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_S,
            check=True,
            cwd=cwd,  # which Node it is may depend on it (asdf, volta)
            env={name: env[name] for name in ("PATH", "HOME") if name in env},
        )
        told = json.loads(done.stdout)
        found = [None if each is None else Problem(*each) for each in told]
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None
    return list(zip_longest(files, found))
