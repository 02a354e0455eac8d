"""The tools that restart a bot: how each is started for one project, and ended with all it started.

Each is called as its own documentation says for a program in Python.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Self

from tests.bench.restart.lives import Trace
from tests.bench.restart.project import Project

END_S = 15.0
# Whoever runs the benchmark may have set these; each tool and bot shall find the same.
_NOT_OURS = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONPATH", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Places:
    """Where `install-peers` put the peers, and the interpreters of the bots."""

    folder: Path

    def program(self, name: str) -> Path | None:
        """Return where a tool is: in our own folder, else on PATH."""
        for place in ("tools/bin", "node/node_modules/.bin"):
            if (path := self.folder / place / name).exists():
                return path
        found = shutil.which(name)
        return Path(found) if found else None

    @property
    def bots_python(self) -> Path | None:
        """The interpreter that has the realistic bot's libraries."""
        path = self.folder / "bots" / "bin" / "python"
        return path if path.exists() else None

    def version(self, package: str) -> str:
        """Return the version of what was installed there; "" if the system has it, or nobody."""
        if not package:
            return ""
        described = self.folder / "node" / "node_modules" / package / "package.json"
        if described.exists():
            return str(json.loads(described.read_text())["version"])
        found = metadata.distributions(name=package, path=self.site_packages())
        return next((each.version for each in found), "")

    def site_packages(self) -> list[str]:
        """Return where the tools' own libraries are: matplotlib for the pictures."""
        return [str(path) for path in self.folder.glob("tools/lib/python*/site-packages")]


class Tool:
    """One tool on one project. Runs from `running`'s begin to its end."""

    name = ""
    program = ""
    package = ""
    ours = False
    # What is asked for each save by a command of its own, since the tool does not watch.
    watches = True

    def __init__(self, project: Project, places: Places) -> None:
        self.project = project
        self.places = places
        self.trace = Trace(project.trace)
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Run it for the block; nothing of it is left behind."""
        try:
            self._start()
            yield self
        finally:
            self._end()
            self._end_bots()

    def prepared(self) -> bool:
        """Wait until it has made ready what it wants for the next save; return whether it has."""
        return True

    def saved(self) -> None:
        """A save was made: tell a tool that does not watch."""

    def settled(self) -> None:
        """What came of the last save is over."""

    @property
    def pid(self) -> int:
        """The first process of the tool itself."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def argv(self) -> list[str]:
        """Return what starts it, in the project's folder."""
        raise NotImplementedError

    def env(self) -> Mapping[str, str]:
        """Return what it needs in its environment."""
        return {}

    def stdin(self) -> bytes:
        """Return what it reads from its standard input."""
        return b""

    @property
    def _path(self) -> str:
        return str(self.places.program(self.program) or self.program)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
        return {**kept, **self.env()}

    def _start(self) -> None:
        given = self.project.root / "stdin"
        given.write_bytes(self.stdin())
        with self.project.log.open("ab") as out, given.open("rb") as stdin:
            self._process = subprocess.Popen(
                self.argv(),
                cwd=self.project.root,
                env=self._environment(),
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(END_S)

    def _end_bots(self) -> None:
        """Kill what the tool left alive (nodemon and pm2 do)."""
        for life in self.trace.read():
            # Only one that still stands in our folder is a bot of ours, not another's pid.
            with suppress(OSError):
                if Path(f"/proc/{life.pid}/cwd").readlink() == self.project.root:
                    os.kill(life.pid, signal.SIGKILL)

    def _once(self, argv: list[str]) -> None:
        """Run a command of the tool to its end."""
        with self.project.log.open("ab") as out:
            subprocess.run(
                argv,
                cwd=self.project.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
            )
