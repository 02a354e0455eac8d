"""Who belongs to a generation: its process tree, read from /proc.

We are the subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) of all that a bot starts, so that what a
bot leaves behind becomes our child: no descendant can leave the tree that hangs under us. The
token in the environment finds what an earlier supervisor left behind.
"""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from supervisor.session.sight import looked

PR_SET_CHILD_SUBREAPER = 36
TOKEN = "STILLHERE_TOKEN"  # noqa: S105 - a mark, no secret

_PIECE_BYTES = 65536
# Somebody may start threads without end.
_LOOKS_MAX = 5

# The main processes of all our bots, each from its start until it is reaped. Nothing that hangs
# below one can come to hang below another, so who asks for one tree need not look into theirs.
mains: set[int] = set()


def become_subreaper() -> None:
    """Adopt the orphans of our descendants. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _read(path: str) -> bytes:
    """Return what a file of /proc says, in a third of the time that a `Path` takes."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while piece := os.read(fd, _PIECE_BYTES):  # a short one is not yet the end in /proc
            data += piece
        return data
    finally:
        os.close(fd)


def children(pid: int) -> list[int]:
    """Return the direct children of `pid`, zombies included; none when it is gone."""
    found: list[int] = []
    with suppress(OSError):
        tasks: list[str] = []
        for _ in range(_LOOKS_MAX):
            # The children of a thread that ends go to another: it may have been read before.
            if (now := os.listdir(f"/proc/{pid}/task")) == tasks:
                break
            tasks = now
            for task in tasks:
                found += _children(pid, task)
            if len(tasks) == 1:
                break
    return list(dict.fromkeys(found))


def _children(pid: int, task: int | str) -> list[int]:
    try:
        return [int(word) for word in _read(f"/proc/{pid}/task/{task}/children").split()]
    except OSError:
        return []


def adopted() -> list[int]:
    """Return the children of our first thread, zombies included.

    It starts our bots, and the kernel gives it all orphans (find_new_reaper in kernel/exit.c:
    the first thread that lives). What our other threads start waits for them, and is no bot's.
    """
    return _children(os.getpid(), os.getpid())


def descendants(pid: int) -> Iterator[int]:
    """Yield all below `pid`, parents first."""
    for child in children(pid):
        yield child
        yield from descendants(child)


class Stat:
    """What /proc/<pid>/stat says of a process (proc_pid_stat(5))."""

    def __init__(self, pid: int) -> None:
        """Raises: ProcessLookupError when there is no such process."""
        try:
            text = _read(f"/proc/{pid}/stat")
        except OSError as error:
            raise ProcessLookupError(pid) from error
        words = text.rpartition(b")")[2].split(None, 20)
        self.state = words[0].decode()
        self.parent = int(words[1])
        self.session = int(words[3])
        self.threads = int(words[17])
        self.started = int(words[19])  # ticks since boot: with the number, only one process is it

    @property
    def alive(self) -> bool:
        """Whether it may still do something: also when its first thread alone has ended."""
        return self.state not in "ZX" or self.threads > 1


def held_from_outside(pid: int) -> str:
    """Return what holds a process still, such as a debugger; "" if nothing does.

    proc_pid_status(5): `t` is a stop for a tracer, `T` one by a signal.
    """
    try:
        text = _read(f"/proc/{pid}/status").decode("ascii", "replace")
    except OSError:
        return ""
    said = dict(line.partition(":")[::2] for line in text.splitlines())
    state, tracer = said.get("State", "").strip()[:1], said.get("TracerPid", "0").strip()
    if state == "t" or (state == "T" and tracer != "0"):
        return f"a debugger holds it still (pid {tracer})"
    return "a signal has stopped it (SIGSTOP)" if state == "T" else ""


def environment_has(pid: int, mark: bytes) -> bool:
    """Return whether an entry of the environment that `pid` was started with begins so."""
    try:
        data = looked(pid, lambda: _read(f"/proc/{pid}/environ"))
    except OSError:
        return False
    return data.startswith(mark) or b"\0" + mark in data


def members(root: int, token: str, seen: dict[int, int] | None = None) -> list[int]:
    """Return what lives of the tree that began with `root`, parents first.

    A process belongs to it when it hangs below one that does, or hangs below us and has the
    tree's session or its token, or was `seen` to belong: one that is killed has no token any more
    while it dies. What is below another bot's main process is not looked at.

    `seen` has the start of each process by its number; who is found is added to it.
    """
    mark = f"{TOKEN}={token}".encode()
    found: dict[int, None] = {}
    seen = {} if seen is None else seen
    known = mains - {root}
    # Whose parent ends meanwhile becomes our child: only a look that finds nobody new is the last.
    while fresh := [pid for pid in (root, *adopted()) if pid not in known]:
        known.update(fresh)
        todo = [(pid, pid == root) for pid in fresh]
        while todo:
            pid, belongs = todo.pop()
            try:
                stat = Stat(pid)
            except ProcessLookupError:
                continue
            belongs = (
                belongs
                or seen.get(pid) == stat.started
                or stat.session == root
                or environment_has(pid, mark)
            )
            if belongs and stat.alive:
                found[pid] = None
                seen[pid] = stat.started
            todo += [(child, belongs) for child in children(pid)]
    return list(found)


def marked(prefix: str) -> list[int]:
    """Return the live processes anywhere whose token begins with `prefix`.

    Neither ourselves nor our bots' main processes: who asks looks for others'.
    """
    mark = f"{TOKEN}={prefix}".encode()
    found: list[int] = []
    pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    for pid in pids - mains - {os.getpid()}:
        if environment_has(pid, mark):
            with suppress(ProcessLookupError):
                if Stat(pid).alive:
                    found.append(pid)
    return sorted(found)


def lives_elsewhere(pid: int) -> bool:
    """Return whether it is a live process, neither us nor one that hangs below us.

    That is asked from below: what hangs below us may be much.
    """
    above = pid
    while above > 1:
        if above == os.getpid():
            return False
        try:
            above = Stat(above).parent
        except ProcessLookupError:
            if above == pid:
                return False  # it is gone
            above = pid  # one between ended meanwhile: who hung below it has another parent now
    return True


def lock_holders(lock: Path, held: Iterable[int]) -> list[int]:
    """Return who else holds one of these bytes of a lock file (proc_pid_fdinfo(5)).

    Not who merely has it open: that may be a command that looks. Without the right to see a
    process's descriptors, it is not found.
    """
    wanted = {str(byte) for byte in held}
    try:
        status = lock.stat()
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    return [pid for pid in pids if pid != os.getpid() and _holds(pid, status, wanted)]


def _holds(pid: int, lock: os.stat_result, wanted: set[str]) -> bool:
    with suppress(OSError):
        return looked(pid, lambda: _shows(pid, lock, wanted))
    return False


def _shows(pid: int, lock: os.stat_result, wanted: set[str]) -> bool:
    """Return whether its descriptors hold it. Raises: PermissionError."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):  # it was closed meanwhile
                status = Path(f"/proc/{pid}/fd/{fd}").stat()
                if (status.st_dev, status.st_ino) != (lock.st_dev, lock.st_ino):
                    continue
                lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines()
                # The last two words of a lock's line are its first and last byte.
                if any(line.startswith("lock:") and line.split()[-2] in wanted for line in lines):
                    return True
    return False


def with_descendants(pids: Iterable[int]) -> list[int]:
    """Return `pids` and all below them, parents first, each once."""
    found: dict[int, None] = {}
    for pid in pids:
        found[pid] = None
        found.update(dict.fromkeys(descendants(pid)))
    return list(found)


def reap_orphans(known: Iterable[int] = ()) -> None:
    """Collect the zombies that bots left to us.

    Only what is foreign is touched: our own helpers share our session (setsid(2)), and somebody
    waits for our bots' main processes, and for those that are `known`.
    """
    own_session = os.getsid(0)
    spared = mains.union(known)
    for pid in adopted():
        if pid in spared:
            continue
        with suppress(ProcessLookupError, ChildProcessError):
            stat = Stat(pid)
            if stat.state == "Z" and stat.session != own_session:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
