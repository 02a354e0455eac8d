"""The owner's lock of one bot, and what an earlier supervisor may have left behind.

Methods with a `ticket` run in the session's thread and return the event that answers it.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, TypedDict, Unpack

from blake3 import blake3

from supervisor.config import BotConfig, Config
from supervisor.core import events as ev
from supervisor.core.errors import SessionBusy
from supervisor.loop.jobs import Jobs
from supervisor.process import survivors
from supervisor.session.lock import OwnerLock
from supervisor.session.manager import SessionManager


class Given(TypedDict):
    """What work on a session needs of the loop. `members(generation)`: its live pids."""

    control: str
    jobs: Jobs
    report: Callable[..., None]
    members: Callable[[int], list[int]]


class Owner:
    """One bot's session and its lock; of a companion only the lock."""

    def __init__(
        self, config: Config, bot: BotConfig, manager: SessionManager, **given: Unpack[Given]
    ) -> None:
        self.id = bot.session or ""
        self._manager = manager
        self._control = given["control"]
        self._jobs = given["jobs"]
        self._tell = given["report"]
        self._members = given["members"]
        self._bot = bot
        if self.id:
            self.folder = manager.folder(self.id)
            self._names = manager.names(self.id)
            self.lock = manager.lock_for(self.id)
        else:
            self.folder, self._names = bot.cwd, None
            self.lock = OwnerLock(config.sessions, f"companion-{bot.name}")
        place = os.fsencode(self.lock.path.absolute())  # a path need be no text
        self.token_prefix = blake3(place).hexdigest(length=8)

    def reconfigure(self, bot: BotConfig) -> None:
        """Go on by other settings, with the same session."""
        self._bot = bot
        self._manager.keep, self._manager.older = bot.snapshots.keep, bot.snapshots.older

    def claim(self, ticket: int) -> ev.Event:
        """Take byte 0."""
        try:
            self.lock.acquire(control=self._control)
        except SessionBusy as error:
            return ev.OwnerBusy(ticket, error.pid)
        newest = self._manager.record(self.id).generation if self.id else 0
        return ev.OwnerTaken(ticket, max(newest, *self.lock.survivors(), 0))

    def release(self) -> None:
        """Write down that nobody has the seat, and give byte 0 back."""
        if self.lock.held:
            if self.id:
                self._manager.set_seat(self.id, None)
            self.lock.release()

    def find_survivors(self, ticket: int) -> ev.Event:
        """Look for what an earlier supervisor left: by the lock's bytes and by the token."""
        pids, generations = self._survivors()
        if pids:
            alive = [pid for pid in pids if pid]
            self._report("survivors_found", pids=alive, generations=generations)
        return ev.SurvivorsFound(ticket, tuple(pids))

    def report_conflict(self, **fields: Any) -> None:
        """Say that another copy of the device is online, and who on this machine it may be."""
        self._report("conflict", pids=survivors.copies(self.folder, self._names), **fields)

    async def evict(
        self, ticket: int, post: Callable[[ev.Event], None], *, within_s: float, kill: bool
    ) -> None:
        """End them; after `within_s` the core has given up, and nobody looks for them any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await survivors.evict(lambda: self._survivors()[0], kill=kill)
            self._tell("survivors_gone")
            post(ev.SurvivorsGone(ticket))

    def _survivors(self) -> tuple[list[int], list[int]]:
        """Return pids and generations. A held byte with nobody to be seen counts as pid 0."""
        held = list(self.lock.survivors())
        pids = survivors.find(self.token_prefix, held, self.lock.path)
        return (pids or [0] * len(held)), held

    def locked(self) -> AbstractContextManager[object]:
        """Hold byte 0 meanwhile: the bot may be down, or the session another process's."""
        return nullcontext() if self.lock.held else self.lock

    def _report(self, event: str, **fields: Any) -> None:
        self._jobs.soon(self._tell, event, **fields)
