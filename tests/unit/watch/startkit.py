"""Saves that look alike, and starts of a real bot after them, with bytecode being written."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from supervisor.watch.preflight import preflight


def start(project: Path, folder: Path, *options: str) -> str:
    """Run a real bot, with bytecode being written, and return what it says."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, *options, "main.py"],
        cwd=project,
        env={**env, "PYTHONPYCACHEPREFIX": str(folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


def save(source: Path, n: int, before: bytes = b"") -> None:
    """Save text of the same length in what the filesystem takes for the same second."""
    source.write_bytes(before + b"VALUE = %d\n" % (n + 100))
    os.utime(source, (1_700_000_000, 1_700_000_000))


def passed(project: Path, folder: Path, names: Iterable[str]) -> bool:
    """Do what goes before a restart: compile what changed, once."""
    found = preflight(names, base=project, python=sys.executable, prefix=folder)
    return asyncio.run(found) == []
