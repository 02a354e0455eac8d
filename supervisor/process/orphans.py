"""When the zombies that bots leave to us are collected: soon after one ends, many at once.

It never waits, and takes nobody from who waits for it (see `tree.reap_orphans`).
"""

import asyncio
import signal
from collections.abc import Collection

from supervisor.process.tree import reap_orphans

REST_S = 0.1


class Orphanage:
    """Collects from `open` to `close`, in the first thread; not those that are `known`.

    After one signal it listens again only after a rest. For Python writes each signal that it
    handles into asyncio's pipe: where hundreds end in one turn of the loop, as when many bots
    start, it overflows, and what is lost may be SIGTERM.
    """

    def __init__(self, known: Collection[int] = (), *, rest_s: float = REST_S) -> None:
        """`known`: may change. `rest_s`: how long it does not listen after a signal."""
        self._known = known
        self._rest_s = rest_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._open = False

    def open(self) -> None:
        """Collect who has ended already, and from now on who ends."""
        self._open = True
        self._listen()

    def close(self) -> None:
        """Collect no more; the signal means nothing again."""
        self._open = False
        if self._timer is not None:
            self._timer.cancel()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _listen(self) -> None:
        # Before the look: who ends after it is told of.
        signal.signal(signal.SIGCHLD, self._heard)
        signal.siginterrupt(signal.SIGCHLD, False)  # noqa: FBT003 - the library's signature
        reap_orphans(self._known)

    def _heard(self, _number: int, _frame: object) -> None:
        # Ignored, not SIG_IGN: with that the kernel would collect our bots, too.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._loop.call_soon_threadsafe(self._rest)

    def _rest(self) -> None:
        if self._open:
            self._timer = self._loop.call_later(self._rest_s, self._listen)
