"""Other users of this machine, for tests of what one of theirs may do: who they are, and where.

What they are to read lies in folders that everybody may pass, which pytest's own are not.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.harness import ROOT, Folder, end_all

NOBODY = "nobody"
DAEMON = "daemon"
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable)


def lacking(*names: str) -> str:
    """Return why nothing can be run as these users; "" if it can."""
    if os.geteuid() != 0:
        return "only root can start a bot as another user: run the tests as root"
    if shutil.which("setpriv") is None:
        return "setpriv is not installed: util-linux would run this"
    known = {found.pw_name for found in pwd.getpwall() if found.pw_uid}
    if not known.issuperset(names):
        return f"there are no accounts {names}"
    return "" if python() else "no Python that other users can run: /usr/bin/python3 would do"


def as_user(name: str) -> list[str]:
    """Return what executes a command as that user."""
    who = pwd.getpwnam(name)
    return ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups", "--"]


def python() -> str:
    """Return a Python that other users can run, or ""."""
    for path in filter(os.path.exists, _PYTHONS):
        command = [*as_user(NOBODY), path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return path
    return ""


@contextmanager
def shared(config: str, cache: Path) -> Iterator[Folder]:
    """Make a project folder that others can read; at the end nothing of it may run, or stay."""
    root = Path(tempfile.mkdtemp(prefix="stillhere-others-"))
    try:
        root.chmod(0o755)
        folder = Folder(root / "project", cache, config)
        (folder.root / "bot").mkdir()
        shutil.copy(ROOT / "bot" / "link.py", folder.root / "bot")
        folder.write("bot/__init__.py", "")
        for path in (folder.root, *folder.root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield folder
        left = end_all(folder)
        assert not left, f"left behind: {left}"
    finally:
        shutil.rmtree(root)
