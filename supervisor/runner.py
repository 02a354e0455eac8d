"""The loop: events in, effects out. One `Charge` per bot, one `Supervisor` for all.

The runner decides nothing about restarts: it feeds the core, performs what the core orders,
keeps the one deadline, and answers those who ask.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from supervisor.config import BotConfig, Config
from supervisor.control import paths
from supervisor.control.journal import Journal
from supervisor.control.server import ControlServer
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.core.machine import step
from supervisor.core.state import Phase, State
from supervisor.hands import Hands, Tools
from supervisor.process import output
from supervisor.process.tree import become_subreaper, reap_orphans
from supervisor.session.manager import SessionManager
from supervisor.watch.watcher import Change, Watcher

ConsoleSink = Callable[[dict[str, Any]], None]
OutputSink = Callable[[str, str, bytes], None]

EXIT_FAILED = 3
EXIT_REFUSED = 1
SETTLED = (Phase.DOWN, Phase.REFUSED)
COMING_UP = (Phase.CLAIMING, Phase.SWEEPING, Phase.EVICTING, Phase.STARTING, Phase.VERIFYING)
# A companion that is slower than this is not waited for: its bots can wait by themselves.
COMPANIONS_S = 3.0
WATCH_READY_S = 30.0


class Charge:
    """One bot in our care: its state, its deadline, its hands."""

    def __init__(self, owner: "Supervisor", bot: BotConfig, manager: SessionManager) -> None:
        self.bot = bot
        self.state = State()
        self.restarts = 0
        self.last_restart: dict[str, Any] | None = None
        self.kept = output.Kept()
        self.changed = asyncio.Event()
        self._owner = owner
        self._queue: deque[ev.Event] = deque()
        self._working = False
        self._timer: asyncio.TimerHandle | None = None
        self._periodic: asyncio.TimerHandle | None = None
        self._policy = bot.policy(on_change=owner.watches(bot))
        self.watcher = self._make_watcher() if owner.watches(bot) else None
        self.hands = Hands(
            Tools(
                config=owner.config,
                bot=bot,
                manager=manager,
                watcher=self.watcher,
                socket_dir=owner.socket_dir,
                control=str(owner.control_path),
                post=self.post,
                report=self.report,
                on_line=self._line,
                on_qr=self._qr_changed,
                terminal=owner.terminal,
                stdin=owner.dev,
            )
        )

    def _make_watcher(self) -> Watcher:
        config = self._owner.config
        never = [config.sessions, config.snapshots, config.state]
        if self.bot.session is not None:
            never.append(config.session_dir(self.bot))
        return Watcher(
            self.bot.watch,
            base=config.root,
            ignore=self.bot.ignore,
            never=never,
            on_problem=lambda text: self.report("watch_degraded", why=text),
        )

    # The loop.

    def post(self, event: ev.Event) -> None:
        """Take an event; those that it causes wait their turn."""
        self._queue.append(event)
        if self._working:
            return
        self._working = True
        try:
            while self._queue:
                self._step(self._queue.popleft())
        finally:
            self._working = False
        self._set_timer()
        self.changed.set()
        self._owner.something_changed()

    def _step(self, event: ev.Event) -> None:
        before = self.state.phase
        self.state, effects = step(self.state, event, time.monotonic(), self._policy)
        for effect in effects:
            self.hands.perform(effect)
        if self.state.phase is not before:
            self._entered(self.state.phase)

    def _entered(self, phase: Phase) -> None:
        if phase is Phase.UP:
            self._schedule_snapshot()
            if self.watcher is not None and (change := self.watcher.check()) is not None:
                self._source_changed(change)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state.deadline is not None:
            loop = asyncio.get_running_loop()
            wait_s = max(0.0, self.state.deadline - time.monotonic())
            self._timer = loop.call_later(wait_s, self.post, ev.DeadlinePassed())

    def _schedule_snapshot(self) -> None:
        if self.bot.session is None or self.bot.snapshots.every_s <= 0:
            return
        if self._periodic is not None:
            self._periodic.cancel()
        loop = asyncio.get_running_loop()
        self._periodic = loop.call_later(self.bot.snapshots.every_s, self._snapshot_due)

    def _snapshot_due(self) -> None:
        if self.state.phase is Phase.UP and self.state.current is not None:
            self.hands.snapshot_soon("periodic", self.state.current)
        self._schedule_snapshot()

    # What comes in.

    async def watch(self) -> None:
        """Follow the source until cancelled."""
        if self.watcher is not None:
            await self.watcher.run(self._source_changed)

    def _source_changed(self, change: Change) -> None:
        self.post(
            ev.SourceChanged(change.paths, change.saved_at, change.detected_at, change.quiet_at)
        )

    def _line(self, generation: int, stream: str, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        record = {"bot": self.bot.name, "generation": generation, "stream": stream, "line": text}
        self.kept.lines.append(record)
        self._owner.print(self.bot.name, stream, line, record)

    def _qr_changed(self) -> None:
        self.changed.set()
        self._owner.something_changed()

    # What goes out.

    def report(self, event: str, **fields: Any) -> None:
        """Write a line of the journal, and keep what `status` shows."""
        if event == "restarted":
            self.last_restart = fields["record"]
            if fields["record"]["reason"] != "start":
                self.restarts += 1
        self._owner.note(self.bot.name, event, fields)

    def status(self, record: Any) -> dict[str, Any]:
        """Return what `status --json` promises of one bot; `record` is the session's."""
        session = None
        if record is not None:
            session = {
                "id": self.bot.session,
                "state": self.state.reported or record.state,
                "identity": self.state.identity or record.identity,
                "epoch": record.epoch,
                "restore_count": record.restore_count,
                "rollback_count": record.rollback_count,
                "link_count": record.link_count,
                "qr_count": record.qr_count,
            }
        child = self.hands.child(self.state.current)
        return {
            "phase": self.state.phase.value,
            "pid": None if child is None else child.pid,
            "generation": self.state.current or self.state.generation,
            "restarts": self.restarts,
            "paused": self.state.paused,
            "held": self.state.held or None,
            "why": self.state.why or None,
            "status": None if child is None else child.heard.status or None,
            "session": session,
            "last_restart": self.last_restart,
        }

    async def close(self) -> None:
        """Let go of everything. Only once it is down."""
        for timer in (self._timer, self._periodic):
            if timer is not None:
                timer.cancel()
        await self.hands.close()


class Supervisor:
    """Runs bots until it is told to stop. `dev`: watch their source, talk to a person."""

    def __init__(
        self,
        config: Config,
        *,
        dev: bool,
        console: ConsoleSink | None = None,
        output: OutputSink | None = None,
    ) -> None:
        self.config = config
        self.dev = dev
        self.terminal = dev and os.isatty(1)
        self.control_path = paths.socket_path(config.path)
        self.socket_dir = Path()
        self.charges: dict[str, Charge] = {}
        self._console = console
        self._output = output
        self._started_at = time.monotonic()
        self._journal = Journal(None)
        self._stopping = False
        self._hurry = False
        self._changed = asyncio.Event()
        self._log_readers: set[asyncio.Queue[dict[str, Any]]] = set()

    def watches(self, bot: BotConfig) -> bool:
        """Return whether changed source restarts this bot."""
        return bot.session is not None and bool(bot.watch) and (self.dev or bot.watch_in_service)

    # Running.

    async def run(self, bots: Sequence[str] | None = None) -> int:
        """Run until stopped; return the exit code. Raises: SupervisorError, before any bot runs."""
        loop = asyncio.get_running_loop()
        become_subreaper()
        paths.prepare(self.control_path.parent)
        self.config.snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal = Journal(self.config.snapshots / ".events.jsonl")
        server = ControlServer(self.control_path, self)
        await server.start()
        loop.add_signal_handler(signal.SIGCHLD, self._child_ended)
        with tempfile.TemporaryDirectory(prefix="n", dir=self.control_path.parent) as folder:
            self.socket_dir = Path(folder)
            self.note(None, "supervisor_started", {"pid": os.getpid(), "version": _version()})
            manager = self._manager()
            for name in bots or self.config.bots:
                self.charges[name] = Charge(self, self.config.bots[name], manager)
            watchers = [loop.create_task(charge.watch()) for charge in self.charges.values()]
            try:
                await self._start_all()
                await self._until_stopped()
            finally:
                for task in watchers:
                    task.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)
                for charge in self.charges.values():
                    await charge.close()
                await server.close()
                loop.remove_signal_handler(signal.SIGCHLD)
                self._journal.close()
        return self._exit_code()

    def _manager(self) -> SessionManager:
        bots = [bot for bot in self.config.bots.values() if bot.session is not None]
        elsewhere = {
            bot.session: bot.session_path
            for bot in bots
            if bot.session is not None and bot.session_path is not None
        }
        first = bots[0].snapshots if bots else None
        return SessionManager(
            self.config.sessions,
            self.config.snapshots,
            self.config.state,
            keep=None if first is None else first.keep,
            older="ask" if first is None else first.older,
            paths=elsewhere,
            owned=True,
        )

    async def _start_all(self) -> None:
        """Start the companions, give them a moment to be there, then the bots."""
        charges = list(self.charges.values())
        companions = [charge for charge in charges if charge.bot.session is None]
        for charge in companions:
            charge.post(ev.StartRequested())
        ready = self._wait_for(companions, lambda state: state.phase not in COMING_UP)
        with suppress(TimeoutError):
            await asyncio.wait_for(ready, COMPANIONS_S)
        for charge in charges:
            if charge.watcher is not None:
                await asyncio.wait_for(charge.watcher.ready.wait(), WATCH_READY_S)
            if charge not in companions and not self._stopping:
                charge.post(ev.StartRequested())

    async def _until_stopped(self) -> None:
        while True:
            phases = [charge.state.phase for charge in self.charges.values()]
            if self._stopping and all(phase in SETTLED for phase in phases):
                return
            if all(phase is Phase.REFUSED for phase in phases):
                return
            if (
                self._stopping
                and self._hurry
                and all(phase in (*SETTLED, Phase.FAILED) for phase in phases)
            ):
                return
            self._changed.clear()
            await self._changed.wait()
            if self._stopping:
                for charge in self._to_stop():
                    if charge.state.wanted_up:
                        charge.post(ev.StopRequested(hurry=self._hurry))

    def request_stop(self, *, hurry: bool = False) -> None:
        """Stop all bots in good order, or at once; then `run` returns."""
        if not self._stopping:
            self.note(None, "supervisor_stopping", {})
        self._stopping = True
        self._hurry = self._hurry or hurry
        for charge in self._to_stop():
            charge.post(ev.StopRequested(hurry=self._hurry))
        self.something_changed()

    def _to_stop(self) -> list[Charge]:
        """Return whom to stop now: companions serve the bots, so they go last."""
        charges = list(self.charges.values())
        bots = [charge for charge in charges if charge.bot.session is not None]
        done = (*SETTLED, Phase.FAILED) if self._hurry else SETTLED
        if self._hurry or all(charge.state.phase in done for charge in bots):
            return charges
        return bots

    def _exit_code(self) -> int:
        phases = [charge.state.phase for charge in self.charges.values()]
        if Phase.FAILED in phases:
            return EXIT_FAILED
        return EXIT_REFUSED if Phase.REFUSED in phases else 0

    def _child_ended(self) -> None:
        pids = [pid for charge in self.charges.values() for pid in charge.hands.pids]
        reap_orphans(pids)

    # What the charges tell.

    def something_changed(self) -> None:
        """Wake whoever waits for a state."""
        self._changed.set()

    def note(self, bot: str | None, event: str, fields: dict[str, Any]) -> None:
        """Write one event down and show it."""
        record = self._journal.append(bot, event, **fields)
        if self._console is not None:
            self._console(record)

    def print(self, bot: str, stream: str, line: bytes, record: dict[str, Any]) -> None:
        """Show a line of a bot's output."""
        if self._output is not None:
            self._output(bot, stream, line)
        for reader in self._log_readers:
            with suppress(asyncio.QueueFull):
                reader.put_nowait(record)

    # Requests of the control socket.

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Do it and return what a JSON line can hold. Raises: SupervisorError."""
        match command:
            case "ping":
                return {"pid": os.getpid(), "version": _version()}
            case "status":
                return await self._status()
            case "session":
                return await self._session(args)
            case "start" | "stop" | "restart" | "pause" | "resume":
                return await self._command(command, args.get("bot"))
            case _:
                raise SupervisorError(f"unknown command {command!r}")

    async def _status(self) -> dict[str, Any]:
        bots: dict[str, Any] = {}
        for name, charge in self.charges.items():
            bots[name] = charge.status(await asyncio.to_thread(charge.hands.record))
        return {
            "supervisor": {
                "pid": os.getpid(),
                "version": _version(),
                "uptime_s": round(time.monotonic() - self._started_at, 3),
            },
            "bots": bots,
        }

    async def _command(self, command: str, name: str | None) -> dict[str, Any]:
        events: dict[str, ev.Event] = {
            "start": ev.StartRequested(),
            "stop": ev.StopRequested(),
            "restart": ev.RestartRequested(),
            "pause": ev.PauseRequested(),
            "resume": ev.ResumeRequested(),
        }
        chosen = self._chosen(name, companions=command in ("start", "stop"))
        for charge in chosen:
            charge.post(events[command])
        if command == "stop":
            await self._wait_for(chosen, lambda state: state.phase in SETTLED)
        return {charge.bot.name: charge.state.phase.value for charge in chosen}

    async def _wait_for(self, charges: Sequence[Charge], reached: Callable[[State], bool]) -> None:
        for charge in charges:
            while not reached(charge.state):
                charge.changed.clear()
                await charge.changed.wait()

    def _chosen(self, name: str | None, *, companions: bool) -> list[Charge]:
        if name is not None:
            if name not in self.charges:
                raise SupervisorError(
                    f"there is no bot {name!r} running here", "one of " + ", ".join(self.charges)
                )
            return [self.charges[name]]
        bots = list(self.charges.values())
        return [charge for charge in bots if companions or charge.bot.session is not None]

    async def _session(self, args: dict[str, Any]) -> Any:
        charge = self._charge_of(args.get("id"))
        operation = args["op"]
        if operation in ("backup", "prune"):
            return await charge.hands.now(operation, charge.state.current)
        if operation == "restore" and args.get("snapshot"):
            await charge.hands.find_snapshot(args["snapshot"])
        asked, outcome = charge.hands.new_operation(operation, args.get("snapshot"))
        charge.post(ev.OperationRequested(asked))
        return await outcome

    def _charge_of(self, session: str | None) -> Charge:
        own = [charge for charge in self.charges.values() if charge.bot.session is not None]
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
        with self._journal.subscribe(args.get("bot"), backlog=1000) as reader:
            async for record in reader:
                yield record

    async def _logs(self, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        chosen = self._chosen(args.get("bot"), companions=True)
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(1000)
        self._log_readers.add(queue)
        names = {charge.bot.name for charge in chosen}
        try:
            for charge in chosen:
                for record in charge.kept.tail(int(args.get("lines", 100))):
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
            raise SupervisorError("which bot?", "one of " + ", ".join(self.charges))
        charge = chosen[0]
        shown: str | None = None
        while True:
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
            await charge.changed.wait()


def _version() -> str:
    try:
        return version("stillhere")
    except PackageNotFoundError:
        return "unknown"
