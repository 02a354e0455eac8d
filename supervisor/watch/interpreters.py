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


@functools.lru_cache(maxsize=64)
def same_version(python: str) -> bool:
    """Return whether `python` compiles as we do. Asks an unknown one, once: about 20 ms.

    Raises: SupervisorError if it can't be run.
    """
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        return True
    code = "import sys; print(sys.implementation.cache_tag)"
    return _run([python, "-I", "-S", "-c", code], "").strip() == sys.implementation.cache_tag


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
