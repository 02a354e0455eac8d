"""A healthy project, what the doctor says of it, and a person who does what it says."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from supervisor.cli.main import execute
from supervisor.doctor.examine import Report, examine
from supervisor.doctor.findings import Finding
from supervisor.doctor.ground import Ground
from supervisor.doctor.world import World
from supervisor.session.manager import SessionManager

ROOT = Path(__file__).resolve().parents[3]
ID = "971505760056"
BOT = f'[bot.echo]\ncommand = ["python", "bot.py"]\nsession = "{ID}"\n'


class Project:
    """A folder with a config, a bot, a linked session and one good snapshot."""

    def __init__(self, root: Path, short: str) -> None:
        self.root = root
        self.alone = True  # nobody but the doctor is there: it need not look at each process
        self._short = short
        self.tools = Path(short) / "bin"
        self.tools.mkdir()
        self._tool("stillhere", f'exec {sys.executable} -m supervisor "$@"')
        self._tool("sudo", 'exec "$@"')
        self.config(BOT)
        (root / "bot.py").write_text("print('hello')\n")
        self.live.mkdir(parents=True, mode=0o700)
        (root / "sessions").chmod(0o711)
        (self.live / "creds.json").write_text('{"me": "d1"}')

    def _tool(self, name: str, line: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    @property
    def live(self) -> Path:
        """The live session."""
        return self.root / "sessions" / f"session-{ID}"

    @property
    def store(self) -> Path:
        """The snapshots."""
        return self.root / ".session-cache"

    @property
    def home(self) -> Path:
        """The home of who asks."""
        return Path(self._short)

    @property
    def units(self) -> Path:
        """Where systemd's units lie."""
        return self.home / "units"

    def world(self, **changes: Any) -> World:
        """Return the machine, with something else about it."""
        given: dict[str, Any] = {"container": False, "units": (self.units,), "home": self.home}
        world = World(**{**given, **changes})
        world.__dict__["inotify"] = {}  # what others on this machine watch is no matter here
        return world

    def config(self, text: str) -> None:
        """Write the config."""
        (self.root / "config.toml").write_text(text)

    def add(self, edit: str) -> None:
        """Do an edit: a table's name, and its lines; a key that is there is replaced."""
        path = self.root / "config.toml"
        table, *lines = edit.replace("[bot.NAME]", "[bot.echo]").splitlines()
        keys = {line.partition(" ")[0] for line in lines}
        kept = [k for k in path.read_text().splitlines() if k.partition(" ")[0] not in keys]
        if table not in kept:
            kept.append(table)
        at = kept.index(table) + 1
        path.write_text("\n".join([*kept[:at], *lines, *kept[at:]]) + "\n")

    def manager(self) -> SessionManager:
        """Return the manager of its session."""
        return SessionManager(
            self.root / "sessions", self.store, state=self.root / "session-state.json"
        )

    def linked(self) -> "Project":
        """Link the session, and take a snapshot of it."""
        manager = self.manager()
        manager.note_linked(ID, "d1")
        manager.backup(ID)
        return self

    def asked(self, world: World | None = None, only: str | None = None) -> Report:
        """Return what the doctor says."""
        ground = Ground(self.root, world=world or self.world(), only=only)
        if self.alone:
            ground.__dict__["sessions_in_use"] = False  # it takes most of a look, on a busy machine
        return examine(ground)

    def problem(self, check: str, world: World | None = None) -> Finding:
        """Return the one problem; it is of this check, and there is no other."""
        found = self.asked(world).of("problem", "unknown")
        assert [each.check for each in found] == [check], found
        assert found[0].severity == "problem"
        assert found[0].cause
        assert found[0].fix or found[0].commands
        return found[0]

    def note(self, check: str, world: World | None = None) -> Finding:
        """Return the one note; there is nothing worse."""
        found = self.asked(world).of("problem", "unknown", "note")
        assert [(each.check, each.severity) for each in found] == [(check, "note")], found
        return found[0]

    def well(self, world: World | None = None) -> Report:
        """Return the report, which has nothing but what is fine."""
        report = self.asked(world)
        found = report.of("problem", "unknown", "note")
        assert not found, "\n".join(f"{each.check}: {each.seen}" for each in found)
        return report

    def type(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Type a command, as a person does in the project's folder."""
        words = shlex.split(command)
        if words[0] == "stillhere" and not set(command) & set("|&;<>"):
            return self._ours(words)
        environment = {
            **os.environ,
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def _ours(self, words: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run one of our own commands, without a process for it."""
        out, err = io.StringIO(), io.StringIO()
        with chdir(self.root), redirect_stdout(out), redirect_stderr(err):
            code = execute(words[1:])
        assert code == 0, f"{words}: {out.getvalue()}{err.getvalue()}"
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def follow(self, finding: Finding) -> None:
        """Type all that a finding says."""
        assert finding.commands
        for command in finding.commands:
            self.type(command)

    def doctor(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run the command."""
        return subprocess.run(
            [sys.executable, "-m", "supervisor", "doctor", *words],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


def in_namespaces(
    flags: Sequence[str], script: str, cwd: Path
) -> "subprocess.CompletedProcess[str]":
    """Run a script of a shell in namespaces of its own: what it sets there is of nobody else."""
    return subprocess.run(
        ["unshare", *flags, "sh", "-ec", script],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def lacks_namespaces(*flags: str) -> str:
    """Return why there can be no such namespaces here; "" if there can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed: util-linux would run this"
    done = subprocess.run(["unshare", *flags, "true"], capture_output=True, check=False)
    return "the kernel gives no such namespaces here: root would" if done.returncode else ""


def seen(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return all that lies in a folder: mode, owner, time of change, content."""
    found: dict[str, tuple[int, int, int, bytes]] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        data = path.read_bytes() if path.is_file() else b""
        key = str(path.relative_to(folder))
        found[key] = (status.st_mode, status.st_uid, status.st_mtime_ns, data)
    return found
