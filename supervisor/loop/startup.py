"""How bots come up together: companions first, then few at a time, none before its source is seen.

Decides nothing about one bot: each gets its order to start, in its turn.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from supervisor.core import events as ev
from supervisor.core.state import Phase
from supervisor.loop.charge import Charge
from supervisor.loop.desk import all_reach
from supervisor.watch.rivals import rival

TO_BE_SPAWNED = (
    Phase.CLAIMING,
    Phase.SWEEPING,
    Phase.EVICTING,
    Phase.CHECKING_SESSION,
    Phase.RESTORING,
    Phase.STARTING,
)
COMING_UP = (*TO_BE_SPAWNED, Phase.VERIFYING)
# A companion that is slower than this is not waited for: its bots can wait by themselves.
COMPANIONS_S = 3.0
WATCH_READY_S = 30.0
# So many bots come up at a time, each for so long at most: of two hundred at once each would take
# as long as all. Once its process runs the next begins: how long that takes to connect is no
# matter.
STARTS_MOST = 4
START_WITHIN_S = 2.0


async def start_all(charges: Iterable[Charge], stopping: Callable[[], bool]) -> None:
    """Start the companions, give them a moment to be there, then the bots.

    `stopping`: then nobody is started any more.
    """
    everybody = list(charges)
    companions = [charge for charge in everybody if charge.bot.session is None]
    for charge in () if stopping() else companions:
        charge.post(ev.StartRequested())
    ready = all_reach(companions, lambda state: state.phase not in COMING_UP)
    with suppress(TimeoutError):
        await asyncio.wait_for(ready, COMPANIONS_S)
    turns = asyncio.Semaphore(STARTS_MOST)
    async with asyncio.TaskGroup() as group:
        for charge in everybody:
            if charge not in companions:
                group.create_task(_start(charge, turns, stopping))


async def _start(charge: Charge, turns: asyncio.Semaphore, stopping: Callable[[], bool]) -> None:
    """Start a bot in its turn, and keep the turn until its process runs or it has failed.

    Unless a person has started or stopped it meanwhile.
    """
    await _watched(charge)
    async with turns:
        if stopping() or charge.decided:
            return
        if charge.bot.assumed:
            charge.report("assumed", what=list(charge.bot.assumed))
        if charge.watcher is not None and (by := rival(charge.bot.command, charge.bot.cwd)):
            charge.report("watched_twice", by=by)
        charge.post(ev.StartRequested())
        spawned = all_reach([charge], lambda state: state.phase not in TO_BE_SPAWNED)
        with suppress(TimeoutError):
            await asyncio.wait_for(spawned, START_WITHIN_S)


async def _watched(charge: Charge) -> None:
    """Wait until no change can be missed any more; not for ever, the bot matters more."""
    if charge.watcher is not None:
        try:
            await asyncio.wait_for(charge.watcher.ready.wait(), WATCH_READY_S)
        except TimeoutError:
            why = f"not in place after {WATCH_READY_S:g} s: changes are seen late"
            charge.report("watch_degraded", why=why)
