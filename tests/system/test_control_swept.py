"""The control socket of a supervisor that runs on: swept away, made anew, and never another's."""

import json
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system import others
from tests.system.harness import WAIT_S, Folder, running

BOT = """
[bot.calm]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }
session = false
"""
LACKING = others.lacking(others.NOBODY)
ASK = """
import contextlib, socket, sys
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):  # who is refused is so before it asks
        asking.sendall(b'{"command": "status"}\\n')
    print(asking.makefile().readline())
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of this test's own, in which supervisors of others are not swept, too."""
    place = Path(tempfile.mkdtemp(prefix="t"))  # short: a socket's path ends at 107 bytes
    place.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def folder(new_folder: Callable[..., Folder]) -> Folder:
    """A project with a bot that does nothing."""
    made = new_folder(BOT)
    made.module = "tests.system.watchful_supervisor"
    return made


def command(folder: Folder, place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as somebody would, in the same surroundings."""
    return subprocess.run(
        [sys.executable, "-m", "supervisor", *words],
        cwd=folder.root,
        env=folder.environment(TMPDIR=str(place)),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def socket_in(place: Path) -> Path:
    """Return the control socket."""
    (found,) = place.glob("stillhere-*/*.sock")
    return found


def private(path: Path) -> bool:
    """Say whether a socket, its lock and their folder are for their owner alone."""
    modes = [stat.S_IMODE(each.lstat().st_mode) for each in (path, path.with_suffix(".lock"))]
    return modes == [0o600, 0o600] and stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def by_age(path: Path) -> None:
    """Sweep as systemd does, what is older than nothing: a socket in use stays, its lock goes."""
    rules = path.parent.parent / "rules.conf"
    rules.write_text(f"d {path.parent} 0700 - - 0\n")
    subprocess.run(["systemd-tmpfiles", "--clean", str(rules)], check=True)


def test_it_is_there_again_however_it_went(folder: Folder, place: Path) -> None:
    """The socket, its lock, or their whole folder; commands work again, and nobody else gets it."""
    sweeps: list[Callable[[Path], None]] = [
        Path.unlink,
        lambda path: path.with_suffix(".lock").unlink(),
        lambda path: shutil.rmtree(path.parent),
    ]
    if shutil.which("systemd-tmpfiles"):
        sweeps.append(by_age)
    with running(folder, "run", TMPDIR=str(place)) as supervisor:
        supervisor.wait("verified", bot="calm")
        for sweep in sweeps:
            path = socket_in(place)
            assert private(path)
            before = path.stat().st_ino, path.with_suffix(".lock").stat().st_ino
            sweep(path)
            supervisor.until(path.with_suffix(".lock").exists, "there again")
            supervisor.until(supervisor.client.running, "in reach again")
            assert private(path)
            assert (path.stat().st_ino, path.with_suffix(".lock").stat().st_ino) != before
        status = command(folder, place, "status", "--json")
        assert json.loads(status.stdout)["supervisor"]["pid"] == supervisor.process.pid
        second = command(folder, place, "run")
        assert second.returncode == 1
        assert f"another supervisor (pid {supervisor.process.pid})" in second.stderr
    assert not list(place.glob("stillhere-*/*.sock"))


@pytest.mark.skipif(bool(LACKING), reason=LACKING)
def test_another_user_is_refused_even_where_the_modes_let_them_in(
    folder: Folder, place: Path
) -> None:
    """By the modes they can't come near; and the kernel's word on who asks is what counts."""
    with running(folder, "run", TMPDIR=str(place)) as supervisor:
        supervisor.wait("verified", bot="calm")
        path = socket_in(place)
        asking = [*others.as_user(others.NOBODY), others.python(), "-c", ASK, str(path)]
        barred = subprocess.run(asking, capture_output=True, text=True, check=False)
        assert "PermissionError" in barred.stderr
        path.parent.chmod(0o711)
        path.chmod(0o666)
        answer = json.loads(subprocess.run(asking, capture_output=True, check=True).stdout)
        assert answer["ok"] is False
        assert answer["error"]["message"] == "this supervisor is another user's"
        assert supervisor.client.call("ping") == {"pid": supervisor.process.pid}
