"""Start the fault programs of this folder from a test, and read what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import traced

ROOT = Path(__file__).parents[2]


def run(program: str, *args: str, timeout_s: float, traces: bool = True) -> dict[str, Any]:
    """Run `python -m tests.faults.PROGRAM`; as root, in a mount namespace of its own.

    Skips the test where the program `traces` and strace can't be used. Raises: AssertionError,
    TimeoutExpired.
    """
    if traces and (why := traced.why_not()):
        pytest.skip(why)
    command = [sys.executable, "-m", f"tests.faults.{program}", *args]
    if may_unshare():
        command = ["unshare", "--mount", "--propagation", "private", *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def may_unshare() -> bool:
    """Return whether a process of ours gets mounts of its own."""
    command = ["unshare", "--mount", "--propagation", "private", "true"]
    if os.geteuid():
        return False
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
