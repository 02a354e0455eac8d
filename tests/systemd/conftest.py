"""One systemd for all tests of this folder, and a project in it for each."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import ROOT, SHIPPED
from tests.systemd.manager import Manager, booted, lacking, until

PLACE = "/srv"


class Service:
    """A project under /srv inside, and its unit."""

    def __init__(self, manager: Manager, folder: Path, config: str = SHIPPED) -> None:
        self.manager = manager
        self.folder = folder
        self.here = f"{PLACE}/{folder.name}"
        self.unit = f"{folder.name}.service"
        folder.mkdir()
        (folder / "config.toml").write_text(config)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "bot", folder / "bot", ignore=ignore)

    def python(self, *words: str, check: bool = True) -> str:
        """Run a module of ours inside, in the project."""
        env = [f"PYTHONPATH={ROOT}", "HOME=/nowhere"]
        done = self.manager.run(
            "env", *env, sys.executable, "-m", *words, here=self.here, check=check
        )
        return done.stdout

    def install(self, drop_in: str = "") -> None:
        """Write the unit, and have systemd read it."""
        self.python("supervisor", "systemd", "install", "--name", self.folder.name)
        path = f"/etc/systemd/system/{self.unit}.d"
        text = f"[Service]\nEnvironment=PYTHONPATH={ROOT}\n{drop_in}"
        self.manager.run("mkdir", "-p", path)
        self.manager.run("sh", "-c", 'printf %s "$1" > "$2"', "sh", text, f"{path}/test.conf")
        self.manager.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start it: that returns once it says READY."""
        done = self.manager.run("systemctl", "start", self.unit, check=False)
        assert done.returncode == 0, self.manager.run("journalctl", "-u", self.unit).stdout[-3000:]

    @property
    def main_pid(self) -> int:
        """The supervisor's pid, inside."""
        return int(self.manager.fact(self.unit, "MainPID"))

    @property
    def state(self) -> str:
        """What `systemctl is-active` says."""
        return self.manager.run("systemctl", "is-active", self.unit, check=False).stdout.strip()

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Return events of a kind, from the journal's file."""
        path = self.folder / ".session-cache" / ".events.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [
            each
            for each in found
            if each["event"] == event and all(each.get(k) == v for k, v in fields.items())
        ]

    def happens(self, event: str, count: int = 1, **fields: Any) -> dict[str, Any]:
        """Wait for the nth event of a kind."""
        words = f"{event} {fields}"
        until(lambda: len(self.events(event, **fields)) >= count, words)
        return self.events(event, **fields)[count - 1]


@pytest.fixture(scope="session")
def srv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that is /srv inside."""
    return tmp_path_factory.mktemp("srv")


@pytest.fixture(scope="session")
def manager(tmp_path_factory: pytest.TempPathFactory, srv: Path) -> Iterator[Manager]:
    """Boot a systemd once."""
    if why := lacking():
        pytest.skip(why)
    work = tmp_path_factory.mktemp("systemd") / "work"
    work.mkdir()
    # /tmp is another one inside: what we run from there is shown at its own place.
    ours = {ROOT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    shown = {path: str(path) for path in ours if path.is_relative_to("/tmp")}  # noqa: S108 - see above
    with booted(work, {srv: PLACE, **shown}) as manager:
        yield manager


@pytest.fixture
def service(manager: Manager, srv: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return a project with the bot that ships; its service is stopped afterwards."""
    made = Service(manager, srv / f"p{abs(hash(request.node.name)) % 10_000}x{os.getpid()}")
    yield made
    manager.run("systemctl", "kill", "--signal=KILL", made.unit, check=False)
    manager.run("systemctl", "stop", made.unit, check=False)
