"""Judges changed files before a working bot is stopped for them.

Weak evidence: what compiles may still fail to start. But what does not compile can't start.
"""

import asyncio
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.watch import interpreters
from supervisor.watch.compiling import judge

# Not asyncio's own pool: there, looks at /proc and waits for programs may take every place.
_threads = ThreadPoolExecutor(4, thread_name_prefix="preflight")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a file can't be run: `SyntaxError: '(' was never closed`, and the line if it is known."""

    path: str
    line: int | None
    text: str


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
