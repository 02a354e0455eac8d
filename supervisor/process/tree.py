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

PR_SET_CHILD_SUBREAPER = 36
TOKEN = "STILLHERE_TOKEN"  # noqa: S105 - a mark, no secret


def become_subreaper() -> None:
    """Adopt the orphans of our descendants. Raises: OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def children(pid: int) -> list[int]:
    """Return the direct children of `pid`, zombies included; none when it is gone."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError):
                text = Path(f"/proc/{pid}/task/{task}/children").read_text()
                found.extend(int(word) for word in text.split())
    return found


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
            text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError as error:
            raise ProcessLookupError(pid) from error
        words = text.rpartition(")")[2].split()
        self.state = words[0]
        self.parent = int(words[1])
        self.session = int(words[3])


def environment_has(pid: int, mark: bytes) -> bool:
    """Return whether an entry of the environment that `pid` was started with begins so."""
    try:
        data = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return data.startswith(mark) or b"\0" + mark in data


def members(root: int, token: str) -> list[int]:
    """Return what lives of the tree that began with `root`, parents first, zombies left out.

    A process belongs to it when it hangs below `root`, or hangs below us and has the tree's
    session or its token.
    """
    mark = f"{TOKEN}={token}".encode()
    below = {root, *descendants(root)}
    found: list[int] = []
    for pid in descendants(os.getpid()):
        try:
            stat = Stat(pid)
        except ProcessLookupError:
            continue
        if stat.state in "ZX":
            continue
        ours = pid in below or stat.parent in below or stat.session == root
        if ours or environment_has(pid, mark):
            below.add(pid)
            found.append(pid)
    return found


def marked(prefix: str) -> list[int]:
    """Return the live processes anywhere whose token begins with `prefix`, ourselves not."""
    mark = f"{TOKEN}={prefix}".encode()
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and environment_has(int(name), mark):
            with suppress(ProcessLookupError):
                if Stat(int(name)).state not in "ZX":
                    found.append(int(name))
    return sorted(found)


def lock_holders(lock: Path, held: Iterable[int]) -> list[int]:
    """Return who else holds one of these bytes of a lock file (proc_pid_fdinfo(5)).

    Not who merely has it open: that may be a command that looks. Without the right to see a
    process's descriptors, it is not found.
    """
    wanted = {str(byte) for byte in held}
    try:
        status = lock.stat()
    except OSError:
        return []
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and _holds(pid, status, wanted)]


def _holds(pid: int, lock: os.stat_result, wanted: set[str]) -> bool:
    with suppress(OSError):
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


def reap_orphans(known: Iterable[int]) -> None:
    """Collect the zombies that bots left to us.

    Only what is foreign is touched: our own helpers share our session (setsid(2)), and `known`
    are main processes that somebody waits for.
    """
    own_session = os.getsid(0)
    spared = set(known)
    for pid in children(os.getpid()):
        if pid in spared:
            continue
        with suppress(ProcessLookupError, ChildProcessError):
            stat = Stat(pid)
            if stat.state == "Z" and stat.session != own_session:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)
