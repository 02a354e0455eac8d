"""A socket of a dead supervisor, one that does not answer, a unit of another day."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from supervisor.control import paths
from tests.unit.control.fake_runner import Running, running
from tests.unit.doctor.kit import Project

# A supervisor of which nothing else is known: Linux has no such number.
_NOBODY = 2**22 + 1
LISTENS = """
import sys, socket
listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); listener.listen()
print("ready", flush=True); sys.stdin.readline()
"""


def test_the_socket_of_a_dead_supervisor(project: Project) -> None:
    """Nobody listens there: removed by the command, and by --fix."""
    path = paths.socket_path(project.root / "config.toml")
    paths.prepare(path.parent)
    for mend in (False, True):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
        found = project.note("control")
        if mend:
            assert found.mend is not None
            found.mend.act()
        else:
            project.follow(found)
        assert not path.exists()
        project.well()


def test_the_socket_of_a_supervisor_that_is_about_to_listen(project: Project) -> None:
    """It has the lock, and replaces the socket in a moment: that one is not removed."""
    path = paths.socket_path(project.root / "config.toml")
    paths.prepare(path.parent)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    finding = project.note("control")
    with path.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        project.well()
        assert finding.mend is not None
        finding.mend.act()
        assert path.exists()
    finding.mend.act()
    project.well()


def test_a_supervisor_that_is_suspended(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It listens, and does not answer: the command that is told wakes it up."""
    monkeypatch.setattr("supervisor.doctor.ground._PATIENCE_S", 0.05)
    path = paths.socket_path(project.root / "config.toml")
    paths.prepare(path.parent)
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        found = project.problem("control")
        assert f"(pid {process.pid})" in found.seen
        assert found.commands == (f"kill -CONT {process.pid}",)
        project.follow(found)
        os.waitid(os.P_PID, process.pid, os.WCONTINUED)
        process.kill()
    path.unlink()
    project.well()


@contextmanager
def supervised(project: Project, supervisor: int = _NOBODY, **bot: Any) -> Iterator[Running]:
    """Have a supervisor answer that its bot is so."""
    with running(paths.socket_path(project.root / "config.toml"), alive_s=0.05) as found:
        found.fake.results["status"] = {
            "supervisor": {"pid": supervisor, "version": "0.1.0", "uptime_s": 1.0},
            "bots": {"echo": {"phase": "up", "pid": None, "generation": 1, **bot}},
        }
        yield found


@pytest.mark.parametrize(
    ("bot", "severity", "command"),
    [
        ({"phase": "failed", "why": "it crashed"}, "problem", "stillhere start echo"),
        ({"phase": "backoff", "why": "it crashed"}, "problem", "stillhere logs echo"),
        ({"phase": "pairing"}, "problem", "stillhere link echo"),
        ({"phase": "refused"}, "problem", "stillhere start echo"),
        ({"phase": "down"}, "note", "stillhere start echo"),
        ({"paused": True}, "note", "stillhere resume echo"),
        ({"held": "it does not compile"}, "note", "stillhere events echo"),
    ],
)
def test_a_bot_that_is_not_online(
    project: Project, bot: dict[str, Any], severity: str, command: str
) -> None:
    """What it waits for is said, and what to type; once it is up, nothing is."""
    with supervised(project, **bot):
        find = project.problem if severity == "problem" else project.note
        assert command in find("online").commands
    with supervised(project):
        project.well()


def test_a_bot_that_keeps_nothing_where_it_should(project: Project) -> None:
    """It is up, and there is nothing to back up: the edit says where it keeps its session."""
    elsewhere = project.root / "data"
    project.live.rename(elsewhere)
    with supervised(project):
        found = {each.check: each for each in project.asked().of("problem")}
        assert "nothing is backed up" in found["backups"].seen
        project.add(found["backups"].edit.replace("WHERE IT KEEPS IT", "data"))
        project.well()


def _unit(project: Project) -> Path:
    """Install the unit into the test's own folder, by the command."""
    project.units.mkdir(exist_ok=True)
    project.type(f"stillhere systemd install --into {project.units}")
    (path,) = project.units.iterdir()
    return path


def test_a_unit_that_is_out_of_date(project: Project) -> None:
    """The config has changed since it was written: written anew by the command."""
    _unit(project)
    project.well()
    project.add("[bot.echo]\nstop_timeout_s = 55")
    found = project.problem("unit")
    assert "the config has changed since" in found.seen
    assert found.commands[1].startswith("sudo systemctl daemon-reload && ")
    project.type(found.commands[0])
    project.well()


def test_a_unit_that_was_edited(project: Project) -> None:
    """It is written anew only over what the person is told to keep elsewhere."""
    path = _unit(project)
    path.write_text(path.read_text() + "Nice=5\n")
    found = project.problem("unit")
    assert "edited by hand" in found.seen
    assert "--force" in found.commands[0]
    project.type(found.commands[0])
    project.well()


def test_the_unit_of_another_project_is_not_ours(project: Project) -> None:
    """A unit of some other config is left alone."""
    path = _unit(project)
    path.write_text(path.read_text().replace(str(project.root), "/srv/other"))
    project.well()


def test_a_unit_of_one_s_own_manager(project: Project) -> None:
    """It lies in one's home, by another name: the commands say both."""
    own = project.home / "systemd" / "user"
    world = project.world(units=(project.units, own))
    project.type("stillhere systemd install --user --name mine")
    project.well(world)
    project.add("[bot.echo]\nstop_timeout_s = 55")
    found = project.problem("unit", world)
    assert found.commands[0] == "stillhere systemd install --user --name mine"
    assert found.commands[1].startswith("systemctl --user daemon-reload && ")
    project.type(found.commands[0])
    project.well(world)


def test_a_unit_that_another_environment_wrote(project: Project) -> None:
    """Of this version and config, and still not what would be written here: a note."""
    path = _unit(project)
    header, _, body = path.read_text().partition("\n\n")
    body = body.replace("WatchdogSec=30", "WatchdogSec=31")
    header = re.sub("text [0-9a-f]+", f"text {blake3(body.encode()).hexdigest(length=8)}", header)
    path.write_text(f"{header}\n\n{body}")
    assert "today it would have: WatchdogSec=30" in project.note("unit").seen
