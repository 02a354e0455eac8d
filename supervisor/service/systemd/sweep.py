"""What systemd runs once our main process is dead: ends what that left in the service's cgroup.

The bots' kernel has told them already (PR_SET_PDEATHSIG, decisions/003), and a second SIGTERM means
"at once" to many programs. So their main processes get their stop timeout first; whoever is left
then is asked, and soon after killed. Without a sandbox's view of /proc it works, too: it uses the
cgroup's list and pidfds alone. It never looks beyond its own cgroup, and only where systemd has
started it as ExecStopPost= (decisions/020). Imports little: a stop waits for it.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from supervisor.process.command import death_signal
from supervisor.process.signals import send

# What systemd sets for ExecStopPost= alone (systemd.exec(5)).
_MARK = "SERVICE_RESULT"
_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_V1 = Path("/sys/fs/cgroup/systemd")
# From the request to the kill, for those who had no word from the kernel; and for the dying.
LAST_WORD_S = 1.0
DEATH_S = 2.0
_ROUNDS = 2
# Whom a bot starts while it ends is not in our first list.
_LOOK_EVERY_S = 0.25


def bound_s(patience_s: float) -> float:
    """Return the longest that a sweep may take, in seconds."""
    return patience_s + LAST_WORD_S + _ROUNDS * DEATH_S


def own_cgroup(text: str, exists: Callable[[Path], bool] = Path.exists) -> Path | None:
    """Return the folder of the service that /proc/self/cgroup tells of, if it is a service's.

    A shell has a cgroup as well, and all its programs in it: only NAME.service will do.
    """
    for line in text.splitlines():
        number, controllers, path = line.split(":", 2)
        if not path.rpartition("/")[2].endswith(".service"):
            continue
        if number == "0":
            roots: tuple[Path, ...] = _ROOTS
        elif controllers == "name=systemd":
            roots = (_V1,)
        else:
            continue
        for root in roots:
            if exists(folder := root / path.lstrip("/") / "cgroup.procs"):
                return folder.parent
    return None


def others(folder: Path) -> list[int]:
    """Return who lives in a cgroup and in those below it, without ourselves."""
    found: dict[int, None] = {}
    for place, _, names in os.walk(folder):
        if "cgroup.procs" in names:
            with suppress(OSError):  # the group, or all of it, went meanwhile
                words = Path(place, "cgroup.procs").read_text("ascii").split()
                found.update(dict.fromkeys(map(int, words)))
    found.pop(os.getpid(), None)
    found.pop(0, None)  # who lives in a pid namespace that is not ours
    return list(found)


def sweep(look: Callable[[], list[int]], patience_s: float, *, told: bool) -> tuple[int, int]:
    """End whom `look` returns; return how many there were, and how many had to be killed.

    `told`: the bots' main processes have been asked to end. Each leads a session (setsid(2)). It
    ends what it has started by itself, as in an ordinary stop: nobody is asked before they are
    gone, or `patience_s` is over. Bounded by `bound_s`.
    """
    seen = set(look())
    until = time.monotonic() + patience_s
    if told:
        for pid in seen:
            send(pid, signal.SIGCONT)
        _wait(lambda: list(filter(_leads, look())), patience_s, seen)
    for pid in look():
        seen.add(pid)
        send(pid, signal.SIGTERM)
        send(pid, signal.SIGCONT)  # after it: thawed first, it could go back to sleep over it
    left = _wait(look, max(until - time.monotonic(), LAST_WORD_S), seen)
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        for pid in left:
            killed.add(pid)
            send(pid, signal.SIGKILL)
        left = _wait(look, DEATH_S, seen)
    return len(seen), len(killed)


def _leads(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def _wait(look: Callable[[], list[int]], most_s: float, seen: set[int]) -> list[int]:
    """Wait until `look` finds nobody, at most so long; return who is left, add all to `seen`."""
    until = time.monotonic() + most_s
    while pids := look():
        seen.update(pids)
        rest_s = until - time.monotonic()
        if rest_s <= 0:
            return pids
        _until_one_ends(pids, min(rest_s, _LOOK_EVERY_S))
    return []


def _until_one_ends(pids: list[int], most_s: float) -> None:
    fds: list[int] = []
    try:
        for pid in pids:
            with suppress(OSError):  # it is gone
                fds.append(os.pidfd_open(pid))
        waiter = select.poll()
        for fd in fds:
            waiter.register(fd, select.POLLIN)
        if len(fds) == len(pids):
            waiter.poll(most_s * 1000)
    finally:
        for fd in fds:
            os.close(fd)


def main() -> int:
    """Sweep, and say what there was; the argument is the patience in seconds."""
    if _MARK not in os.environ:
        sys.stderr.write("error: only systemd runs this, as ExecStopPost=\n")
        return 2
    folder = own_cgroup(Path("/proc/self/cgroup").read_text("utf-8", "surrogateescape"))
    if folder is None:
        sys.stderr.write("error: the service's cgroup cannot be seen: nothing was swept\n")
        return 1
    patience_s = float(sys.argv[1])
    began = time.monotonic()
    there, killed = sweep(lambda: others(folder), patience_s, told=bool(death_signal()))
    if there:
        took_s = time.monotonic() - began
        forced = f", {killed} by SIGKILL" if killed else ""
        sys.stdout.write(f"swept {there} left-over processes in {took_s:.1f} s{forced}\n")
    left = others(folder)
    if left:
        sys.stderr.write(f"error: still alive: {', '.join(map(str, left))}\n")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
