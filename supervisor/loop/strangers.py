"""Messages to a bot's notify socket that are not the bot's own: counted, and told now and then.

Whoever sends them can send as many as they like, so nothing is done for each but to count it.
"""

import asyncio
import time
from collections.abc import Callable

from supervisor.core.pacing import Pace, step

EVERY_S = 60.0


class Strangers:
    """Of one bot, over its generations. `total`: how many so far; `report` writes an event.

    `every_s`: at most one event in so many seconds, and a last one at the end.
    """

    def __init__(self, report: Callable[..., None], every_s: float = EVERY_S) -> None:
        self.total = 0
        self._report = report
        self._every_s = every_s
        self.pace = Pace()
        self._timer: asyncio.TimerHandle | None = None

    def came(self) -> None:
        """Count one."""
        self.total += 1
        self._step(1)

    def succeed(self, old: "Strangers") -> None:
        """Go on where another one ended."""
        self.total, self.pace = old.total, old.pace

    def adopt(self, total: int, untold: int) -> None:
        """Go on where the program before ours ended; what it had not told is told now."""
        self.total, self.pace = total, Pace(untold)
        self._step(0)

    def close(self) -> None:
        """Tell what was not told yet, and wait no more."""
        self._wait_no_longer()
        if self.pace.untold:
            self._report("notify_strangers", count=self.pace.untold)
            self.pace = Pace(0, self.pace.quiet_until)

    def _step(self, came: int) -> None:
        now = time.monotonic()
        self.pace, told = step(self.pace, came, now, self._every_s)
        if told:
            self._wait_no_longer()
            self._report("notify_strangers", count=told)
        elif self.pace.untold and self._timer is None:
            wait_s = self.pace.quiet_until - now
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._due)

    def _due(self) -> None:
        self._timer = None
        self._step(0)

    def _wait_no_longer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
