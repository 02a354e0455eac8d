"""A box for code that removes and moves: it may write below one folder, and nowhere else.

What runs in there has a current folder that is a sacrifice: an empty or relative path leads there.
It sees no process but its own.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_BOXED = """
set -e
mount --make-rprivate /
mount --bind "$BOX" "$BOX"
while read -r _ at _; do
    case "$at" in /proc*|/sys*|/dev*|"$BOX"*) continue;; esac
    mount -o remount,bind,ro "$at"
done < /proc/self/mounts
if ( : > "$PROBE" ) 2>/dev/null; then exit 97; fi
cd "$BOX/here"
exec "$@"
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the box")


def boxed(root: Path, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command that can write below `root` only; its current folder is `root`/here."""
    (root / "here").mkdir(exist_ok=True)
    probe = _ROOT / f".box-probe-{os.getpid()}"
    environment = {"BOX": str(root), "PROBE": str(probe), "PYTHONPATH": str(_ROOT)}
    return subprocess.run(
        [
            "unshare",
            "-m",
            "-p",
            "-f",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            _BOXED,
            "box",
            *command,
        ],
        env={**os.environ, **environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
