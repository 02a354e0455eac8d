"""The hands of one bot: they perform the core's effects, and tell what came of them as events.

Nothing is decided here. Work on the session runs in one thread per bot, in the order in which it
was asked for, so that no two jobs ever touch one session and the lock is given back last.
"""

import asyncio
import functools
import os
import re
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, assert_never

from supervisor.config import BotConfig, Config, interpreter, resolved_command
from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.process import environment, probes, survivors
from supervisor.process.child import Child, Plan
from supervisor.process.signals import frozen
from supervisor.session.capture import Capture
from supervisor.session.lock import OwnerLock
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from supervisor.watch import bytecode
from supervisor.watch.preflight import preflight
from supervisor.watch.watcher import Watcher

Report = Callable[..., None]


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
    report: Report
    on_line: Callable[[int, str, bytes], None]
    on_qr: Callable[[], None]
    terminal: bool = False
    stdin: bool = False


class Hands:
    """Performs the effects of one bot."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._bot = tools.bot
        self._manager = tools.manager
        self._session = tools.bot.session or ""
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"session-{tools.bot.name}")
        self._tasks: set[asyncio.Future[Any]] = set()
        if self._session:
            self._folder = tools.manager.folder(self._session)
            self._lock = tools.manager.lock_for(self._session)
        else:
            self._folder = tools.bot.cwd
            self._lock = OwnerLock(tools.config.sessions, f"companion-{tools.bot.name}")
        place = str(self._lock.path.absolute()).encode()
        self._token_prefix = blake2b(place, digest_size=8).hexdigest()
        self._children: dict[int, Child] = {}
        self._seals: list[Capture] = []
        self._unvalidated: list[str] = []
        self._lost_generations: tuple[int, ...] = ()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._waits = 0

    # What others may look at.

    @property
    def pid(self) -> int | None:
        """The pid of the newest generation that has not ended."""
        alive = [child for child in self._children.values() if child.status is None]
        return alive[-1].pid if alive else None

    @property
    def pids(self) -> list[int]:
        """The main processes that somebody waits for."""
        return [child.pid for child in self._children.values()]

    def child(self, generation: int | None) -> Child | None:
        """Return a generation that is not yet gone."""
        return None if generation is None else self._children.get(generation)

    def recheck(self) -> None:
        """Some process ended: look whether a tree is gone."""
        for child in list(self._children.values()):
            child.recheck()

    async def close(self) -> None:
        """Let the work on the session end, then the thread."""
        for task in list(self._tasks):
            with suppress(Exception):
                await asyncio.wait_for(asyncio.shield(task), 5)
        self._worker.shutdown(wait=True)

    def record(self) -> Any:
        """Return the session's durable record; None for a companion."""
        return self._manager.record(self._session) if self._session else None

    def snapshot_soon(self, reason: str, generation: int) -> None:
        """Copy the session of a running bot; nobody waits."""
        self._job(0, functools.partial(self._taken, reason=reason, generation=generation))

    async def now(self, operation: str, generation: int | None) -> Any:
        """Do what needs no stop: `backup` or `prune`. Raises: SupervisorError."""
        if operation == "prune":
            work = functools.partial(self._manager.cleanup_old_backups, self._session)
            return {"removed": await self._loop.run_in_executor(self._worker, work)}
        return await self._loop.run_in_executor(self._worker, self._backup, generation)

    def _backup(self, generation: int | None) -> dict[str, Any]:
        if self.child(generation) is None:
            if not self._lock.held:
                with self._lock:
                    return self._manager.backup(self._session).as_json()
            return self._manager.backup(self._session).as_json()
        name = self._snapshot(reason="manual", generation=generation or 0, validate=True)
        found = [s for s in self._manager.snapshots(self._session) if s.id == name]
        return found[-1].as_json() if found else {}

    async def find_snapshot(self, name: str) -> None:
        """Return if the session has that snapshot. Raises: SupervisorError, with those it has."""
        work = functools.partial(self._manager.snapshots, self._session)
        known = [s.id for s in await self._loop.run_in_executor(self._worker, work)]
        if not any(name in (one, one.removesuffix(".json")) for one in known):
            raise SupervisorError(
                f"session {self._session} has no snapshot {name}",
                f"see: stillhere session snapshots {self._session}",
            )

    def new_operation(
        self, kind: str, snapshot: str | None = None
    ) -> tuple[ev.Operation, asyncio.Future[Any]]:
        """Return an operation to post, and what will hold its outcome."""
        self._waits += 1
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting[self._waits] = future
        return ev.Operation(kind, self._waits, snapshot), future  # type: ignore[arg-type]  # the caller's literals

    # Effects.

    def perform(self, effect: do.Effect) -> None:  # noqa: C901, PLR0912, PLR0915 - a table
        """Start what is asked for."""
        match effect:
            case do.ClaimOwner(ticket):
                self._job(ticket, self._claim)
            case do.ReleaseOwner():
                self._run(self._flush_seals)
                self._run(self._release)
            case do.FindSurvivors(ticket):
                self._job(ticket, self._find_survivors)
            case do.EvictSurvivors(ticket, kill):
                self._spawn_task(self._evict(ticket, kill=kill))
            case do.CheckSession(ticket, full):
                self._job(ticket, functools.partial(self._check, full=full))
            case do.RestoreSession(ticket, because):
                self._run(self._flush_seals)
                self._job(ticket, functools.partial(self._restore, because=because))
            case do.Operate(ticket, operation):
                self._run(self._flush_seals)
                self._job(ticket, functools.partial(self._operate, operation=operation))
            case do.RefuseOperation(operation, why):
                self._settle(operation, SupervisorError(f"not done: {why}"))
            case do.CommitSeat(ticket, generation):
                self._job(ticket, functools.partial(self._commit_seat, generation=generation))
            case do.RunPreflight(ticket, paths):
                self._spawn_task(self._preflight(ticket, paths))
            case do.SpawnStandby(generation):
                self._spawn(generation, cold=False)
            case do.SpawnCold(generation):
                self._spawn(generation, cold=True)
                self._run(self._flush_seals)
            case do.Activate(generation):
                if child := self.child(generation):
                    child.activate(self._folder)
                self._run(self._flush_seals)
            case do.RequestCheckpoint(generation):
                if child := self.child(generation):
                    child.request_checkpoint()
            case do.TakeSnapshot(ticket, reason, generation):
                work = functools.partial(self._taken, reason=reason, generation=generation)
                self._job(ticket, work)
            case do.Seal(ticket, generation):
                self._job(ticket, functools.partial(self._seal, generation=generation))
            case do.Terminate(generation):
                if child := self.child(generation):
                    child.terminate()
            case do.Kill(generation):
                if child := self.child(generation):
                    child.kill()
            case do.NoteLinked(identity):
                self._run(lambda: self._manager.note_linked(self._session, identity or None))
            case do.NoteVerified():
                self._run(functools.partial(self._note_verified, effect))
                self._run(self._validate)
            case do.NoteProof(generation, proof):
                self._run(lambda: self._manager.mark_proof(self._session, generation, proof))
            case do.NoteState(state):
                if self._session:
                    self._run(lambda: self._manager.note_state(self._session, state))
            case do.NoteQr():
                self._run(lambda: self._manager.note_qr(self._session))
            case do.Report(event, fields):
                self._report(event, dict(fields))
            case _:
                assert_never(effect)

    # The lock and who else may be there.

    def _claim(self, ticket: int) -> ev.Event:
        try:
            self._lock.acquire(control=self._tools.control)
        except SessionBusy as error:
            return ev.OwnerBusy(ticket, error.pid)
        newest = self._manager.record(self._session).generation if self._session else 0
        return ev.OwnerTaken(ticket, max(newest, *self._lock.survivors(), 0))

    def _release(self) -> None:
        if self._session and self._lock.held:
            self._manager.set_seat(self._session, None)
        self._lock.release()

    def _find_survivors(self, ticket: int) -> ev.Event:
        self._lost_generations = self._lock.survivors()
        pids = survivors.find(self._token_prefix, self._lost_generations, self._lock.path)
        if pids or self._lost_generations:
            self._report_soon(
                "survivors_found", pids=pids, generations=list(self._lost_generations)
            )
        # A held byte with nobody to be seen is somebody: never start beside it.
        nobody = (0,) if self._lost_generations else ()
        return ev.SurvivorsFound(ticket, tuple(pids) or nobody)

    async def _evict(self, ticket: int, *, kill: bool) -> None:
        def look() -> list[int]:
            held = self._lock.survivors()
            pids = survivors.find(self._token_prefix, held, self._lock.path)
            return pids or [0] * len(held)

        await survivors.evict(look, kill=kill)
        self._tools.report("survivors_gone")
        self._tools.post(ev.SurvivorsGone(ticket))

    # The session.

    def _check(self, ticket: int, *, full: bool) -> ev.Event:
        check = self._manager.check(self._session, full=full)
        record = self._manager.record(self._session)
        self._report_soon(
            "session_checked",
            verdict=check.verdict,
            why=check.why,
            identity=check.identity,
            files=check.files,
            size_bytes=check.size_bytes,
            epoch=record.epoch,
            linked=check.linked,
            snapshots=len(self._manager.snapshots(self._session)) if full else None,
        )
        return ev.SessionChecked(
            ticket,
            check.verdict,
            linked=check.linked,
            foreign=check.foreign,
            identity=record.identity or "",
            why=check.why,
        )

    def _restore(self, ticket: int, *, because: Any) -> ev.Event:
        try:
            restored = self._manager.restore(self._session, because=because)
        except NothingToRestore as error:
            self._report_soon("nothing_to_restore", why=error.message, hint=error.hint)
            return ev.NothingToRestore(ticket, error.message)
        self._report_restored(restored)
        return ev.SessionRestored(ticket)

    def _report_restored(self, restored: Any) -> None:
        snapshot = restored.snapshot
        self._report_soon(
            "session_restored",
            action=restored.action,
            snapshot=None if snapshot is None else snapshot.id,
            age_s=restored.age_s,
            duration_s=restored.duration_s,
            quarantined=restored.quarantined,
        )

    def _operate(self, ticket: int, *, operation: ev.Operation) -> ev.Event:
        result: Any = None
        try:
            if operation.kind == "restore":
                result = self._manager.restore_from_backup(self._session, operation.snapshot)
                self._report_restored(result)
                result = asdict(result)
            elif operation.kind == "clear":
                result = {"quarantined": self._manager.clear(self._session)}
                self._report_soon("session_cleared", **result)
            else:
                quarantined = self._manager.close_epoch(self._session, operation.why)
                self._report_soon("epoch_closed", why=operation.why, quarantined=quarantined)
        except SupervisorError as error:
            if not operation.id:
                raise
            self._loop.call_soon_threadsafe(self._settle, operation, error)
        else:
            self._loop.call_soon_threadsafe(self._settle, operation, result)
        return ev.OperationDone(ticket)

    def _settle(self, operation: ev.Operation, outcome: Any) -> None:
        future = self._waiting.pop(operation.id, None)
        if future is None or future.done():
            return
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _commit_seat(self, ticket: int, *, generation: int) -> ev.Event:
        if self._session:
            self._manager.set_seat(self._session, generation)
        return ev.SeatCommitted(ticket)

    def _taken(self, ticket: int, *, reason: str, generation: int) -> ev.Event | None:
        self._snapshot(reason=reason, generation=generation)
        return ev.SnapshotTaken(ticket) if ticket else None

    def _snapshot(self, *, reason: str, generation: int, validate: bool = False) -> str:
        child = self.child(generation)
        pids = [] if child is None else child.members()
        pre = self._manager.precapture(self._session)
        deadline_s = self._bot.snapshots.freeze_timeout_ms / 1000
        with frozen(pids, deadline_s) as still:
            capture = self._manager.capture(
                self._session, reason=reason, generation=generation, hot=True, pre=pre, frozen=still
            )
        return self._commit(capture, validate=validate)

    def _commit(self, capture: Capture, *, validate: bool = False) -> str:
        snapshot = self._manager.commit(capture, validate=validate)
        if snapshot.verdict == "pending":
            self._unvalidated.append(snapshot.id)
        event = "snapshot_taken" if capture.hot else "sealed"
        self._report_soon(event, snapshot=snapshot.as_json())
        return snapshot.id

    def _seal(self, ticket: int, *, generation: int) -> ev.Event:
        capture = self._manager.capture(
            self._session, reason="sealed", generation=generation, hot=False
        )
        self._seals.append(capture)
        check = self._manager.check(self._session, quick=True)
        return ev.Sealed(ticket, intact=check.verdict == "passed")

    def _flush_seals(self) -> None:
        """Commit what was captured: it is safe in a copy, so this may wait for the hand-over."""
        while self._seals:
            capture = self._seals.pop(0)
            try:
                self._commit(capture)
            except SupervisorError as error:
                self._report_soon("snapshot_failed", why=error.message, hint=error.hint)

    def _validate(self) -> None:
        while self._unvalidated:
            name = self._unvalidated.pop()
            try:
                snapshot = self._manager.validate(self._session, name)
            except SupervisorError:
                continue  # pruned meanwhile, or told at the next check
            if snapshot.verdict != "good":
                self._report_soon("snapshot_judged", snapshot=snapshot.as_json())

    def _note_verified(self, effect: do.NoteVerified) -> None:
        self._manager.note_verified(
            self._session, effect.identity or None, effect.proof, effect.seconds
        )
        self._manager.mark_proof(self._session, effect.generation, effect.proof)

    # Generations.

    def _spawn(self, generation: int, *, cold: bool) -> None:
        tools, bot = self._tools, self._bot
        lock_fd: int | None = None
        try:
            # What changed since the last look is in this generation already, or soon dirty.
            if tools.watcher is not None and (change := tools.watcher.check()) is not None:
                self._loop.call_soon(
                    tools.post,
                    ev.SourceChanged(
                        change.paths, change.saved_at, change.detected_at, change.quiet_at
                    ),
                )
            lock_fd = self._lock.generation_fd(generation)
            self._prepare_folder()
            child = Child(
                Plan(
                    generation=generation,
                    token_prefix=self._token_prefix,
                    command=resolved_command(bot, tools.config.root),
                    cwd=bot.cwd,
                    env=self._environment(),
                    session_id=self._session or bot.name,
                    session_dir=self._folder if cold and self._session else None,
                    notify=bot.ready.kind == "notify",
                    socket_dir=tools.socket_dir,
                    lock_fd=lock_fd,
                    stop_signal=bot.stop_signal,
                    terminal=tools.terminal,
                    stdin=tools.stdin,
                ),
                emit=self._heard,
                on_line=lambda stream, line: self._line(generation, stream, line),
                on_qr=tools.on_qr,
            )
        except (SupervisorError, OSError) as error:
            self._loop.call_soon(tools.post, ev.SpawnFailed(generation, str(error)))
            return
        finally:
            if lock_fd is not None:
                os.close(lock_fd)
        self._children[generation] = child
        mode = "cold" if cold else "standby"
        tools.report("spawned", generation=generation, pid=child.pid, mode=mode)
        self._loop.call_soon(tools.post, ev.Spawned(generation, child.pid))
        if bot.ready.kind in ("http", "tcp", "file", "command"):
            self._spawn_task(self._probe(generation))

    def _prepare_folder(self) -> None:
        if self._session:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)

    def _environment(self) -> dict[str, str]:
        tools, bot = self._tools, self._bot
        env = environment.base(bot.env, bot.env_file)
        env["STILLHERE_SESSIONS"] = str(tools.config.sessions)
        python = interpreter(bot, tools.config.root)
        if python is not None:
            folder = bytecode.prefix(tools.config.path)
            extra = bytecode.variables(env, folder)
            if extra and tools.watcher is not None:
                bytecode.refresh(tools.watcher.sources(), folder, python)
            env.update(extra)
        return env

    def _heard(self, event: ev.Event) -> None:
        child = self._children.get(getattr(event, "generation", 0))
        if isinstance(event, ev.Exited) and child is not None:
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

    def _line(self, generation: int, stream: str, line: bytes) -> None:
        self._tools.on_line(generation, stream, line)
        check = self._bot.ready
        if check.kind == "log":
            text = line.decode("utf-8", "replace")
            if re.search(str(check.value), text):
                self._loop.call_soon(self._tools.post, ev.BotReady(generation))

    async def _probe(self, generation: int) -> None:
        child = self._children[generation]
        env = self._environment()
        probe = asyncio.ensure_future(
            probes.wait_ready(self._bot.ready, cwd=self._bot.cwd, env=env)
        )
        while not probe.done() and child.status is None:
            await asyncio.wait([probe], timeout=1.0)
        if probe.done() and not probe.cancelled() and probe.exception() is None:
            self._tools.post(ev.BotReady(generation))
        probe.cancel()

    async def _preflight(self, ticket: int, paths: tuple[str, ...]) -> None:
        tools = self._tools
        python = interpreter(self._bot, tools.config.root)
        problems = (
            [] if python is None else await preflight(paths, base=tools.config.root, python=python)
        )
        if problems:
            errors = [asdict(problem) for problem in problems]
            tools.report("preflight_failed", errors=errors)
            tools.post(ev.PreflightFailed(ticket))
        else:
            tools.post(ev.PreflightPassed(ticket))

    # Reports.

    def _report(self, event: str, fields: dict[str, Any]) -> None:
        if event == "standby_failed" and (child := self.child(fields.get("generation"))):
            fields["tail"] = [line for line in child.heard.tail if line.strip()]
        self._tools.report(event, **fields)

    def _report_soon(self, event: str, **fields: Any) -> None:
        """Report from the session's thread."""
        self._loop.call_soon_threadsafe(functools.partial(self._tools.report, event, **fields))

    # Threads and tasks.

    def _job(self, ticket: int, work: Callable[[int], ev.Event | None]) -> None:
        """Run a job of the core; its event, or JobFailed, follows."""

        def done(future: asyncio.Future[ev.Event | None]) -> None:
            self._tasks.discard(future)
            error = future.exception()
            if error is None:
                event = future.result()
                if event is not None:
                    self._tools.post(event)
                return
            self._complain(error)
            if ticket:
                self._tools.post(ev.JobFailed(ticket, _in_words(error)))
            else:
                self._tools.report("snapshot_failed", why=_in_words(error))

        future = self._loop.run_in_executor(self._worker, work, ticket)
        self._tasks.add(future)
        future.add_done_callback(done)

    def _run(self, work: Callable[[], Any]) -> None:
        """Run what nobody waits for; what goes wrong is reported."""

        def done(future: asyncio.Future[Any]) -> None:
            self._tasks.discard(future)
            if (error := future.exception()) is not None:
                self._complain(error)
                self._tools.report("note_failed", why=_in_words(error))

        future = self._loop.run_in_executor(self._worker, work)
        self._tasks.add(future)
        future.add_done_callback(done)

    def _spawn_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)

        def done(finished: asyncio.Future[None]) -> None:
            self._tasks.discard(finished)
            if not finished.cancelled() and (error := finished.exception()) is not None:
                self._complain(error)
                self._tools.report("note_failed", why=_in_words(error))

        task.add_done_callback(done)

    def _complain(self, error: BaseException) -> None:
        if not isinstance(error, (SupervisorError, OSError)):
            self._loop.call_exception_handler({"message": "a job failed", "exception": error})


def _in_words(error: BaseException) -> str:
    return str(error) or type(error).__name__
