"""Answers those who ask: what the control socket and the console may want of the bots."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from supervisor.control.journal import Journal
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase, State
from supervisor.core.version import VERSION
from supervisor.loop.charge import Charge
from supervisor.loop.outcomes import outcome

SETTLED = (Phase.DOWN, Phase.REFUSED)
_BACKLOG_EVENTS = 1000
_WAITING_LINES = 1000


async def all_reach(charges: Sequence[Charge], reached: Callable[[State], bool]) -> None:
    """Wait until each of the bots is in such a state."""
    for charge in charges:
        while not reached(charge.state):
            charge.changed.clear()
            await charge.changed.wait()


def stop_is_over(state: State) -> bool:
    """Say whether it is down, or cannot be brought down."""
    return state.phase in SETTLED or (state.phase is Phase.FAILED and not state.wanted_up)


async def _came_of(charge: Charge, before: int | None) -> tuple[str, dict[str, Any]]:
    """Wait until a start or restart has come to something; return the bot's name and what."""
    last = charge.last_restart
    while (found := outcome(charge.state, before)) is None:
        charge.changed.clear()
        await charge.changed.wait()
    record = None if charge.last_restart is last else charge.last_restart
    return charge.bot.name, {
        **asdict(found),
        "phase": charge.state.phase.value,
        "record": record if found.result == "ready" else None,
    }


def own_version() -> str:
    """Return our version."""
    return VERSION


def _status_of(charge: Charge) -> dict[str, Any]:
    """Return one bot's status; it reads files and /proc."""
    from supervisor.process import usage  # noqa: PLC0415 - psutil, and only who asks needs it

    found = charge.status(charge.hands.session.record())
    current = charge.state.current
    pids = [] if current is None else charge.hands.members(current)
    return {**found, "usage": dict(usage.of(pids))}


class Desk:
    """Implements `control.requests.Requests`."""

    def __init__(
        self, charges: Mapping[str, Charge], journal: Journal, *, started_at: float | None = None
    ) -> None:
        self._charges = charges
        self._journal = journal
        # Of the supervisor, over all its upgrades.
        self._started_at = time.monotonic() if started_at is None else started_at
        self._log_readers: set[asyncio.Queue[dict[str, Any]]] = set()

    def offer_line(self, record: dict[str, Any]) -> None:
        """Pass a line of a bot's output to those who follow; a slow reader misses some."""
        for reader in self._log_readers:
            with suppress(asyncio.QueueFull):
                reader.put_nowait(record)

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Do it and return what a JSON line can hold. Raises: SupervisorError."""
        match command:
            case "ping":
                return {"pid": os.getpid(), "version": own_version()}
            case "status":
                return await self._status()
            case "session":
                return await self._session(args)
            case "input":  # from our own terminal or pipe: no request of the control socket
                return await self._input(args["bot"], args["line"], wait=args["wait"])
            case "start" | "stop" | "restart" | "pause" | "resume":
                return await self._command(command, args.get("bot"), wait=bool(args.get("wait")))
            case _:
                raise SupervisorError(f"unknown command {command!r}")

    async def _status(self) -> dict[str, Any]:
        bots: dict[str, Any] = {}
        for name, charge in list(self._charges.items()):  # a reload may come meanwhile
            bots[name] = await asyncio.to_thread(_status_of, charge)
        return {
            "supervisor": {
                "pid": os.getpid(),
                "version": own_version(),
                "uptime_s": round(time.monotonic() - self._started_at, 3),
            },
            "bots": bots,
        }

    @property
    def pulse(self) -> int:
        """A number that grows while long work makes progress."""
        return sum(charge.gauge.heard for charge in self._charges.values())

    async def _command(self, command: str, name: str | None, *, wait: bool) -> dict[str, Any]:
        events: dict[str, ev.Event] = {
            "start": ev.StartRequested(),
            "stop": ev.StopRequested(),
            "restart": ev.RestartRequested(),
            "pause": ev.PauseRequested(),
            "resume": ev.ResumeRequested(),
        }
        chosen = self._chosen(name, companions=command in ("start", "stop"))
        restarted = {c: c.state.current if command == "restart" else None for c in chosen}
        for charge in chosen:
            charge.post(events[command])
        if wait and command in ("start", "restart"):
            each = (_came_of(charge, before) for charge, before in restarted.items())
            return dict(await asyncio.gather(*each))
        if command == "stop":
            await all_reach(chosen, stop_is_over)
            for charge in chosen:
                if charge.state.phase is Phase.FAILED:
                    raise SupervisorError(
                        f"{charge.bot.name} could not be stopped: {charge.state.why}",
                        "try again; what hangs in the kernel waits for a disk or a network share",
                    )
        return {charge.bot.name: charge.state.phase.value for charge in chosen}

    async def _input(self, name: str, line: str, *, wait: bool) -> None:
        """Give a bot a line. `wait` for a bot that does not run now, and for room for the next."""
        (charge,) = self._chosen(name, companions=True)
        while (child := charge.listener) is None:
            if not wait:
                raise SupervisorError(f"{name} does not run: the line was not sent")
            charge.changed.clear()
            await charge.changed.wait()
            (charge,) = self._chosen(name, companions=True)  # a reload may have made another one
        child.write_line(line)
        if wait:
            await child.drained()

    def _chosen(self, name: str | None, *, companions: bool) -> list[Charge]:
        if name is not None:
            if name not in self._charges:
                raise SupervisorError(
                    f"there is no bot {name!r} running here", "one of " + ", ".join(self._charges)
                )
            return [self._charges[name]]
        bots = list(self._charges.values())
        return [charge for charge in bots if companions or charge.bot.session is not None]

    async def _session(self, args: dict[str, Any]) -> Any:
        charge = self._charge_of(args.get("id"))
        session, jobs = charge.hands.session, charge.hands.jobs
        operation, snapshot = args["op"], args.get("snapshot")
        if operation == "check":
            return await charge.rounds.check()
        if operation == "backup":
            await charge.flushed()
            return await jobs.result(partial(session.backup, charge.state.current))
        if operation == "prune":
            return await jobs.result(session.prune)
        if operation == "restore" and snapshot:
            snapshot = await jobs.result(partial(session.pin, snapshot))
        asked, outcome = session.ask(operation, snapshot)
        charge.post(ev.OperationRequested(asked))
        return await outcome

    def _charge_of(self, session: str | None) -> Charge:
        own = [charge for charge in self._charges.values() if charge.bot.session is not None]
        if session is None and len(own) == 1:
            return own[0]
        for charge in own:
            if charge.bot.session == session:
                return charge
        raise SupervisorError(
            f"session {session} belongs to no bot that runs here",
            "one of " + ", ".join(str(charge.bot.session) for charge in own),
        )

    async def stream(self, command: str, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield objects until it ends or the asker is gone. Raises: SupervisorError."""
        match command:
            case "events":
                source = self._events(args)
            case "logs":
                source = self._logs(args)
            case "link":
                source = self._link(args.get("bot"))
            case _:
                raise SupervisorError(f"unknown command {command!r}")
        async for item in source:
            yield item

    async def _events(self, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if not args.get("follow"):
            for record in self._journal.backlog(args.get("bot")):
                yield record
            return
        with self._journal.subscribe(args.get("bot"), backlog=_BACKLOG_EVENTS) as reader:
            async for record in reader:
                yield record

    async def _logs(self, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        chosen = self._chosen(args.get("bot"), companions=True)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING_LINES)
        self._log_readers.add(queue)
        names = {charge.bot.name for charge in chosen}
        try:
            # All of it before the first is sent: what is printed meanwhile comes by the queue.
            count = int(args.get("lines", 100))
            for record in [line for charge in chosen for line in charge.printed.kept.tail(count)]:
                yield record
            while args.get("follow"):
                record = await queue.get()
                if record["bot"] in names:
                    yield record
        finally:
            self._log_readers.discard(queue)

    async def _link(self, name: str | None) -> AsyncIterator[dict[str, Any]]:
        """Yield each QR code as it rotates, then who was linked. Payloads stay out of all logs."""
        chosen = self._chosen(name, companions=False)
        if len(chosen) != 1:
            raise SupervisorError("which bot?", "one of " + ", ".join(self._charges))
        name = chosen[0].bot.name
        shown: str | tuple[str, ...] | None = None
        while True:
            (charge,) = self._chosen(name, companions=False)  # a reload may have made another one
            charge.changed.clear()
            child = charge.hands.child(charge.state.current)
            heard = None if child is None else child.heard
            if charge.state.verified:
                yield {"linked": charge.state.identity}
                return
            if heard is not None and heard.qr and heard.qr != shown:
                shown = heard.qr
                until = heard.qr_until
                ttl_s = None if until is None else max(0.0, until - time.monotonic())
                yield {"qr": shown, "ttl_s": ttl_s}
            elif (drawn := charge.hands.hearing.code(charge.state.current)) and drawn != shown:
                shown = drawn
                yield {"picture": drawn}
            await charge.changed.wait()
