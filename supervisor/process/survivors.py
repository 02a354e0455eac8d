"""What an earlier supervisor left running: found by its lock byte and its token, then ended.

And who else uses a session: only found, for it is not ours to end.
"""

import asyncio
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

from supervisor.process.signals import send
from supervisor.process.tree import lives_elsewhere, lock_holders, marked, with_descendants
from supervisor.session.copying.writers import users
from supervisor.session.names import Names

_POLL_S = 0.02


def find(token_prefix: str, held: Iterable[int], lock: Path) -> list[int]:
    """Return the pids of survivors: by the token, and by a held byte of the lock."""
    found = marked(token_prefix + ".")
    if held := list(held):
        found += [pid for pid in lock_holders(lock, held) if pid not in found]
    return [pid for pid in with_descendants(found) if lives_elsewhere(pid)]


def copies(folder: Path, names: Names | None = None) -> list[int]:
    """Return who else has a file below `folder` open, as far as we may look.

    `names`: what of the folder is meant; None: all.
    """
    return sorted(filter(lives_elsewhere, set(users(folder.resolve(), names))))


async def evict(look: Callable[[], list[int]], *, kill: bool) -> None:
    """Terminate (or kill) and thaw until nobody is left; whoever calls bounds it.

    They are no children of ours, so their end is looked for, not told.
    """
    loop = asyncio.get_running_loop()
    told: set[int] = set()
    while pids := await loop.run_in_executor(None, look):
        for pid in pids:
            if pid > 0 and pid not in told:
                told.add(pid)
                send(pid, signal.SIGKILL if kill else signal.SIGTERM)
                send(pid, signal.SIGCONT)  # after it: see `Child.terminate`
        await asyncio.sleep(_POLL_S)
