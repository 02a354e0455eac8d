"""What an earlier supervisor left running: found by its lock byte and its token, then ended."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from supervisor.process.signals import send
from supervisor.process.tree import descendants, marked, with_descendants

_POLL_S = 0.02


def find(token_prefix: str, held: Iterable[int], lock: Path) -> list[int]:
    """Return the pids of survivors: by the token, and by an open lock file if a byte is held."""
    own = {os.getpid(), *descendants(os.getpid())}
    found = marked(token_prefix + ".")
    if list(held):
        found += [pid for pid in _holders(lock) if pid not in found]
    return [pid for pid in with_descendants(found) if pid not in own]


def _holders(lock: Path) -> list[int]:
    """Return who has the lock file open; without the right to look, nobody."""
    try:
        wanted = lock.stat()
    except OSError:
        return []
    found: list[int] = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            for fd in os.listdir(f"/proc/{name}/fd"):
                status = Path(f"/proc/{name}/fd/{fd}").stat()
                if (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino):
                    found.append(int(name))
                    break
        except OSError:
            continue
    return found


async def evict(look: Callable[[], list[int]], *, kill: bool) -> None:
    """Thaw and terminate (or kill) until nobody is left; whoever calls bounds it.

    They are no children of ours, so their end is looked for, not told.
    """
    loop = asyncio.get_running_loop()
    told: set[int] = set()
    while pids := await loop.run_in_executor(None, look):
        for pid in pids:
            if pid > 0 and pid not in told:
                told.add(pid)
                send(pid, signal.SIGCONT)
                send(pid, signal.SIGKILL if kill else signal.SIGTERM)
        await asyncio.sleep(_POLL_S)
