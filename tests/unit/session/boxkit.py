"""A box for what may remove or change things: all but one folder is read-only in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
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

needs_box = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the box")


def boxed(root: Path, code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that can change nothing but `root`, and return its end.

    Its current folder is `root/here`, a sacrifice, which is made if it has to be.
    """
    (root / "here").mkdir(exist_ok=True)
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", _BOXED, "box", sys.executable, "-c", code, *args],
        env={
            **os.environ,
            "BOX": str(root),
            "PROBE": str(_ROOT / f".box-probe-{os.getpid()}"),
            "PYTHONPATH": str(_ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
