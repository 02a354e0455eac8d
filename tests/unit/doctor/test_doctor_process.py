"""Other processes: a second copy, what an earlier supervisor left, who else would start it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.doctor import wrapped
from supervisor.process.tree import children
from tests.unit.doctor.kit import ID, ROOT, Project
from tests.unit.doctor.test_doctor_service import supervised

WAITS = "print('ready', flush=True)\nimport sys\nsys.stdin.readline()\n"
WRITES = """
import sys
file = open(sys.argv[1], "a")
print("ready", flush=True); sys.stdin.readline()
"""
OWNS = """
import ctypes, os, pwd, sys
from pathlib import Path
from supervisor.session.lock import OwnerLock
lock = OwnerLock(Path(sys.argv[1]), sys.argv[2])
lock.acquire()
if sys.argv[3] == "orphan":
    fd = lock.generation_fd(1)
    lock.release()
if sys.argv[3] == "nobody":
    os.setuid(pwd.getpwnam("nobody").pw_uid)
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: else /proc shows it as root's
print("ready", flush=True); sys.stdin.readline()
"""


@contextmanager
def process(project: Project, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process in the project's folder; it is ready, and ends with the block."""
    project.alone = False
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=project.root,
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == b"ready\n"
            yield running
        finally:
            running.kill()


def test_a_second_copy_of_the_bot(project: Project) -> None:
    """It runs under a supervisor, and somebody runs it by hand, too: ended by the command."""
    (project.root / "bot.py").write_text(WAITS)
    with supervised(project), process(project, "bot.py") as other:
        found = project.problem("copies")
        assert found.commands == (f"kill {other.pid}",)
        assert "same command in the same folder" in found.seen
        project.follow(found)
        other.wait(10)
        project.well()


def test_who_would_start_the_copy_again_is_named(project: Project) -> None:
    """A copy below nodemon comes back when it alone is ended."""
    (project.root / "bot.py").write_text(WAITS)
    above = project.tools / "nodemon"
    above.write_text("import subprocess, sys\nsubprocess.run([sys.executable, 'bot.py'])\n")
    with supervised(project), process(project, str(above), "bot.py") as watcher:
        found = project.problem("copies")
        assert f", under nodemon (pid {watcher.pid})" in found.seen
        watcher.kill()
        project.follow(found)


def test_a_process_that_writes_the_session(project: Project) -> None:
    """A copy that lies elsewhere has a file of the session open to write."""
    place = str(project.live / "creds.json")
    with supervised(project), process(project, "-c", WRITES, place) as other:
        found = project.problem("copies")
        assert f"pid {other.pid} writes its session" in found.seen
        project.follow(found)
        other.wait(10)
        project.well()


def test_a_session_that_is_just_being_written(project: Project) -> None:
    """A bot has its file open, and half of it is there: that is no damage yet."""
    place = project.live / "creds.json"
    with process(project, "-c", WRITES, str(place)):
        place.write_text('{"me": ')
        (found,) = project.asked().of("problem", "unknown")
        assert (found.check, found.severity) == ("session", "unknown")
        assert "just being written" in found.seen
    project.problem("session")  # nobody writes it any more: now it is


def test_two_that_are_run_by_hand(project: Project) -> None:
    """No supervisor runs, and there are two: each is told, and one is ended."""
    (project.root / "bot.py").write_text(WAITS)
    with process(project, "bot.py") as one, process(project, "bot.py") as other:
        found = project.problem("copies")
        assert found.commands == tuple(f"kill {pid}" for pid in sorted((one.pid, other.pid)))
        project.type(found.commands[0])
        (one if one.pid < other.pid else other).wait(10)
        project.well()


def test_a_bot_that_is_run_by_hand_is_no_copy(project: Project) -> None:
    """No supervisor runs, and one process is all there is."""
    (project.root / "bot.py").write_text(WAITS)
    with process(project, "bot.py"):
        project.well()


def test_a_bot_whose_supervisor_is_gone(project: Project) -> None:
    """It still holds its generation's byte of the lock: ended by the command."""
    words = ("-c", OWNS, str(project.root / "sessions"), ID, "orphan")
    with process(project, *words) as left:
        found = project.problem("orphans")
        assert f"pid {left.pid}" in found.seen
        project.follow(found)
        left.wait(10)
    project.well()


def test_a_session_that_another_supervisor_owns(project: Project) -> None:
    """By another config, that is: this one's would answer."""
    words = ("-c", OWNS, str(project.root / "sessions"), ID, "owner")
    with process(project, *words) as other:
        found = project.problem("owner")
        assert f"pid {other.pid}" in found.seen
        project.follow(found)
        other.wait(10)
    project.well()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another user")
def test_a_session_that_another_user_s_supervisor_owns(project: Project) -> None:
    """It is not to be killed: the command asks as that user."""
    words = ("-c", OWNS, str(project.root / "sessions"), ID, "nobody")
    with process(project, *words):
        found = project.problem("owner")
        assert found.commands == ("sudo -u nobody stillhere status",)
        assert found.fix == "ask as that user"
        assert "a supervisor of nobody runs it" in found.cause
    project.well()


@pytest.mark.parametrize(
    ("command", "who", "right"),
    [
        (("nodemon", "index.js"), "nodemon", ("node", "index.js")),
        (
            ("npx", "nodemon", "--ext", "js", "index.js", "-v"),
            "nodemon",
            ("node", "index.js", "-v"),
        ),
        (("node", "--watch", "index.js"), "node", ("node", "index.js")),
        (("node", "--watch-path=src", "index.js"), "", ()),
        (("tsx", "watch", "src/bot.ts"), "tsx", ("tsx", "src/bot.ts")),
        (("pm2-runtime", "index.js"), "pm2-runtime", ("node", "index.js")),
        (("nodemon", "-x", "something"), "nodemon", ()),
        (("python", "watchfiles.py"), "", ()),
        (("python", "bot.py", "nodemon"), "", ()),
        (("node", "node_modules/nodemon/bin/nodemon.js", "bot.js"), "nodemon", ("node", "bot.js")),
        (("node", "index.js", "--watch"), "", ()),
        (("python", "bot.py"), "", ()),
    ],
)
def test_who_restarts_by_itself(command: tuple[str, ...], who: str, right: tuple[str, ...]) -> None:
    """Known by the words of a command, and taken off it where these tell how."""
    assert wrapped.restarter(command) == who
    if who:
        assert wrapped.without_restarter(command) == right


def test_a_watcher_above_the_supervisor(project: Project) -> None:
    """`nodemon -x stillhere ...`: each save would stop and start all bots."""
    above = project.tools / "nodemon"
    above.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {WAITS!r}])\n")
    with process(project, str(above)) as watcher:
        (pid,) = children(watcher.pid)
        with supervised(project, supervisor=pid):
            found = project.problem("beside")
            assert found.seen == f"nodemon restarts the supervisor itself (pid {pid})"
    with supervised(project):
        project.well()


def test_nodemon_in_the_command(project: Project) -> None:
    """Two would restart it: the edit leaves one."""
    for name in ("nodemon", "node"):
        (project.tools / name).write_text("#!/bin/sh\n")
        (project.tools / name).chmod(0o755)
    (project.root / "index.js").touch()
    project.add(f'[bot.echo]\ncommand = ["{project.tools}/nodemon", "index.js"]')
    found = project.problem("beside")
    assert found.edit == '[bot.echo]\ncommand = ["node", "index.js"]'
    project.add(found.edit.replace('"node"', f'"{project.tools}/node"'))  # as on a usual PATH
    project.well()


def test_a_server_that_reloads_itself(project: Project) -> None:
    """Its own option does: without it there is one who restarts."""
    server = project.tools / "uvicorn"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    project.add(f'[bot.echo]\ncommand = ["{server}", "--reload", "bot:app"]')
    found = project.problem("beside")
    assert found.fix == "start the program itself, without uvicorn --reload"
    project.add(f'[bot.echo]\ncommand = ["{server}", "bot:app"]')
    project.well()


def test_pm2_that_starts_it_too(project: Project) -> None:
    """It is in pm2's list: gone from there, it is one only."""
    dump = project.home / ".pm2" / "dump.pm2"
    dump.parent.mkdir()
    listed = [{"name": "my bot", "pm_cwd": str(project.root)}, {"name": "web", "pm_cwd": "/srv/x"}]
    dump.write_text(json.dumps(listed))
    found = project.problem("beside")
    assert found.commands == ("pm2 delete 'my bot' && pm2 save --force",)
    pm2 = project.tools / "pm2"  # of which only this is wanted
    pm2.write_text(f"#!{sys.executable}\n{_PM2.format(dump=str(dump))}")
    pm2.chmod(0o755)
    project.follow(found)
    project.well()


_PM2 = """
import json, sys
if sys.argv[1] == "delete":
    path = {dump!r}
    listed = [each for each in json.load(open(path)) if each["name"] != sys.argv[2]]
    json.dump(listed, open(path, "w"))
"""


def test_a_unit_that_starts_it_too(project: Project) -> None:
    """Somebody's own unit runs in its folder; one that is not enabled is only said."""
    project.units.mkdir()
    text = f"[Service]\nWorkingDirectory={project.root}\nExecStart=/usr/bin/node index.js\n"
    (project.units / "mybot.service").write_text(text)
    assert "not enabled" in project.note("beside").seen
    wants = project.units / "multi-user.target.wants"
    wants.mkdir()
    (wants / "mybot.service").symlink_to("../mybot.service")
    found = project.problem("beside")
    assert found.commands == ("sudo systemctl disable --now mybot",)
    Path(wants / "mybot.service").unlink()  # as systemctl does
    (project.units / "mybot.service").unlink()
    project.well()
