"""Judges changed files before a working bot is stopped for them.

Weak evidence: what compiles may still fail to start. But what does not compile can't start.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.watch import interpreters, node
from supervisor.watch.compiling import judge

# Not asyncio's own pool: there, looks at /proc and waits for programs may take every place.
_threads = ThreadPoolExecutor(4, thread_name_prefix="preflight")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file can't be run: `SyntaxError: '(' was never closed`, and where, if it is known."""

    path: str
    line: int | None
    text: str
    column: int | None = None


async def preflight(
    paths: Iterable[str], *, base: Path, python: str, prefix: Path | None = None
) -> list[Problem]:
    """Compile the Python files among `paths` (relative to `base`) as the bot's `python` would.

    With `prefix`, the next start finds below it what was compiled here (see bytecode.py). Deleted
    files and other kinds are not judged. Returns the problems in the order of the paths; an
    interpreter that can't be run is one too.
    """
    chosen = [path for path in paths if path.endswith((".py", ".pyw"))]
    keep = "" if prefix is None else str(prefix)
    if not chosen:
        return []
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _judge, chosen, base, python, keep)


async def preflight_node(
    paths: Iterable[str],
    *,
    base: Path,
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    prefix: Sequence[str] = (),
) -> list[Problem] | str:
    """Parse what changed of a Node bot (see `node.judge`). A str: why nothing was judged."""
    chosen = [path for path in paths if node.judged(path)]
    if not chosen or node.runner(command, cwd) is None:
        return []
    files = [os.path.join(base, path) for path in chosen]  # noqa: PTH118 - as in `_judge`
    ask = partial(node.judge, files, command=command, cwd=cwd, env=env, prefix=prefix)
    found = await asyncio.get_running_loop().run_in_executor(_threads, ask)
    if isinstance(found, str):
        return found
    return [
        Problem(path, why.line, why.text, why.column)
        for path, why in zip(chosen, found, strict=True)
        if why is not None
    ]


def _judge(paths: list[str], base: Path, python: str, prefix: str) -> list[Problem]:
    # Not base / path: a name need not be Unicode, and ".." has to stay as it is.
    files = [os.path.join(base, path) for path in paths]  # noqa: PTH118 - said above
    try:
        if interpreters.same_version(python):
            found = [judge(file, prefix) for file in files]
        else:
            found = interpreters.ask(python, {"judge": files, "prefix": prefix})
    except SupervisorError as error:
        return [Problem(python, None, error.message)]
    return [Problem(path, *why) for path, why in zip(paths, found, strict=True) if why]
