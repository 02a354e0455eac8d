"""How far long work on a session is, as an event that a person can watch."""

import time
from collections.abc import Callable
from contextlib import suppress

EVERY_S = 1.0
# After a silence like this, what is heard next is other work.
_SILENCE_S = 5.0


class Gauge:
    """Passes on what the session room says, from any thread: once a second, after the first.

    `doing`: what is under way, in words. `tell`: gets the event's name and its fields. `heard`:
    how often something was said.
    """

    def __init__(
        self,
        doing: Callable[[], str],
        tell: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doing = doing
        self._tell = tell
        self._clock = clock
        self._heard_at = float("-inf")
        self._told_at = 0.0
        self._done_bytes = 0
        self.heard = 0

    def __call__(self, done_bytes: int, total_bytes: int) -> None:
        """Hear how far it is."""
        self.heard += 1
        now = self._clock()
        if now - self._heard_at > _SILENCE_S or done_bytes < self._done_bytes:
            self._told_at = now
        self._heard_at, self._done_bytes = now, done_bytes
        if now - self._told_at >= EVERY_S:
            self._told_at = now
            # The loop that is told may be gone; the work goes on to its end.
            with suppress(RuntimeError):
                self._tell(
                    "session_progress",
                    doing=self._doing(),
                    done_bytes=done_bytes,
                    total_bytes=total_bytes,
                )
