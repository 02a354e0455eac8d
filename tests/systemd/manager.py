"""A real systemd of the tests' own: booted in namespaces, asked by nsenter, gone afterwards."""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

WAIT_S = 30.0
INNER = Path(__file__).with_name("inner.py")


def lacking() -> str:
    """Return why no systemd can be booted here, and what would help; "" if it can."""
    if os.geteuid():
        return "to boot a systemd of our own takes root"
    if not Path("/lib/systemd/systemd").exists():
        return "systemd is not installed: its package would run this"
    for tool in ("unshare", "nsenter", "pivot_root", "mount", "ip"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if _cgroups() is None:
        return "there is no cgroup v2 hierarchy that we may write to"
    return ""


def _cgroups() -> Path | None:
    for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
        if (path / "cgroup.procs").exists() and os.access(path, os.W_OK):
            return path
    return None


def until(look: Callable[[], bool], words: str, timeout_s: float = WAIT_S) -> None:
    """Wait until `look` says yes: systemd tells nobody of these."""
    pause, end = threading.Event(), time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < end, f"never {words}"
        pause.wait(0.05)


class Manager:
    """The systemd whose pid (out here) is `pid`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def run(
        self, *words: str, here: str = "/", check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, to its end."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-a", f"--wdns={here}", *words],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done

    def fact(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").stdout.strip()

    @property
    def root(self) -> Path:
        """Its root folder, as it is seen from here."""
        return Path("/proc", str(self.pid), "root")

    def processes(self, unit: str) -> list[int]:
        """Return who lives in a unit's cgroup, by the numbers that they have inside.

        Of a unit that has stopped systemd tells no cgroup, even if somebody still lives there.
        """
        group = f"/sys/fs/cgroup/system.slice/{unit}"
        words = ("find", group, "-name", "cgroup.procs", "-exec", "cat", "{}", "+")
        return [int(word) for word in self.run(*words, check=False).stdout.split()]


@contextmanager
def booted(work: Path, shown: Mapping[Path, str]) -> Iterator[Manager]:
    """Boot one for the block. `shown`: folders of ours, and where they are inside."""
    base = _cgroups()
    assert base is not None
    group = base / f"stillhere-test-{os.getpid()}"
    group.mkdir()
    enter = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"'
    alone = ["--pid", "--mount", "--cgroup", "--uts", "--ipc", "--net", "--kill-child=KILL"]
    pairs = [f"{source}={place}" for source, place in shown.items()]
    words = ["unshare", "--fork", *alone, sys.executable, str(INNER), str(work), *pairs]
    with (work.parent / "boot.log").open("wb") as log:
        outer = subprocess.Popen(
            ["sh", "-c", enter, "sh", str(group), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found: list[Manager] = []

        def up() -> bool:
            assert outer.poll() is None, (work.parent / "boot.log").read_text()[-3000:]
            if not found and (pid := _systemd_below(outer.pid)):
                found.append(Manager(pid))
            if not found:
                return False
            said = found[0].run("systemctl", "is-system-running", check=False).stdout
            return said.strip() in ("running", "degraded")

        until(up, "booted")
        yield found[0]
    finally:
        outer.kill()  # and with it its pid namespace, which is everybody in there
        outer.wait(10)
        until(lambda: _removed(group), "removed the cgroup", 10)


def _systemd_below(outer: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{outer}/task/{outer}/children").read_text()
        pid = int(text.split()[0])
        if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
            return pid
    return 0


def _removed(group: Path) -> bool:
    for folder, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
    return not group.exists()
