"""What a real child is given at its start, and what of ours it must not see."""

import asyncio
import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.process import environment, tree
from supervisor.session.lock import OwnerLock
from tests.contract.childkit import PATIENCE_S, Watched, watched

pytestmark = pytest.mark.usefixtures("adopting")


# What it is given.
def test_the_bot_sees_nothing_of_our_own_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sockets, its watchdog, its token and an outer session are ours, not the bot's."""
    ours = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "x",
        "WATCHDOG_USEC": "1000",
        "WATCHDOG_PID": "1",
        tree.TOKEN: "outer.1.2",
        "STILLHERE_SESSION_DIR": "/outer",
        "STILLHERE_STANDBY_FD": "99",
        "STILLHERE_SESSION_ID": "outer",
        "STILLHERE_GENERATION": "77",
        "STILLHERE_CHANGED": "/outer/changed",
    }
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    script = "import json\nprint(json.dumps(dict(os.environ)), flush=True)"

    async def run(**plan: Any) -> dict[str, str]:
        async with watched(script, env=environment.base({}, None), **plan) as bot:
            await bot.heard(ev.TreeGone)
            found: dict[str, str] = json.loads(bot.text)
            return found

    cold = asyncio.run(run())
    for key, value in ours.items():
        assert cold.get(key) != value, key
    assert "LISTEN_FDS" not in cold
    assert "WATCHDOG_USEC" not in cold
    assert cold["PYTHONUNBUFFERED"] == "1"
    assert cold["STILLHERE_SESSION_ID"] == "971505760056"
    silent = asyncio.run(run(notify=False))
    assert "NOTIFY_SOCKET" not in silent
    assert "STILLHERE_STANDBY_FD" not in silent
    waiting = asyncio.run(run(session_dir=None))
    assert "STILLHERE_SESSION_DIR" not in waiting
    assert os.environ[tree.TOKEN] == "outer.1.2"  # ours is never mutated


def test_the_standby_s_pipe() -> None:
    """Cold: the line is there already. Standby: the line at the activation, else end of file."""
    script = (
        "fd = int(os.environ['STILLHERE_STANDBY_FD'])\n"
        "say(b'X_STILLHERE_STANDBY=1')\n"
        "print(os.read(fd, 8192), os.read(fd, 8192), flush=True)"
    )

    async def run() -> None:
        async with watched(script, session_dir=Path("/a b/ß")) as bot:
            await bot.heard(ev.TreeGone)
            assert bot.text == b"b'activate /a b/\\xc3\\x9f\\n' b''\n"
        async with watched(script, session_dir=None) as bot:
            await bot.heard(ev.StandbyReached)
            assert not bot.lines
            bot.child.activate(Path("/there"))
            bot.child.activate(Path("/twice"))
            await bot.heard(ev.TreeGone)
            assert bot.text == b"b'activate /there\\n' b''\n"

    asyncio.run(run())


def test_a_standby_sees_the_end_of_its_supervisor() -> None:
    """With nobody left who could activate it, the standby reads the end of the file."""
    code = """
import asyncio, os, sys, tempfile
from pathlib import Path
from supervisor.process.child import Child, Plan
async def main():
    folder = Path(sys.argv[1])
    script = ("import os, signal\\nsignal.signal(15, signal.SIG_IGN)\\n"
              "print(os.getpid(), flush=True)\\n"
              "open('read', 'wb').write(os.read(int(os.environ['STILLHERE_STANDBY_FD']), 99))\\n"
              "os.rename('read', 'end')")
    Child(Plan(generation=1, token_prefix="t", command=(sys.executable, "-I", "-S", "-c", script),
               cwd=folder, env={}, session_id="x", session_dir=None, notify=True,
               socket_dir=folder),
          emit=lambda event: None, on_qr=lambda: None,
          on_line=lambda _, stream, line: print(line.decode(), flush=True))
    await asyncio.Event().wait()
asyncio.run(main())
"""
    root = Path(__file__).resolve().parents[2]
    with (
        tempfile.TemporaryDirectory(prefix="n") as name,
        subprocess.Popen(
            [sys.executable, "-c", code, name], cwd=root, stdout=subprocess.PIPE, text=True
        ) as parent,
    ):
        assert parent.stdout
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(5)
        try:
            assert select.select([pidfd], [], [], PATIENCE_S)[0]
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)  # orphaned, it became ours
        finally:
            os.close(pidfd)
        assert (Path(name) / "end").read_bytes() == b""


def test_only_what_it_needs_is_inherited() -> None:
    """Standard streams, the standby's pipe, the lock's byte: no other descriptor of ours."""

    async def run(folder: Path) -> None:
        lock = OwnerLock(folder, "x")
        with lock:
            fd = lock.generation_fd(1)
            ours = os.open("/dev/null", os.O_RDONLY)
            fcntl.fcntl(ours, fcntl.F_SETFD, 0)
            script = (
                "known = {0, 1, 2, int(os.environ['STILLHERE_STANDBY_FD'])}\n"
                "names = [(int(f), os.readlink('/proc/self/fd/' + f))"
                " for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f)]\n"
                "print([name for f, name in names if f not in known], flush=True)"
            )
            async with watched(script, lock=lock, lock_fd=fd) as bot:
                os.close(fd)
                await bot.heard(ev.TreeGone)
                assert bot.text.decode() == f"['{lock.path}']\n"
            os.close(ours)

    with tempfile.TemporaryDirectory(prefix="n") as folder:
        asyncio.run(run(Path(folder).resolve()))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("no-such-program-here",), "'no-such-program-here' is not on PATH"),
        (("./missing.sh",), "does not exist"),
        (("./plain.txt",), "is not executable"),
        ((sys.executable, "-c", "pass"), "could not be started: No such file"),
    ],
)
def test_a_program_that_cannot_start_is_told_clearly(
    tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    """Missing, not executable, no such folder: an error with a hint, and nothing left open."""
    (tmp_path / "plain.txt").write_text("text")
    cwd = tmp_path / "nowhere" if command[0] == sys.executable else tmp_path

    async def run() -> None:
        before = set(os.listdir("/proc/self/fd"))
        with tempfile.TemporaryDirectory(prefix="n") as sockets:
            with pytest.raises(SupervisorError) as failure:
                Watched(tmp_path, "", command=command, cwd=cwd, socket_dir=Path(sockets))
            assert words in failure.value.message
            assert failure.value.hint
            assert os.listdir(sockets) == []
        assert set(os.listdir("/proc/self/fd")) == before

    asyncio.run(run())
