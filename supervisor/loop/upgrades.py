"""An upgrade in place: the supervisor becomes its new program, and the bots do not notice.

First the new code is rehearsed in a process of its own: whatever it can't do, nothing was changed.
Then nobody is let begin a restart until no bot is on its way and no work is under way, within a
bound. Only then, in one turn of the loop, all is written down and the program replaced. Whatever
goes wrong before that, all goes on as it was.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase, State
from supervisor.core.version import VERSION
from supervisor.loop import handoff
from supervisor.loop.charge import Charge
from supervisor.loop.house import House
from supervisor.process import descriptors, probes, reexec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from supervisor.control.server import ControlServer
    from supervisor.web.door import Carried

CALM_S = 30.0
_LOOK_S = 0.01
# In so many turns all that had been heard before the signals were held back is handled.
_TURNS = 3
# In these nobody is waited for, or only time and a person.
CALM = (
    Phase.UP,
    Phase.PAIRING,
    Phase.BACKOFF,
    Phase.FAILED,
    Phase.DOWN,
    Phase.REFUSED,
)


@dataclass(slots=True, kw_only=True)
class Ground:
    """What an upgrade is given. `fixed`: what of the hand-off does not change.

    `let_go`: gives the terminal back, and returns what takes it again. `busy`: why the supervisor
    itself has no time; "" if it has. `alerts`: what is known of them. `web`: where the page is.
    """

    charges: Mapping[str, Charge]
    house: House
    server: "ControlServer"
    fixed: Mapping[str, Any]
    note: Callable[[str, dict[str, Any]], None]
    let_go: Callable[[], Callable[[], None]]
    busy: Callable[[], str]
    alerts: Callable[[], dict[str, Any]]
    web: Callable[[], "Carried | None"]


def why_not(state: State, *, notify: bool) -> str:
    """Return why a bot in this state can't be carried over now; "" if it can."""
    # One whose network is away may be so for hours: it is as calm as one that is up.
    waits = state.phase is Phase.VERIFYING and state.late and notify
    # One that is to restart waits for its turn, and is given none before we are through.
    queues = state.phase is Phase.PREFLIGHT and state.compiled and state.turn == "asked"
    if state.phase not in CALM and not waits and not queues:
        return state.phase.value
    if state.settling or state.flushing or state.operation is not None:
        return "something is under way"
    return ""


class Upgrades:
    """One at a time."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._under_way = False

    async def upgrade(self) -> None:
        """Become the new program. Raises: SupervisorError; it never returns otherwise."""
        if self._under_way:
            raise SupervisorError("an upgrade is under way already")
        self._under_way = True
        try:
            await self._upgrade()
        except SupervisorError as error:
            self._ground.note("upgrade_refused", {"why": error.message})
            raise
        finally:
            self._under_way = False

    async def _upgrade(self) -> None:
        began_at = time.monotonic()
        to = await self._rehearse(began_at)
        async with self._calm():
            until = time.monotonic() + CALM_S
            while True:
                await self._until_calm(until)
                await self._ground.server.part()
                signals = reexec.Signals()
                try:
                    for _ in range(_TURNS):
                        await asyncio.sleep(0)
                    if not self._why_not_now():
                        self._replace(signals.pipe, began_at, to)
                finally:
                    signals.release()

    # Before.

    async def _rehearse(self, began_at: float) -> str:
        """Return the version of the new code, if it can go on from here."""
        fd = self._written(-1, began_at)
        try:
            return await reexec.rehearse(fd)
        except reexec.Refused as refused:
            raise SupervisorError(
                f"the new code can't take over: {refused}",
                "nothing was changed: the old one goes on",
            ) from None
        except OSError as error:
            raise SupervisorError(f"the new code can't be tried: {error}") from error
        finally:
            os.close(fd)

    @asynccontextmanager
    async def _calm(self) -> "AsyncIterator[None]":
        """Let nobody begin anything."""
        house, charges = self._ground.house, self._ground.charges.values()
        house.turnstile.close()
        try:
            try:
                async with asyncio.timeout(CALM_S):
                    await house.turn.acquire()
            except TimeoutError:
                raise self._too_long("the check of a session's snapshots goes on") from None
            try:
                yield
            finally:
                house.turn.release()
        finally:
            house.turnstile.open()
            for charge in charges:
                if charge.state.phase is Phase.UP:
                    charge.hands.spares.expect()

    async def _until_calm(self, until: float) -> None:
        while why := self._why_not_now():
            if time.monotonic() > until:
                raise self._too_long(why)
            for charge in self._ground.charges.values():
                charge.hands.spares.drop()
            await asyncio.sleep(_LOOK_S)

    def _too_long(self, why: str) -> SupervisorError:
        return SupervisorError(f"not within {CALM_S:g} s: {why}", "nothing was changed; try again")

    def _why_not_now(self) -> str:
        ground = self._ground
        if why := ground.busy():
            return why
        for charge in ground.charges.values():
            notify = charge.bot.ready.by_contract
            if why := why_not(charge.state, notify=notify) or charge.why_not_now():
                return f"{charge.bot.name}: {why}"
        if not ground.house.watch.idle:
            return "the source is looked at"
        return "somebody waits for an answer" if ground.server.calls > 1 else ""

    # In one turn of the loop.

    def _document(self, pipe: int, began_at: float) -> handoff.Handoff:
        control = self._ground.server.carry()
        if control is None:
            raise SupervisorError("the supervisor does not listen")
        return handoff.Handoff(
            version=VERSION,
            pid=os.getpid(),
            began_at=began_at,
            limit=descriptors.given(),
            control=control,
            signals=pipe,
            alerts=self._ground.alerts(),
            web=self._ground.web(),
            bots={name: charge.carry() for name, charge in self._ground.charges.items()},
            **self._ground.fixed,
        )

    def _written(self, pipe: int, began_at: float) -> int:
        return handoff.sealed(handoff.encoded(self._document(pipe, began_at)))

    def _replace(self, pipe: int, began_at: float, to: str) -> None:
        """Go. Raises: SupervisorError; then all is as before."""
        path = self._ground.house.config.path
        text = handoff.content(path)
        if self._ground.fixed["config"] != handoff.digest_of(text):  # another one than at the trial
            raise SupervisorError(f"{path} was changed meanwhile", "first: stillhere reload")
        self._ground.note("upgrading", {"from": VERSION, "to": to})
        take_again = self._ground.let_go()
        fd = -1
        try:
            document = replace(self._document(pipe, began_at), text=text or b"")
            fd = handoff.sealed(handoff.encoded(document))
            probes.give_up()
            env = {**os.environ, handoff.HANDED: str(fd)}
            reexec.replace(env, [fd, *document.descriptors()])
        except OSError as error:
            raise SupervisorError(f"the new program can't be run: {error}") from error
        finally:
            with suppress(OSError):
                os.close(fd)
            take_again()
