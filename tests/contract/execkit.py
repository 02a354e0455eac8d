"""Runs a small program that replaces itself, as the supervisor does, with a real bot below it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


def program(script: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start it, from the project's folder."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(running: subprocess.Popen[str]) -> tuple[list[Any], str, int]:
    """Return what it printed (a value of JSON a line), its errors, and its status."""
    with running:
        out, err = running.communicate(timeout=PATIENCE_S)
    return [json.loads(line) for line in out.splitlines()], err, running.returncode
