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

# Where the projects are inside, and where our code is: in nobody's home, and in no folder for
# temporary files, so that the sandbox is as tight as it is for people.
PLACE, CODE = "/srv", "/opt/stillhere"
USER = "stillhere-test"  # one of the users inside
PYTHON = Path(sys.prefix).resolve() / "bin" / Path(sys.executable).name


class Service:
    """A project under /srv inside, and its unit."""

    def __init__(self, manager: Manager, folder: Path) -> None:
        self.manager = manager
        self.folder = folder
        self.name = folder.name
        self.here = f"{PLACE}/{folder.name}"
        self.unit = f"{folder.name}.service"
        self.store = f"{self.here}/.session-cache"  # where the snapshots are, inside
        self.env: dict[str, str] = {}  # for our commands, beside the usual
        folder.mkdir()
        self.write("config.toml", SHIPPED)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "bot", folder / "bot", ignore=ignore)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / name).write_text(text)

    def python(self, *words: str, check: bool = True) -> str:
        """Run a module of ours inside, in the project, as root."""
        env = [f"{name}={value}" for name, value in self.env.items()]
        env += [f"PYTHONPATH={CODE}", "HOME=/nowhere"]
        done = self.manager.run("env", *env, str(PYTHON), "-m", *words, here=self.here, check=check)
        return done.stdout

    def install(self, drop_in: str = "", *words: str) -> None:
        """Write the unit, and have systemd read it."""
        self.python("supervisor", "systemd", "install", "--name", self.name, *words)
        path = f"/etc/systemd/system/{self.unit}.d"
        text = f"[Service]\nEnvironment=PYTHONPATH={CODE}\n{drop_in}"
        self.manager.run("mkdir", "-p", path)
        self.manager.run("sh", "-c", 'printf %s "$1" > "$2"', "sh", text, f"{path}/test.conf")
        self.manager.run("systemctl", "daemon-reload")

    def start(self) -> None:
        """Start it: that returns once it says READY."""
        done = self.manager.run("systemctl", "start", self.unit, check=False)
        assert done.returncode == 0, self.manager.run("journalctl", "-u", self.unit).stdout[-3000:]

    def link(self, drop_in: str = "", *words: str) -> dict[str, str]:
        """Install and start it, link its bot by the phone, and return the device."""
        self.install(drop_in, *words)
        self.start()
        # A person is needed: that is READY as well, and was said before `start` returned.
        self.happens("pairing", bot="echo")
        assert self.state == "active"
        self.python("bot.phone", "scan")
        self.happens("snapshot_taken", bot="echo")
        assert self.answer() == "pong"
        return self.device()

    def answer(self) -> str:
        """Return what the bot says to !ping."""
        found: str = json.loads(self.python("bot.phone", "send", "!ping", "--json"))["answer"]
        return found

    def device(self) -> dict[str, str]:
        """Return the one device that is linked."""
        (found,) = json.loads(self.python("bot.phone", "devices", "--json"))
        return {"id": found["id"], "linked_at": found["linked_at"]}

    def told(self, bot: str = "echo") -> dict[str, Any]:
        """Return what `stillhere status` tells of a bot."""
        told = json.loads(self.python("supervisor", "status", "--json"))
        found: dict[str, Any] = told["bots"][bot]
        return found

    def bot_pid(self, bot: str = "echo") -> int:
        """Return a bot's process inside, as the supervisor says."""
        found: int = self.told(bot)["pid"]
        return found

    def said(self, bot: str = "") -> str:
        """Return what the unit, or only a bot in it, has printed, from systemd's journal."""
        fields = [f"_SYSTEMD_UNIT={self.unit}", *([f"STILLHERE_BOT={bot}"] if bot else [])]
        return self.manager.run("journalctl", "-o", "cat", *fields, check=False).stdout

    @property
    def main_pid(self) -> int:
        """The supervisor's pid, inside."""
        return int(self.fact("MainPID"))

    @property
    def state(self) -> str:
        """What `systemctl is-active` says."""
        return self.manager.run("systemctl", "is-active", self.unit, check=False).stdout.strip()

    def fact(self, name: str) -> str:
        """Return a property of the unit."""
        return self.manager.fact(self.unit, name)

    def give(self) -> None:
        """Make the project USER's own."""
        self.manager.run("chown", "-R", f"{USER}:", self.here)

    def seen_of(self, pid: int) -> dict[str, str]:
        """Return what the kernel says of a process: /proc/PID/status."""
        lines = self.manager.run("cat", f"/proc/{pid}/status").stdout.splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def kill(self, signal: str) -> None:
        """Send a signal to the supervisor alone."""
        self.manager.run("systemctl", "kill", "--kill-who=main", f"--signal={signal}", self.unit)

    def stop(self, state: str = "inactive") -> None:
        """Stop it, and see that nothing of it is left."""
        assert self.manager.processes(self.unit)
        self.manager.run("systemctl", "stop", self.unit)
        assert self.state == state
        assert self.manager.processes(self.unit) == []

    def events(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Return events of a kind, from the journal's file."""
        path = self.manager.root / self.store.lstrip("/") / ".events.jsonl"
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
    path = tmp_path_factory.mktemp("srv")
    path.chmod(0o755)  # for the users in there; out here nobody gets as far as this
    return path


@pytest.fixture(scope="session")
def manager(tmp_path_factory: pytest.TempPathFactory, srv: Path) -> Iterator[Manager]:
    """Boot a systemd once."""
    if why := lacking():
        pytest.skip(why)
    work = tmp_path_factory.mktemp("systemd") / "work"
    work.mkdir()
    # /tmp is another one inside: a Python that lies there is shown at its own place.
    pythons = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    shown = {path: str(path) for path in pythons if path.is_relative_to("/tmp")}  # noqa: S108 - see above
    with booted(work, {srv: PLACE, ROOT: CODE, **shown}) as manager:
        manager.run("useradd", "--system", "--shell", "/bin/sh", USER)
        yield manager


@pytest.fixture
def service(manager: Manager, srv: Path, request: pytest.FixtureRequest) -> Iterator[Service]:
    """Return a project with the bot that ships; its service is stopped afterwards."""
    made = Service(manager, srv / f"p{abs(hash(request.node.name)) % 10_000}x{os.getpid()}")
    yield made
    manager.run("systemctl", "kill", "--signal=KILL", made.unit, check=False)
    manager.run("systemctl", "stop", made.unit, check=False)
