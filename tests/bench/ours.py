"""Ours: in the process, as the supervisor does it, and as a whole command."""

import os
import subprocess
import sys
from pathlib import Path

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot
from tests.bench import clock

ID = "971505760056"
ROOT = Path(__file__).resolve().parents[2]
IN_PROCESS = "stillhere, in the supervisor"
COMMAND = "stillhere session backup"


def live_folder(project: Path) -> Path:
    """Return where the session of a project lies."""
    return project / "sessions" / f"session-{ID}"


class Ours:
    """The store of one project. `name` tells stores of the same session apart."""

    def __init__(self, project: Path, name: str = ".session-cache") -> None:
        self._project = project
        self._name = name
        self.store = project / name
        self.live = live_folder(project)
        self.manager = self._manager()

    def fresh(self) -> None:
        """Begin anew, with no snapshot taken, as a supervisor that runs already."""
        clock.put_aside(self.store)
        self._state.unlink(missing_ok=True)
        self.manager = self._manager()
        self.manager.note_linked(ID, None)

    def snapshot(self) -> Snapshot:
        """Take one as the supervisor seals a session: synced and read back, not validated yet."""
        capture = self.manager.capture(ID, reason="sealed", generation=1, hot=False)
        return self.manager.commit(capture, validate=False)

    def validate(self, snapshot: Snapshot) -> Snapshot:
        """Give it its verdict, as the supervisor does afterwards."""
        return self.manager.validate(ID, snapshot.id)

    def manifests(self) -> int:
        """Return how many snapshots there are."""
        return len(self.manager.snapshots(ID))

    @property
    def _state(self) -> Path:
        return self._project / f"state{self._name}.json"

    def _manager(self) -> SessionManager:
        sessions = self._project / "sessions"
        return SessionManager(sessions, self.store, self._state, owned=True)


class OurCommand:
    """The same as a command that a person types. It validates as well."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self.store = project / "command-cache"
        self._config = project / "config.toml"
        self._config.write_text(
            '[supervisor]\nsnapshots = "command-cache"\nstate = "command-state.json"\n'
            f'[bot.bench]\ncommand = ["true"]\nsession = "{ID}"\n'
        )

    def fresh(self) -> None:
        """Begin anew."""
        clock.put_aside(self.store)
        (self._project / "command-state.json").unlink(missing_ok=True)

    def snapshot(self) -> None:
        """Run it."""
        _run("session", "backup", ID, "--config", str(self._config))

    @staticmethod
    def start() -> str:
        """Start it for nothing. Returns what it says of its version."""
        return _run("--version").strip()


def _run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "supervisor", *words],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SupervisorError(f"stillhere {words[0]} failed: {done.stderr.strip()}")
    return done.stdout


def environment() -> dict[str, str]:
    """Return ours, with this project's code first."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start_interpreter() -> None:
    """Start an interpreter that loads the store's code and does nothing with it."""
    code = "import supervisor.session.manager"
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)
