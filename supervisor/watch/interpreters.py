"""Which interpreter compiles like the bot's: ours, or only its own."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError
from supervisor.watch import compiling

ANSWER_S = 20.0
_OURS = os.path.realpath(sys.executable)


def same_version(python: str) -> bool:
    """Return whether `python` compiles as we do. Asks an unknown one, once: about 20 ms.

    An environment that was made anew with another Python is another one. Raises: SupervisorError
    if it can't be run.
    """
    real = os.path.realpath(python)
    return real == _OURS or _tag(python, real, _made(real)) == sys.implementation.cache_tag


def _made(real: str) -> tuple[int, int]:
    try:
        status = os.stat(real)  # noqa: PTH116 - a string, as in realpath
    except OSError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns


@functools.lru_cache(maxsize=64)
def _tag(python: str, _real: str, _made: tuple[int, int]) -> str:
    code = "import sys; print(sys.implementation.cache_tag)"
    return _run([python, "-I", "-S", "-c", code], "").strip()


def ask(python: str, request: Mapping[str, Any]) -> Any:
    """Have the bot's interpreter answer a request of `compiling.main`.

    Raises: SupervisorError if it can't be run, fails, or takes longer than ANSWER_S.
    """
    answer = _run([python, "-I", "-S", compiling.__file__], json.dumps(request))
    try:
        return json.loads(answer)
    except ValueError as error:
        raise SupervisorError(f"{python} gave no answer: {answer[:200]!r}") from error


def _run(command: list[str], text: str) -> str:
    # -I: nothing of the environment or the current folder; -S: no site-packages, no .pth files.
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_S,
            check=True,
            cwd=Path("/"),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SupervisorError(
            f"the bot's Python {command[0]} can't be run: {error}",
            "Check `command` in config.toml, or make the project's .venv again.",
        ) from error
    return done.stdout
