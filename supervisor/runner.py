"""The loop: events in, effects out. One `Supervisor` for all bots, one `Charge` for each.

The runner decides nothing about restarts: each charge feeds the core and performs what the core
orders; here they are started, waited for and stopped.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.config import BotConfig, Config
from supervisor.control import paths
from supervisor.control.journal import Journal
from supervisor.control.server import ControlServer
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase
from supervisor.loop.charge import Charge, House
from supervisor.loop.desk import SETTLED, Desk, all_reach, own_version
from supervisor.process import descriptors, probes
from supervisor.process.tree import become_subreaper, reap_orphans
from supervisor.session import files
from supervisor.session.manager import SessionManager

ConsoleSink = Callable[[dict[str, Any]], None]
OutputSink = Callable[[str, str, bytes], None]

EXIT_FAILED = 3
EXIT_REFUSED = 1
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
# How the folders with the bots' sockets begin, beside the control sockets: those have hex names.
SOCKETS = "s"


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
        self.charges: dict[str, Charge] = {}
        self._control_path = paths.socket_path(config.path)
        self._console = console
        self._output = output
        self._journal = Journal(None)
        self._desk = Desk(self.charges, self._journal)
        self._stopping = False
        self._hurry = False
        self._failed = False
        self._changed = asyncio.Event()

    async def run(self, bots: Sequence[str] | None = None) -> int:
        """Run until stopped; return the exit code. Raises: SupervisorError, before any bot runs."""
        loop = asyncio.get_running_loop()
        become_subreaper()
        descriptors.raise_limit()
        folder = self._control_path.parent
        paths.prepare(folder)
        self._make_snapshots_folder()
        self._journal = Journal(self.config.snapshots / ".events.jsonl")
        self._desk = Desk(self.charges, self._journal)
        server = ControlServer(self._control_path, self, pulse=lambda: self._desk.pulse)
        await server.start()
        loop.add_signal_handler(signal.SIGCHLD, self._child_ended)
        with suppress(OSError):  # what a killed one left; it comes again where it fails
            files.sweep_scratch(folder, SOCKETS)
        with files.scratch(folder, SOCKETS) as socket_dir:
            self._note(None, "supervisor_started", {"pid": os.getpid(), "version": own_version()})
            house = self._house(socket_dir)
            for name in bots or self.config.bots:
                bot = self.config.bots[name]
                self.charges[name] = Charge(house, bot, self._manager(bot))
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

    def _make_snapshots_folder(self) -> None:
        folder = self.config.snapshots
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SupervisorError(
                f"the folder of the snapshots, {folder}, cannot be made: {error.strerror}",
                "see `snapshots` in the config, and who may write there",
            ) from error

    def _house(self, socket_dir: Path) -> House:
        return House(
            config=self.config,
            dev=self.dev,
            terminal=self.dev and os.isatty(1),
            control=str(self._control_path),
            socket_dir=socket_dir,
            changed=self._changed.set,
            note=self._note,
            print=self._print,
            offer=self._desk.offer_line,
        )

    def _manager(self, bot: BotConfig) -> SessionManager:
        elsewhere = bot.session is not None and bot.session_path is not None
        return SessionManager(
            self.config.sessions,
            self.config.snapshots,
            self.config.state,
            keep=bot.snapshots.keep,
            older=bot.snapshots.older,
            paths={str(bot.session): self.config.session_dir(bot)} if elsewhere else None,
            owned=True,
        )

    async def _start_all(self) -> None:
        """Start the companions, give them a moment to be there, then the bots."""
        charges = list(self.charges.values())
        companions = [charge for charge in charges if charge.bot.session is None]
        for charge in companions:
            charge.post(ev.StartRequested())
        ready = all_reach(companions, lambda state: state.phase not in COMING_UP)
        with suppress(TimeoutError):
            await asyncio.wait_for(ready, COMPANIONS_S)
        turns = asyncio.Semaphore(STARTS_MOST)
        bots = [charge for charge in charges if charge not in companions]
        async with asyncio.TaskGroup() as group:
            for charge in bots:
                group.create_task(self._start(charge, turns))

    async def _start(self, charge: Charge, turns: asyncio.Semaphore) -> None:
        """Start a bot in its turn, and keep the turn until its process runs or it has failed.

        Unless a person has started or stopped it meanwhile.
        """
        await self._watched(charge)
        async with turns:
            if self._stopping or charge.decided:
                return
            charge.post(ev.StartRequested())
            spawned = all_reach([charge], lambda state: state.phase not in TO_BE_SPAWNED)
            with suppress(TimeoutError):
                await asyncio.wait_for(spawned, START_WITHIN_S)

    async def _watched(self, charge: Charge) -> None:
        """Wait until no change can be missed any more; not for ever, the bot matters more."""
        if charge.watcher is not None:
            try:
                await asyncio.wait_for(charge.watcher.ready.wait(), WATCH_READY_S)
            except TimeoutError:
                why = f"not in place after {WATCH_READY_S:g} s: changes are seen late"
                charge.report("watch_degraded", why=why)

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
            # A stop ends FAILED as well; the exit code still tells.
            self._failed = any(c.state.phase is Phase.FAILED for c in self.charges.values())
            self._note(None, "supervisor_stopping", {})
        self._stopping = True
        self._hurry = self._hurry or hurry
        for charge in self._to_stop():
            charge.post(ev.StopRequested(hurry=self._hurry))
        self._changed.set()

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
        if self._failed or Phase.FAILED in phases:
            return EXIT_FAILED
        return EXIT_REFUSED if Phase.REFUSED in phases else 0

    def _child_ended(self) -> None:
        pids = [pid for charge in self.charges.values() for pid in charge.hands.pids]
        reap_orphans({*pids, *probes.running})

    # What the charges tell.

    def _note(self, bot: str | None, event: str, fields: dict[str, Any]) -> None:
        record = self._journal.append(bot, event, **fields)
        if self._console is not None:
            try:
                self._console(record)
            except Exception as error:  # noqa: BLE001 - what cannot be told must still be done
                context = {"message": f"{event} could not be shown", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _print(self, bot: str, stream: str, line: bytes) -> None:
        if self._output is not None:
            self._output(bot, stream, line)

    # What the control socket and the console ask for.

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Do it and return what a JSON line can hold. Raises: SupervisorError."""
        return await self._desk.call(command, args)

    def stream(self, command: str, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield objects until it ends or the asker is gone. Raises: SupervisorError."""
        return self._desk.stream(command, args)
