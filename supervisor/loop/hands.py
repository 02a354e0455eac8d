"""The hands of one bot: they perform the core's effects, and tell what came of them as events."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, assert_never

from supervisor.config import BotConfig, Config
from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.loop.hearing import Hearing
from supervisor.loop.jobs import Jobs, in_words
from supervisor.loop.session_work import SessionWork
from supervisor.loop.spares import Spares
from supervisor.loop.starts import Starts
from supervisor.loop.strangers import Strangers
from supervisor.process import browser
from supervisor.process.carried import Carried
from supervisor.process.child import Child
from supervisor.session.manager import SessionManager
from supervisor.watch import bytecode
from supervisor.watch.preflight import Problem, preflight, preflight_node
from supervisor.watch.watcher import Watcher


@dataclass(slots=True, kw_only=True)
class Tools:
    """What a pair of hands is given."""

    config: Config
    bot: BotConfig
    manager: SessionManager
    watcher: Watcher | None
    socket_dir: Path
    control: str
    post: Callable[[ev.Event], None]
    report: Callable[..., None]
    on_line: Callable[[int, str, bytes], None]
    on_prompt: Callable[[int, str, bytes], None]
    on_drop: Callable[[int, str, int], None]
    on_qr: Callable[[], None]
    take_turn: Callable[[], None]
    terminal: bool = False
    stdin: bool = False
    spare: bool = False  # whether a warm spare is worth its memory


# Most bots save at once when they are told to stop, and then take longer to say goodbye. And as
# many have opened their session so soon after they got it: until then the disk is theirs.
_SAVED_S, _OPENED_S = 0.015, 0.02


class Hands:
    """Performs the effects of one bot."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._bot = tools.bot
        self._loop = asyncio.get_running_loop()
        self._children: dict[int, Child] = {}
        self._unjudged = False  # whether it was said that changes can't be judged
        self.jobs = Jobs(tools.bot.name, tools.post, tools.report)
        self.session = SessionWork(
            tools.config,
            tools.bot,
            tools.manager,
            control=tools.control,
            jobs=self.jobs,
            report=tools.report,
            members=self.members,
        )
        self.strangers = Strangers(tools.report)
        self.starts = self._make_starts()
        self.hearing = Hearing(
            tools.bot,
            task=self.jobs.task,
            whose=partial(self.jobs.result, self.session.whose, only_looks=True),
            restart=partial(tools.post, ev.RestartRequested()),
            report=tools.report,
            on_code=tools.on_qr,
            prefix=self.starts.prefix,
        )
        self.spares = Spares(
            self.starts,
            tools.bot,
            self.jobs,
            wanted=tools.spare,
            sources=self._sources,
            report=tools.report,
        )

    def _make_starts(self) -> Starts:
        tools, session = self._tools, self.session
        return Starts(
            tools.config,
            tools.bot,
            lock=session.lock,
            token_prefix=session.token_prefix,
            folder=session.folder if session.id else None,
            socket_dir=tools.socket_dir,
            watched=tools.watcher is not None,
            terminal=tools.terminal,
            stdin=tools.stdin,
            emit=self._heard,
            on_line=self._line,
            on_drop=tools.on_drop,
            on_prompt=self._prompt,
            on_qr=tools.on_qr,
            on_stranger=self.strangers.came,
        )

    def _sources(self) -> list[Path]:
        return [] if self._tools.watcher is None else self._tools.watcher.sources()

    # What others may look at.

    @property
    def pids(self) -> list[int]:
        """The main processes that somebody waits for."""
        return [*(child.pid for child in self._children.values()), *self.spares.pids]

    def child(self, generation: int | None) -> Child | None:
        """Return a generation that is not yet gone."""
        return None if generation is None else self._children.get(generation)

    def reconfigure(self, bot: BotConfig) -> None:
        """Go on by other settings: of those that its process does not depend on."""
        self._bot = bot
        self.starts.reconfigure(bot)
        self.hearing.reconfigure(bot)
        self.session.reconfigure(bot)

    def mask(self, more: Sequence[str]) -> None:
        """Blot out by these patterns from now on, whatever runs and whatever is started."""
        if more == self.starts.mask:
            return
        self.starts.mask = more
        for child in self._children.values():
            child.speech.mask(more)
        self.spares.drop()  # the next one goes by them

    def members(self, generation: int) -> list[int]:
        """Return the live pids of a generation's tree."""
        child = self.child(generation)
        return [] if child is None else child.members()

    # Effects.

    def perform(self, effect: do.Effect) -> None:  # noqa: C901, PLR0912, PLR0915 - a table
        """Start what is asked for."""
        session, jobs = self.session, self.jobs
        match effect:
            case do.ClaimOwner(ticket):
                self.spares.drop()  # what is swept then must be others'
                jobs.job(ticket, self._claim)
            case do.ReleaseOwner():
                jobs.note(session.commit_seals)
                jobs.note(session.validate)
                jobs.note(session.release)
            case do.FindSurvivors(ticket):
                jobs.job(ticket, session.find_survivors)
            case do.EvictSurvivors(ticket, within_s, kill):
                jobs.task(session.evict(ticket, self._tools.post, within_s=within_s, kill=kill))
            case do.CheckSession(ticket, full):
                jobs.job(ticket, partial(session.check, full=full))
            case do.RestoreSession(ticket, because):
                jobs.note(session.commit_seals)
                jobs.job(ticket, partial(session.restore, because=because))
            case do.Operate(ticket, operation):
                jobs.note(session.commit_seals)
                jobs.job(ticket, partial(session.operate, operation=operation))
            case do.RefuseOperation(operation, why):
                session.settle(operation, SupervisorError(f"not done: {why}"))
            case do.CommitSeat(ticket, generation):
                jobs.job(ticket, partial(session.commit_seat, generation=generation))
            case do.RunPreflight(ticket, paths):
                self.spares.doubt(self._tools.config.root / path for path in paths)
                jobs.task(self._preflight(ticket, paths))
            case do.TakeTurn():
                self._tools.take_turn()
            case do.SpawnStandby(generation, changed):
                self._spawn(generation, changed, cold=False)
            case do.SpawnCold(generation, changed):
                self._spawn(generation, changed, cold=True)
                jobs.note_late(session.commit_seals, _OPENED_S)
            case do.Activate(generation):
                if child := self.child(generation):
                    child.activate(session.folder)
                jobs.note_late(session.commit_seals, _OPENED_S)
            case do.RequestCheckpoint(generation):
                if child := self.child(generation):
                    child.request_checkpoint()
            case do.TakeSnapshot(ticket, reason, generation):
                self.snapshot(ticket, reason, generation)
            case do.Seal(ticket, generation):
                jobs.job(ticket, partial(session.seal, generation=generation))
            case do.Terminate(generation):
                if child := self.child(generation):
                    self._terminate(child)
            case do.AskDump(generation):
                if child := self.child(generation):
                    child.ask_dump(self._bot.limits.hang_signal)
            case do.Kill(generation):
                if child := self.child(generation):
                    child.kill()
            case do.NoteLinked(identity):
                jobs.note(partial(session.note_linked, identity))
            case do.NoteVerified(generation, identity, proof, seconds):
                jobs.note(partial(session.note_verified, generation, identity, proof, seconds))
                jobs.note(session.validate)
                jobs.note(session.fold)
            case do.NoteProof(generation, proof):
                jobs.note(partial(session.note_proof, generation, proof))
            case do.NoteState(state):
                jobs.note(partial(session.note_state, state))
            case do.NoteQr():
                jobs.note(session.note_qr)
            case do.Report(event, fields):
                self._report(event, dict(fields))
            case _:
                assert_never(effect)

    def refuse(self, event: ev.Event, why: str) -> None:
        """Tell who waits for what the event asks for that it will not be done."""
        if isinstance(event, ev.OperationRequested):
            self.session.settle(event.operation, SupervisorError(f"not done: {why}"))

    def _terminate(self, child: Child) -> None:
        if self._bot.library.process.close == "browser" and child.status is None:
            self.jobs.task(self._close_first(child))
            return
        child.terminate()
        if not child.stands_by:
            self._loop.call_later(_SAVED_S, self._begin_seal, child.generation)
        self._loop.call_soon(self.spares.look)  # while that one stops

    async def _close_first(self, child: Child) -> None:
        """Have its browser save what it holds; a signal ends it without."""
        closed = await browser.close_browsers(child.members())
        if closed:
            self._tools.report("browser_closed", generation=child.generation, what=closed)
        child.terminate()

    def _begin_seal(self, generation: int) -> None:
        """Unless it is gone already: then the seal itself is under way."""
        if self.child(generation):
            self.jobs.note(partial(self.session.begin_seal, generation=generation))

    def _claim(self, ticket: int) -> ev.Event:
        # Once for all files; from then on the preflight does it for those that changed.
        folder, python = self.starts.bytecode_folder, self.starts.python
        if folder is not None and python is not None:
            bytecode.refresh(self._sources(), folder, python)
        return self.session.claim(ticket)

    def snapshot(self, ticket: int, reason: str, generation: int) -> None:
        """Copy the session of a running bot; with ticket 0 nobody waits, and it is judged at once.

        In a restart the verdict waits until the bot is back.
        """
        self.jobs.job(ticket, partial(self.session.snapshot, reason=reason, generation=generation))
        if not ticket:
            self.jobs.note(self.session.validate)

    async def _preflight(self, ticket: int, paths: tuple[str, ...]) -> None:
        root, python = self._tools.config.root, self.starts.python
        if python is not None:
            folder = self.starts.bytecode_folder
            problems = await preflight(paths, base=root, python=python, prefix=folder)
        else:
            problems = await self._preflight_node(paths)
        if problems:
            self._tools.post(ev.PreflightFailed(ticket, tuple(map(asdict, problems))))
        else:
            self._tools.post(ev.PreflightPassed(ticket))

    async def _preflight_node(self, paths: tuple[str, ...]) -> list[Problem]:
        starts = self.starts
        found = await preflight_node(
            paths,
            base=self._tools.config.root,
            command=starts.command,
            cwd=self._bot.cwd,
            env=starts.environment(),
            prefix=starts.prefix,
        )
        if not isinstance(found, str):
            return found
        if not self._unjudged:
            self._unjudged = True
            self._tools.report("preflight_skipped", why=found)
        return []

    def _report(self, event: str, fields: dict[str, Any]) -> None:
        if event == "standby_failed" and (child := self.child(fields.get("generation"))):
            fields["tail"] = [line for line in child.heard.tail if line.strip()]
        if event in ("backoff", "failed"):
            self.jobs.note(self.session.commit_seals)
        if event == "conflict":
            self.jobs.note(partial(self.session.report_conflict, **fields))
            return
        self._tools.report(event, **fields)

    # An upgrade in place.

    def why_not_now(self) -> str:
        """Return what is under way that cannot be carried over; "" for nothing."""
        if not self.jobs.at_rest:
            return "work on its session is under way"
        if self.spares.pids:
            return "its spare has not ended yet"
        for generation, child in self._children.items():
            if child.carry() is None:
                return f"generation {generation} is on its way"
        return "" if len(self._children) <= 1 else "two generations run"

    def carry(self) -> Carried | None:
        """Return the generation that runs, for the program that follows ours."""
        return next((child.carry() for child in self._children.values()), None)

    def adopt(self, carried: Carried) -> None:
        """Take a generation over; one that is no longer there has ended."""
        generation = carried.generation
        try:
            self._children[generation] = child = self.starts.adopt(carried)
            self.hearing.adopt(child)
        except SupervisorError:
            self._loop.call_soon(self._heard, ev.Exited(generation, -signal.SIGKILL))
            self._loop.call_soon(self._heard, ev.TreeGone(generation))

    # Generations.

    def _spawn(self, generation: int, changed: tuple[str, ...], *, cold: bool) -> None:
        tools, session = self._tools, self.session
        try:
            self._look_at_source()
            session.prepare_folder()
            self.starts.list_changed(changed)
            folder = session.folder if cold and session.id else None
            child = self.spares.take(generation, session_dir=folder)
            from_spare = child is not None
            if child is None:
                lock_fd = session.lock.generation_fd(generation)
                try:
                    child = self.starts.start(generation, lock_fd, cold=cold)
                finally:
                    os.close(lock_fd)
        except Exception as error:  # noqa: BLE001 - whatever it was: the core waits for a process
            if not isinstance(error, (SupervisorError, OSError)):
                self._loop.call_exception_handler({"message": "no spawn", "exception": error})
            self._loop.call_soon(tools.post, ev.SpawnFailed(generation, in_words(error)))
            return
        self._children[generation] = child
        self.hearing.begin(child, waits=not cold)
        mode = "standby" if not cold else "warm" if from_spare else "cold"
        tools.report("spawned", generation=generation, pid=child.pid, mode=mode, spare=from_spare)
        self._loop.call_soon(tools.post, ev.Spawned(generation, child.pid, spare=from_spare))

    def _look_at_source(self) -> None:
        """See what changed since the last look: this generation may have it, or be dirty soon."""
        watcher = self._tools.watcher
        if watcher is not None and (change := watcher.check()) is not None:
            root = self._tools.config.root
            self.spares.doubt(
                root / path for path in change.paths
            )  # it was looked at before this change
            event = ev.SourceChanged(
                change.paths, change.saved_at, change.detected_at, change.quiet_at
            )
            # At once: the watcher's word that it has settled must not come before it.
            self._tools.post(event)

    def _heard(self, event: ev.Event) -> None:
        if isinstance(event, ev.Exited) and (child := self.child(event.generation)):
            self._tools.report(
                "exited",
                generation=event.generation,
                status=max(event.status, 0),
                signal=max(-event.status, 0) or None,
                uptime_s=round(time.monotonic() - child.started_at, 3),
            )
        self._tools.post(event)
        if isinstance(event, ev.TreeGone):
            self._children.pop(event.generation, None)
            self.hearing.forget(event.generation)

    def _line(self, generation: int, stream: str, line: bytes) -> None:
        self._tools.on_line(generation, stream, line)
        self.hearing.line(generation, line.decode("utf-8", "replace"))

    def _prompt(self, generation: int, stream: str, begun: bytes) -> None:
        self._tools.on_prompt(generation, stream, begun)
        self.hearing.prompt(generation, begun)
