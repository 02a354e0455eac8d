"""The loop: events in, effects out. One `Supervisor` for all bots, one `Charge` for each.

The runner decides nothing about restarts: each charge feeds the core and performs what the core
orders; here they are started, waited for and stopped.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
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
from supervisor.loop import handoff
from supervisor.loop.charge import Charge
from supervisor.loop.desk import Desk, own_version
from supervisor.loop.ending import are_down, to_stop
from supervisor.loop.house import House
from supervisor.loop.printed import Outlets
from supervisor.loop.reloads import Reloads
from supervisor.loop.socket_folder import SocketFolder
from supervisor.loop.startup import START_WITHIN_S, start_all
from supervisor.loop.upgrades import Ground, Upgrades
from supervisor.loop.vitals import Vitals
from supervisor.process import cores, descriptors, probes, reexec, user
from supervisor.process.tree import become_subreaper, reap_orphans
from supervisor.process.wakeups import Wakeups
from supervisor.service.alerting.alerts import Alerts
from supervisor.service.logs.files import LogFiles
from supervisor.service.monitoring.endpoint import Endpoint
from supervisor.service.standing import Bot, Standing, standing
from supervisor.service.systemd.upward import Upward
from supervisor.session import belonging, files
from supervisor.session.opened import manager_of
from supervisor.web.door import Door

ConsoleSink = Callable[[dict[str, Any]], None]
OutputSink = Callable[[str, str, bytes], None]

EXIT_FAILED = 3
EXIT_REFUSED = 1


def _keeps_nothing() -> Callable[[], None]:
    return lambda: None


class Supervisor:
    """Runs bots until it is told to stop. `dev`: watch their source, talk to a person.

    `load` reads the configuration anew, for a reload; None: there is no file to read.
    """

    def __init__(
        self,
        config: Config,
        *,
        dev: bool,
        console: ConsoleSink | None = None,
        output: OutputSink | None = None,
        load: Callable[[], Config] | None = None,
    ) -> None:
        self.config = config
        self.dev = dev
        self.chosen: Collection[str] | None = None
        # Gives the terminal back before the program is replaced; returns what takes it again.
        self.let_go: Callable[[], Callable[[], None]] = _keeps_nothing
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
        self._house: House
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._started = False
        self._reloads = Reloads(self, load)
        self._upgrades: Upgrades
        # What of a hand-off no bot changes.
        self._fixed: dict[str, Any] = {
            "dev": dev,
            "config": handoff.digest(config.path),
            "started_at": time.monotonic(),
            "upgrades": 1,
        }
        self._alerts = Alerts(self._note)
        self._logs = LogFiles(config.logs, self._note)
        self._endpoint = Endpoint(Vitals(self.charges, config.snapshots))
        self._door = Door(config.path, self._control_path, dev=dev, note=self._note_own)
        slowest_s = max(bot.start_timeout_s for bot in config.bots.values())
        self._upward = Upward(self._standing, patience_s=slowest_s + START_WITHIN_S)

    async def run(self, bots: Sequence[str] | None = None) -> int:
        """Run until stopped; return the exit code. Raises: SupervisorError, before any bot runs."""
        loop = asyncio.get_running_loop()
        handed = handoff.taken()
        self.chosen = None if bots is None else set(bots)
        user.check(bot.user for bot in self.config.bots.values())
        become_subreaper()
        cores.forbid()
        if handed is not None:
            descriptors.adopt(handed.limit)
        descriptors.raise_limit()
        folder = self._control_path.parent
        paths.prepare(folder)
        self._make_snapshots_folder()
        self._journal = Journal(self.config.snapshots / ".events.jsonl")
        if handed is not None:
            self._fixed |= {"config": handed.config, "started_at": handed.started_at}
            self._fixed["upgrades"] = handed.upgrades + 1
        since = self._fixed["started_at"]
        self._desk = Desk(self.charges, self._journal, started_at=since)
        server = ControlServer(self._control_path, self, pulse=lambda: self._desk.pulse)
        await server.start(None if handed is None else handed.control)
        loop.add_signal_handler(signal.SIGCHLD, self._child_ended)
        wakeups = Wakeups()
        with SocketFolder(folder, None if handed is None else handed.sockets) as sockets:
            self._fixed["sockets"] = sockets
            self._house = self._make_house(Path(sockets.path))
            self._upgrades = Upgrades(self._ground(server))
            if handed is None:
                who = {"pid": os.getpid(), "version": own_version()}
                self._note(None, "supervisor_started", who)
            for name in bots or self.config.bots:
                self.admit(self.config.bots[name])
            if handed is not None:
                self._go_on_from(handed, server)
            self._upward.start()
            self._door.open(self.config.web, None if handed is None else handed.web)
            if not self.dev:
                self._alerts.configure(self.config, None if handed is None else handed.alerts)
            try:
                await self._endpoint.configure(self.config.metrics)
                new = [c for c in self.charges.values() if not c.decided]
                await self.start(new)
                self._started = True
                await self._until_stopped()
            finally:
                await self._end(server, wakeups)
        return self._exit_code()

    async def _end(self, server: ControlServer, wakeups: Wakeups) -> None:
        await self._door.close()
        await self._reloads.close()
        for name in list(self.charges):
            await self._part_with(name)
        await server.close()
        self._upward.close()
        await self._alerts.close()
        self._logs.close()
        await self._endpoint.close()
        wakeups.close()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        self._journal.close()

    def _ground(self, server: ControlServer) -> Ground:
        return Ground(
            charges=self.charges,
            house=self._house,
            server=server,
            fixed=self._fixed,
            note=self._note_own,
            let_go=self._let_go,
            busy=self._busy,
            alerts=self._alerts.carry,
            web=self._door.carry,
        )

    def _let_go(self) -> Callable[[], None]:
        if not self._logs.flush():  # lines would be lost, and execve(2) waits for their thread
            why = "the log files are not written in time: a slow disk, or one that hangs"
            raise SupervisorError(why, "nothing was changed; see to that disk, then try again")
        return self.let_go()

    def _busy(self) -> str:
        if self._stopping:
            return "the supervisor stops"
        if not self._started:
            return "the bots are being started"
        return "the config is reloaded" if self._reloads.under_way else ""

    def _go_on_from(self, handed: handoff.Handoff, server: ControlServer) -> None:
        """Take the bots over from the program before ours; none of them notices."""
        for name, carried in handed.bots.items():
            self.charges[name].adopt(carried)
        children = {n: c.hands.child(c.state.current) for n, c in self.charges.items()}
        result = {
            "from": handed.version,
            "to": own_version(),
            "pid": os.getpid(),
            "pids": {name: child.pid for name, child in children.items() if child is not None},
            "upgrades": handed.upgrades,
            "duration_s": round(time.monotonic() - handed.began_at, 6),
        }
        self._note(None, "upgraded", result)
        server.answer_carried(result)
        # From here on whoever ended meanwhile is collected, and whoever wants us to stop is heard.
        reexec.release_inherited(handed.signals)
        self._child_ended()

    def _make_snapshots_folder(self) -> None:
        folder = self.config.snapshots
        try:
            files.make_private(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise SupervisorError(
                f"the folder of the snapshots, {folder}, cannot be made: {error.strerror}",
                "see `snapshots` in the config, and who may write there",
            ) from error

    def _make_house(self, socket_dir: Path) -> House:
        return House(
            config=self.config,
            dev=self.dev,
            control=str(self._control_path),
            socket_dir=socket_dir,
            changed=self._stepped,
            reread=self.request_reload,
            look=self._reloads.request_look,
            note=self._note,
            outlets=Outlets(
                terminal=self.dev and os.isatty(1),
                print=self._print,
                log=self._logs.put,
                offer=self._desk.offer_line,
            ),
        )

    async def _until_stopped(self) -> None:
        charges = self.charges.values()
        while True:
            # First: what changed before we came here is not told again.
            for charge in to_stop(charges, hurry=self._hurry) if self._stopping else ():
                if charge.state.wanted_up:
                    charge.post(ev.StopRequested(hurry=self._hurry))
            if self._stopping and are_down(charges, hurry=self._hurry):
                return
            refused = charges and all(each.state.phase is Phase.REFUSED for each in charges)
            if refused and not self._reloads.under_way:
                return
            self._changed.clear()
            await self._changed.wait()

    def request_stop(self, *, hurry: bool = False) -> None:
        """Stop all bots in good order, or at once; then `run` returns."""
        if not self._stopping:
            # A stop ends FAILED as well; the exit code still tells.
            self._failed = any(c.state.phase is Phase.FAILED for c in self.charges.values())
            self._note(None, "supervisor_stopping", {})
        self._stopping = True
        self._hurry = self._hurry or hurry
        self._upward.stopping()
        for charge in to_stop(self.charges.values(), hurry=self._hurry):
            charge.post(ev.StopRequested(hurry=self._hurry))
        self._changed.set()

    # What a reload asks of us.

    @property
    def stopping(self) -> bool:
        """Whether all is to end."""
        return self._stopping

    def request_reload(self) -> None:
        """Take the configuration anew, soon. What comes of it is in the journal."""
        self._reloads.request()

    async def take(self, config: Config, digest: str) -> None:
        """Go on by this one, in all that is no bot's. `digest`: what its file is like.

        Raises: SupervisorError if metrics can't be served as it says; all else is taken.
        """
        self.config = self._house.config = config
        self._fixed["config"] = digest
        self._logs.configure(config.logs)
        for charge in self.charges.values():
            charge.hands.mask(config.logs.mask)
            charge.hide_sessions()
        if not self.dev:
            self._alerts.configure(config)
        self._door.configure(config.web)
        await self._endpoint.configure(config.metrics)

    def admit(self, bot: BotConfig) -> Charge:
        """Care for one more; it is not started yet."""
        if bot.user and bot.session is not None and not bot.session_files:
            with suppress(OSError):  # it is told when its lock is taken
                belonging.make_way(self.config.session_dir(bot).parent)
        charge = Charge(self._house, bot, manager_of(self.config, bot, owned=True))
        self.charges[bot.name] = charge
        self._watches[bot.name] = asyncio.get_running_loop().create_task(charge.watch())
        return charge

    async def dismiss(self, name: str) -> None:
        """Care no more for one that is down."""
        await self._part_with(name)
        self.charges.pop(name).changed.set()  # who waits for it looks for its successor

    async def _part_with(self, name: str) -> None:
        watch = self._watches[name]
        watch.cancel()
        await self.charges[name].close()
        await asyncio.gather(watch, return_exceptions=True)
        del self._watches[name]

    async def start(self, charges: Collection[Charge]) -> None:
        """Start these, few at a time."""
        await start_all(charges, lambda: self._stopping)

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        """Write down how a reload goes, and tell the manager above us, who waits for its end."""
        if event in ("reloading", "reload_refused"):
            self._upward.reloading()
        if event in ("reloaded", "reload_refused"):
            self._upward.ready_again()
        self._note(None, event, fields)

    def _exit_code(self) -> int:
        phases = [charge.state.phase for charge in self.charges.values()]
        if self._failed or Phase.FAILED in phases:
            return EXIT_FAILED
        return EXIT_REFUSED if Phase.REFUSED in phases else 0

    def _child_ended(self) -> None:
        pids = [pid for charge in self.charges.values() for pid in charge.hands.pids]
        reap_orphans({*pids, *probes.running, *self._door.pids})

    # What the charges tell.

    def _stepped(self) -> None:
        self._changed.set()
        self._upward.look()

    def _standing(self) -> Standing:
        return standing([_fact(each) for each in self.charges.values()], stopping=self._stopping)

    def _note(self, bot: str | None, event: str, fields: dict[str, Any]) -> None:
        record = self._journal.append(bot, event, **fields)
        for tell in filter(None, (self._console, self._alerts.take, self._endpoint.note)):
            try:
                tell(record)
            except Exception as error:  # noqa: BLE001 - what cannot be told must still be done
                context = {"message": f"{event} could not be shown", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)

    def _note_own(self, event: str, fields: dict[str, Any]) -> None:
        self._note(None, event, fields)

    def _print(self, bot: str, stream: str, line: bytes) -> None:
        if self._output is not None:
            self._output(bot, stream, line)

    # What the control socket and the console ask for.

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Do it and return what a JSON line can hold. Raises: SupervisorError."""
        if command == "reload":
            return await self._reloads.reload()
        if command == "upgrade":
            return await self._upgrades.upgrade()
        if command == "web":
            return self._door.address()
        return await self._desk.call(command, args)

    def stream(self, command: str, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield objects until it ends or the asker is gone. Raises: SupervisorError."""
        return self._desk.stream(command, args)


def _fact(charge: Charge) -> Bot:
    # Down, and nobody has said so yet: its start is still to come.
    phase = charge.state.phase if charge.decided else Phase.CLAIMING
    return Bot(charge.bot.name, phase, charge.state.why)
