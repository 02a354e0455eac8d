"""How far a long work is, told now and then."""

import time
from collections.abc import Callable
from threading import Lock

# Gets the bytes that are done and the bytes there are. It must return at once, and not raise; but
# where the work says that it may (a drill does), it may keep it waiting, or end it by raising.
Progress = Callable[[int, int], None]

_EVERY_S = 0.1


class Tally:
    """Counts the bytes of one work, from any thread. `progress` None: counts for nobody."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._next = time.monotonic() + _EVERY_S
        self._lock = Lock()

    def add(self, count: int) -> None:
        """Say that `count` more bytes are done; it is told every 100 ms."""
        if self._progress is None:
            return
        with self._lock:
            self._done = min(self._done + count, self._total)
            now = time.monotonic()
            if now >= self._next:
                self._next = now + _EVERY_S
                self._progress(self._done, self._total)
