"""How long to wait before a network is tried again."""

import random


class Backoff:
    """From `first_s` on each wait is twice the last, up to `most_s`; all within 30 %.

    At random: bots that lost a server together must not come back together.
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._next_s = first_s

    def reset(self) -> None:
        """Begin anew: it was there meanwhile."""
        self._next_s = self._first_s

    def wait_s(self) -> float:
        """Return how long to wait this time, in seconds."""
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, self._most_s)
        return wait_s * random.uniform(0.7, 1.3)  # noqa: S311 (jitter)
