"""One way to a person: a queue, one attempt at a time, and patience with what does not answer.

Of each kind of each bot only the newest message waits. What can't be delivered is tried again,
ever more rarely, for a day; each message by itself, so that one that fails holds up no other.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from supervisor.service.alerting.cases import Alert

FIRST_S, MOST_S = 1.0, 300.0
GIVE_UP_S = 24 * 3600.0
# Who asks for a longer rest gets that: a person should hear of it on the same day.
RETRY_AFTER_MAX_S = 3600.0
QUEUE_MAX = 256


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt; of one that failed also `why`.

    `final`: no other try can help. `retry_after_s`: what the other side asks for. `said`: what a
    command printed.
    """

    ok: bool
    why: str = ""
    final: bool = False
    retry_after_s: float | None = None
    said: str = ""


@dataclass(slots=True)
class _Waiting:
    alert: Alert
    since: float
    next_at: float
    tries: int = 0


class Delivery:
    """Delivers alerts by `send`, and tells of it by `report(bot, event, fields)`."""

    def __init__(
        self,
        name: str,
        send: Callable[[Alert], Awaitable[Outcome]],
        report: Callable[[str, str, dict[str, Any]], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        first_s: float = FIRST_S,
    ) -> None:
        self.name = name
        self._send = send
        self._report = report
        self._clock = clock
        self._first_s = first_s
        self._queue: dict[tuple[str, str], _Waiting] = {}
        self._rests_until = 0.0
        self._more = asyncio.Event()
        self._ending = False
        self._task = asyncio.get_running_loop().create_task(self._go())

    @property
    def waiting(self) -> set[tuple[str, str]]:
        """Return of which bot and kind a message waits."""
        return set(self._queue)

    def put(self, alert: Alert) -> None:
        """Take an alert; what waits of the same kind of the same bot is outdated."""
        key, now = (alert.bot, alert.kind), self._clock()
        old = self._queue.pop(key, None)
        # The pause that a failing one has come to is the way's, not the message's.
        next_at, tries = (now, 0) if old is None else (old.next_at, old.tries)
        while len(self._queue) >= QUEUE_MAX:
            del self._queue[next(iter(self._queue))]
        self._queue[key] = _Waiting(alert, now, next_at, tries)
        self._more.set()

    async def close(self, within_s: float) -> None:
        """Try each that waits once more, at once, for so long; then let go."""
        self._ending = True
        self._more.set()
        await asyncio.wait({self._task}, timeout=within_s)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for waiting in self._queue.values():
            self._failed(waiting, "the supervisor stops")
        self._queue.clear()

    async def _go(self) -> None:
        while not self._ending:
            self._more.clear()
            first = min(self._queue.values(), key=lambda w: w.next_at, default=None)
            if first is None:
                await self._more.wait()
            elif (wait_s := max(first.next_at, self._rests_until) - self._clock()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), wait_s)
            else:
                await self._attempt(first)
        for waiting in list(self._queue.values()):
            await self._attempt(waiting)

    async def _attempt(self, waiting: _Waiting) -> None:
        alert = waiting.alert
        began = self._clock()
        outcome = await self._send(alert)
        now = self._clock()
        key = (alert.bot, alert.kind)
        current = self._queue.get(key)
        if outcome.ok:
            fields = {"kind": alert.kind, "status": alert.status, "by": self.name}
            told = fields | {"took_s": round(now - began, 3), "said": outcome.said}
            self._report(alert.bot, "alert_delivered", told)
        if current is not waiting:  # a newer one came meanwhile; it knows no failure yet
            return
        if outcome.ok:
            del self._queue[key]
        elif outcome.final or now - waiting.since > GIVE_UP_S:
            del self._queue[key]
            self._failed(waiting, outcome.why, outcome.said)
        else:
            self._again(waiting, outcome, now)

    def _again(self, waiting: _Waiting, outcome: Outcome, now: float) -> None:
        pause_s = min(MOST_S, self._first_s * 2 ** min(waiting.tries, 30))
        waiting.tries += 1
        waiting.next_at = now + pause_s * random.uniform(0.75, 1.0)  # noqa: S311 - no secret
        if outcome.retry_after_s is not None:
            rest_s = min(outcome.retry_after_s, RETRY_AFTER_MAX_S)
            self._rests_until = max(self._rests_until, now + rest_s)
        if waiting.tries == 1:  # once, not each time
            fields = {"kind": waiting.alert.kind, "by": self.name, "why": outcome.why}
            self._report(waiting.alert.bot, "alert_delayed", fields | {"said": outcome.said})

    def _failed(self, waiting: _Waiting, why: str, said: str = "") -> None:
        alert = waiting.alert
        fields = {"kind": alert.kind, "status": alert.status, "by": self.name}
        told = fields | {"tries": waiting.tries, "why": why, "said": said}
        self._report(alert.bot, "alert_failed", told)
