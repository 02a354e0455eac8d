"""Looks after one bot that is up: whether it still lives, and keeps within its limits.

It only looks, and tells the core. What it asks is bounded and holds nobody up. Silence that we
caused ourselves, or a debugger, is no hang.
"""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.config import BotConfig
from supervisor.core.events import Event, Hung, LimitExceeded
from supervisor.process import probes
from supervisor.process.child import Child
from supervisor.process.tree import held_from_outside

_MEMORY_EVERY_S = 5.0
_TICK_MOST_S = 1.0
# A tick that comes so much too late: not the bot stood still, but we, or the machine.
_LATE_S = 1.0
_MB = 1 << 20
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class Health:
    """Of one bot. `begin` when a generation is up, `end` when it is not any more.

    `prefix`: see `probes.answers`.
    """

    def __init__(
        self,
        bot: BotConfig,
        *,
        post: Callable[[Event], None],
        report: Callable[..., None],
        environ: Callable[[], Mapping[str, str]],
        prefix: Sequence[str] = (),
    ) -> None:
        self._bot = bot
        self._post = post
        self._report = report
        self._environ = environ
        self._prefix = prefix
        self._child: Child | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun_at = 0.0
        self._due_at = 0.0
        self._held = False
        self._misses = 0
        self._ask_at = 0.0
        self._weigh_at = 0.0
        self._over_since: float | None = None

    def reconfigure(self, bot: BotConfig) -> None:
        """Look by other limits from now on."""
        self._bot = bot
        if self._child is not None:
            self.begin(self._child)

    def begin(self, child: Child) -> None:
        """Look after this generation."""
        self.end()
        self._child = child
        limits = self._bot.limits
        if not (self._watches or limits.alive or limits.memory_mb):
            return  # until a reload says otherwise
        now = time.monotonic()
        self._begun_at, self._held = now, False
        self._misses, self._ask_at = 0, now + limits.alive_every_s
        self._over_since, self._weigh_at = None, now
        self._next(now)

    def end(self) -> None:
        """Look no more; what was asked gets no answer."""
        self._child = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            task.cancel()

    @property
    def _watches(self) -> bool:
        """Whether it said that it would tell us at times that it is alive."""
        return self._bot.limits.watchdog_s is not None and self._bot.ready.by_contract

    def _next(self, now: float) -> None:
        limits = self._bot.limits
        waits = [_TICK_MOST_S, limits.memory_grace_s / 2, limits.alive_every_s]
        wait_s = min(*waits, *([limits.watchdog_s / 4] if limits.watchdog_s else []))
        self._due_at = now + wait_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._due_at > _LATE_S:
            self._begun_at = now  # what it said meanwhile is still to be read
            self._misses = 0
        self._next(now)
        if self._watches:
            self._watch(now)
        if self._child is not None and self._bot.limits.alive and now >= self._ask_at:
            self._ask_at = now + self._bot.limits.alive_every_s
            self._do(self._ask(self._child))
        if self._child is not None and self._bot.limits.memory_mb and now >= self._weigh_at:
            self._weigh_at = now + min(_MEMORY_EVERY_S, self._bot.limits.memory_grace_s / 2)
            self._do(self._weigh(self._child))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Is it alive?

    def _watch(self, now: float) -> None:
        child, most_s = self._child, self._bot.limits.watchdog_s
        assert child is not None and most_s is not None  # noqa: S101, PT018 - ticks come only then
        beat_at = child.heard.beat_at or 0.0
        silent_s = now - max(self._begun_at, beat_at)
        if silent_s <= most_s:
            self._held = self._held and beat_at < self._begun_at  # until it speaks again
        elif not self._is_held(child):
            self._hangs(child, f"no WATCHDOG=1 for {silent_s:.1f} s")

    def _is_held(self, child: Child) -> bool:
        """Return whether somebody stopped it, a debugger say: that is for them to end."""
        held = held_from_outside(child.pid)
        if held and not self._held:
            self._report("watchdog_held", generation=child.generation, why=held)
        self._held = bool(held)
        if held:
            self._begun_at = time.monotonic()  # it has its whole time again once it goes on
        return self._held

    def _hangs(self, child: Child, why: str) -> None:
        self._post(Hung(child.generation, why))

    async def _ask(self, child: Child) -> None:
        limits = self._bot.limits
        assert limits.alive is not None  # noqa: S101 - asked only then
        try:
            well = await probes.answers(
                limits.alive,
                cwd=self._bot.cwd,
                env=self._environ(),
                within_s=limits.alive_every_s,
                prefix=self._prefix,
            )
        except probes.CannotAsk:
            return  # no descriptor is left, say: it is asked again
        if child is not self._child:
            return
        if well and not self._watches:
            self._held = False
        # Who is held still has all its tries again once it goes on.
        self._misses = 0 if well or self._is_held(child) else self._misses + 1
        if self._misses >= limits.alive_misses:
            # What is asked may have a key in it: only its kind is said.
            kind = limits.alive.kind
            self._hangs(child, f"no answer to its `alive` check ({kind}), {self._misses} times")

    # Does it use too much?

    async def _weigh(self, child: Child) -> None:
        limits = self._bot.limits
        assert limits.memory_mb is not None  # noqa: S101 - weighed only then
        weight = await asyncio.to_thread(_rss_bytes, child)
        if child is not self._child:
            return
        now = time.monotonic()
        if weight <= limits.memory_mb * _MB:
            self._over_since = None
        elif self._over_since is None:
            self._over_since = now
        elif now - self._over_since >= limits.memory_grace_s:
            over_s = now - self._over_since
            why = (
                f"it uses {weight // _MB} MB for {over_s:.0f} s; `memory_mb` is {limits.memory_mb}"
            )
            self._post(LimitExceeded(child.generation, why))


def _rss_bytes(child: Child) -> int:
    """Return what is resident of a generation's whole tree; shared pages count in each process."""
    total = 0
    for pid in child.members():
        with suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return total
