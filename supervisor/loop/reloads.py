"""A reload: a new configuration is taken, and only the bots that it changes notice.

What it changes is decided by `service/reload.py`; here it is done. A configuration with a mistake
changes nothing.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Protocol

from supervisor.config import BotConfig, Config
from supervisor.core import events as ev
from supervisor.core.errors import ConfigError, SupervisorError
from supervisor.core.state import Phase
from supervisor.loop import handoff
from supervisor.loop.charge import Charge
from supervisor.loop.desk import stop_is_over
from supervisor.process import user
from supervisor.service.reload import Changes, changes, problems

# Work on a session may have to end before a bot is let go.
CLOSE_S = 90.0


class Keeper(Protocol):
    """Who keeps the bots: the runner."""

    config: Config
    charges: dict[str, Charge]

    @property
    def chosen(self) -> Collection[str] | None:
        """The only bots that are ours; None: all of the config."""

    @property
    def stopping(self) -> bool:
        """Whether all is to end."""

    async def take(self, config: Config, digest: str) -> None:
        """Go on by this one, in all that is no bot's. `digest`: what its file is like.

        Raises: SupervisorError if a part of it can't be taken; the rest is.
        """

    def admit(self, bot: BotConfig) -> Charge:
        """Care for one more; it is not started yet."""

    async def dismiss(self, name: str) -> None:
        """Care no more for one that is down."""

    async def start(self, charges: Collection[Charge]) -> None:
        """Start these, few at a time."""

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        """Write a line of the journal."""


class Reloads:
    """One at a time; `load` reads the configuration anew, None: there is none to read."""

    def __init__(self, keeper: Keeper, load: Callable[[], Config] | None) -> None:
        self._keeper = keeper
        self._load = load
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._looking: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether one goes on."""
        return self._turn.locked() or self._task is not None

    def request(self) -> None:
        """Reload soon; what is asked for meanwhile is done once more after it."""
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._serve())

    def request_look(self) -> None:
        """Look soon, as `look` does; one look is enough for all that is asked meanwhile."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self.look())

    async def _serve(self) -> None:
        try:
            while self._again:
                self._again = False
                with suppress(SupervisorError):  # it is told already
                    await self.reload()
        finally:
            self._task = None

    async def close(self) -> None:
        """Let what is under way come to its end: all is being stopped, so that is soon."""
        self._again = False
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S), self._turn:
                pass
        for task in (self._task, self._looking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def reload(self) -> dict[str, Any]:
        """Take the configuration as it is now; return whom it changed, and what it could not.

        Raises: SupervisorError, with every problem, if it can't be taken: nothing was changed.
        """
        async with self._turn:
            keeper = self._keeper
            # Before: what is written meanwhile must not pass for what was read.
            digest = handoff.digest(keeper.config.path)
            try:
                new = await self._read()
            except SupervisorError as error:
                keeper.tell("reload_refused", {"why": error.message, "hint": error.hint})
                raise
            what = changes(keeper.config, new, keeper.chosen)
            keeper.tell("reloading", {})
            missed = []
            try:
                await keeper.take(new, digest)
            except SupervisorError as error:
                keeper.tell("reload_incomplete", {"why": error.message})
                missed.append(error.message)
            missed += await self._apply(new, what)
            done = {key: list(names) for key, names in asdict(what).items()}
            done["incomplete"] = missed
            keeper.tell("reloaded", done)
            return done

    async def look(self) -> None:
        """Say where a saved source puts its session now, if that is not the place that is kept.

        It is told and not done: what lies there may be another account's.
        """
        if self._load is None or self.under_way:
            return
        with suppress(SupervisorError, OSError):
            new = await asyncio.to_thread(self._load)
            for name, charge in self._keeper.charges.items():
                now = new.bots.get(name, charge.bot)
                old_place, new_place = (self._place(each) for each in (charge.bot, now))
                if old_place != new_place:
                    charge.report("session_elsewhere", place=new_place, before=old_place)

    def _place(self, bot: BotConfig) -> str:
        where = self._keeper.config.session_dir(bot)
        return f"{where} ({', '.join(bot.session_files)})" if bot.session_files else str(where)

    async def _read(self) -> Config:
        if self._load is None or self._keeper.stopping:
            raise SupervisorError("there is no config to reload now")
        try:
            new = await asyncio.to_thread(self._load)
        except OSError as error:
            why = f"the config can't be read: {error}"
            raise SupervisorError(why, "nothing was changed: the old one goes on") from error
        user.check(bot.user for bot in new.bots.values())
        if found := problems(self._keeper.config, new, self._keeper.chosen):
            raise ConfigError(found, "nothing was changed: the old one goes on")
        return new

    async def _apply(self, new: Config, what: Changes) -> list[str]:
        """Do it; return what could not be done, and why."""
        keeper = self._keeper
        for name in what.changed:
            keeper.charges[name].reconfigure(new.bots[name])
        wanted: set[str] = set()
        stops = [keeper.charges[name] for name in (*what.removed, *what.restarted)]
        await self._bring_down(stops, wanted)  # all at a time
        to_start, stuck = [], []
        for name in (*what.added, *what.restarted):
            old = keeper.charges.get(name)
            if keeper.stopping:
                return []
            if old is not None and await self._bring_down([old], wanted):
                stuck.append(old)  # it goes on by its old settings
                continue
            charge = await self._renew(new.bots[name], old, wanted=old is None or name in wanted)
            if not charge.decided:
                to_start.append(charge)
        for name in what.removed:
            if left := await self._bring_down([keeper.charges[name]], wanted):
                stuck += left
            else:
                await keeper.dismiss(name)
        for charge in stuck:
            charge.report("reload_incomplete", why=charge.state.why)
        self._put_in_order(new)
        await keeper.start(to_start)
        return [f"{charge.bot.name}: {charge.state.why}" for charge in stuck]

    async def _renew(self, bot: BotConfig, old: Charge | None, *, wanted: bool) -> Charge:
        """Care for a bot that is new, or down, by its new settings."""
        keeper = self._keeper
        if old is not None:
            await keeper.dismiss(bot.name)
        charge = keeper.admit(bot)
        charge.decided = not wanted  # a person has stopped it, or its own end: it stays down
        if old is not None:
            charge.succeed(old)
            if old.state.paused:
                charge.post(ev.PauseRequested())
        return charge

    async def _bring_down(self, charges: Collection[Charge], wanted: set[str]) -> list[Charge]:
        """Stop these in good order; return who can't be stopped.

        `wanted` gets the names of those who are to be up: also of who is still to be started, and
        of who is started by a person meanwhile. Whoever is down may be started the next moment.
        """
        for charge in charges:
            _stop(charge, wanted)
        for charge in charges:
            while not stop_is_over(charge.state):
                charge.changed.clear()
                await charge.changed.wait()
                _stop(charge, wanted)
        return [charge for charge in charges if charge.state.phase is Phase.FAILED]

    def _put_in_order(self, new: Config) -> None:
        """List the bots as the file does."""
        charges, place = self._keeper.charges, {name: n for n, name in enumerate(new.bots)}
        listed = sorted(charges.items(), key=lambda item: place.get(item[0], len(place)))
        charges.clear()
        charges.update(listed)


def _stop(charge: Charge, wanted: set[str]) -> None:
    if charge.state.wanted_up or not charge.decided:
        wanted.add(charge.bot.name)
        charge.post(ev.StopRequested())
