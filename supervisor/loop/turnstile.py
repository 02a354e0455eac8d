"""Lets few bots restart at a time, so that each gap stays short however many were saved at once.

All restarts together take as long either way: they share the same cores. But of two hundred that
run side by side, each would be offline for most of that time.
"""

import asyncio
import os
from collections.abc import Callable

MOST = 2
# A hand-over and a start beside it keep two cores busy. With two of each on two cores all were back
# no sooner, and the longest gap of two hundred was 180 to 260 ms instead of 65 to 71.
CORES_EACH = 2
# A bot that takes longer (its start may take a minute) does not keep the others waiting.
WITHIN_S = 2.0


def fitting(cores: int) -> int:
    """Return how many may restart at a time on so many cores."""
    return max(1, min(MOST, cores // CORES_EACH))


class Turnstile:
    """Gives turns, in the order in which they were asked for. Only in the loop's thread."""

    def __init__(self, most: int | None = None, within_s: float = WITHIN_S) -> None:
        self._most = most or fitting(len(os.sched_getaffinity(0)))
        self._within_s = within_s
        self._inside: dict[object, asyncio.TimerHandle] = {}
        self._waiting: dict[object, Callable[[], None]] = {}
        self._closed = False

    def close(self) -> None:
        """Let nobody in until it is opened again: who asks, waits."""
        self._closed = True

    def open(self) -> None:
        """Let in who waits, as far as there is room."""
        self._closed = False
        self._let_follow()

    def enter(self, who: object, go: Callable[[], None]) -> None:
        """Call `go` once it is the turn of `who`: at once, if there is room."""
        if who in self._inside:
            go()
        elif self._has_room():
            self._let_in(who, go)
        else:
            self._waiting[who] = go

    def leave(self, who: object) -> None:
        """Give the turn back, or no longer wait for one."""
        self._waiting.pop(who, None)
        timer = self._inside.pop(who, None)
        if timer is None:
            return
        timer.cancel()
        self._let_follow()

    def _has_room(self) -> bool:
        return not self._closed and len(self._inside) < self._most

    def _let_follow(self) -> None:
        while self._waiting and self._has_room():
            following = next(iter(self._waiting))
            self._let_in(following, self._waiting.pop(following))

    def _let_in(self, who: object, go: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._inside[who] = loop.call_later(self._within_s, self.leave, who)
        go()
