"""A made-up project beside made-up libraries, planned for and run for real."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from supervisor.watch.preloading import Preload, plan

# Runs in the bot's interpreter before its first line, where a spare would wait: notes each module
# that is looked for, in order, loads the list ahead, and draws a line under it.
_SITE = """
import sys
log = open({log!r}, "a", buffering=1)
class Note:
    @staticmethod
    def find_spec(name, path=None, target=None):
        log.write(name + chr(10))
sys.meta_path.insert(0, Note)
before = sys.path[:]
for name in {modules!r}:
    if name in {own!r}:
        sys.path.insert(0, {first!r})
    __import__(name)
    sys.path[:] = before
log.write("-" + chr(10))
"""


class Project:
    """A project in `root`, its libraries in a folder of installed packages beside it."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.root = folder / "project"
        self.site = folder / "lib" / "site-packages"
        self.python = python
        self._early = folder / "early"
        for each in (self.root, self.site, self._early):
            each.mkdir(parents=True, exist_ok=True)
        self.env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(self.site)}
        self.env["PYTHONDONTWRITEBYTECODE"] = "1"

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the project."""
        _write(self.root, files)

    def install(self, files: Mapping[str, str]) -> None:
        """Write files of libraries."""
        _write(self.site, files)

    def plan(self, *command: str, refused: Mapping[str, str] | None = None) -> Preload:
        """Return the plan of a command after the interpreter; `x.py` if none is given."""
        whole = [self.python, *(command or ("x.py",))]
        return plan(whole, cwd=self.root, env=self.env, refused=refused)

    def run(self, ahead: Preload | None = None) -> tuple[list[str], list[str], str]:
        """Run `x.py` with this loaded ahead: the modules looked for then, later, its output.

        Names of the project and of what is not there are left out, and each name is told once.
        """
        log = self._early / "log"
        log.write_text("")
        modules, own, first = (
            (ahead.modules, tuple(ahead.own), ahead.first) if ahead else ((), (), "")
        )
        site = _SITE.format(log=str(log), modules=modules, own=own, first=first)
        (self._early / "sitecustomize.py").write_text(site)
        env = {**self.env, "PYTHONPATH": f"{self._early}:{self.site}"}
        done = subprocess.run(
            [self.python, "x.py"],
            cwd=self.root,
            env=env,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        theirs = {"not_there", "usercustomize"} | {
            each.name.removesuffix(".py") for each in self.root.iterdir()
        }
        looked = [n for n in log.read_text().split() if n.partition(".")[0] not in theirs]
        at = looked.index("-")
        return (
            list(dict.fromkeys(looked[:at])),
            list(dict.fromkeys(looked[at + 1 :])),
            done.stdout + done.stderr,
        )


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
