"""The rounds: a session's snapshots are checked daily, and once a week a restore is drilled.

Both have the lowest rank of all that is done to a session. The check is cut into slices that take
their turn in the session's thread, and stops between two of them while a restart is under way. The
drill, and what of the check opens a copy, touch nothing that others use: they have a thread of
their own, that no stop waits for.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from blake3 import blake3

from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase
from supervisor.loop.jobs import Jobs, in_words
from supervisor.loop.session_work import SessionWork
from supervisor.session.audited import Audited
from supervisor.session.drill import Drilled
from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot, since_1970
from supervisor.session.proof.halfway import half_written

# In these nobody waits for work on the session.
RESTING = frozenset(
    {Phase.UP, Phase.PAIRING, Phase.BACKOFF, Phase.FAILED, Phase.DOWN, Phase.REFUSED}
)
T = TypeVar("T")
_PAUSE_S = 0.1
# What failed may have read the whole store already, and fail again while the disk is full.
_LOOKS_AFTER_FAILURE = 12
RETAKEN = "retaken"
# So long after a hot copy that was half written the next is taken: further apart each time.
_RETAKES_S = (2.0, 10.0)


@dataclass(frozen=True, slots=True)
class Times:
    """How often, in seconds. `look_s`: how often it is seen whether something is due.

    `patience_s`: how long a check that a person asked for lets a restart go first, all in all. A
    bot that can't get online may be on its way for ever.
    """

    check_s: float = 86_400.0
    drill_s: float = 7 * 86_400.0
    look_s: float = 300.0
    patience_s: float = 10.0


def offset_s(session_id: str, every_s: float) -> float:
    """Return how much later this session is due than others: the same each time, in seconds.

    Up to a 24th of `every_s`: an hour of a day.
    """
    digest = blake3(session_id.encode("utf-8", "replace")).digest(length=4)
    return every_s / 24 * int.from_bytes(digest, "big") / 2**32


def due(now: float, last: float | None, every_s: float, offset_s: float) -> bool:
    """Return whether it is time again; seconds since 1970. See `lost` for what is not known."""
    return last is not None and not lost(now, last) and now - last >= every_s + offset_s


def lost(now: float, last: float | None) -> bool:
    """Return whether the time has to be counted from now on.

    It was never counted, or the clock went back behind it: to wait for the old time could take
    for ever, and to act at once would be a loop where the clock keeps jumping.
    """
    return last is None or last > now


def retake_s(snapshot: Snapshot, tries: int, session_id: str) -> float | None:
    """Return when a hot snapshot is to be taken again, in seconds from now; None: not.

    Only one that caught files half written, which a busy bot's next moment may not. `tries`: how
    often that was done for this one already.
    """
    if snapshot.verdict != "bad" or tries >= len(_RETAKES_S) or not half_written(snapshot.why):
        return None
    base_s = _RETAKES_S[tries]
    # Not in step with a bot that writes every so many seconds.
    return base_s + 24 * offset_s(f"{session_id} {snapshot.seq}", base_s)


class _GivenUp(Exception):  # noqa: N818 - it ends a drill, and is no error
    """The supervisor stops."""


class Rounds:
    """The check and the drill of one bot's session.

    `phase`: the bot's, at this moment. `changed`: is set when that changes. `turn`: is held while
    a round goes on, so that there is one at a time. `heal`, `retake`: take a snapshot, if the bot
    is up.
    """

    def __init__(
        self,
        manager: SessionManager,
        work: SessionWork,
        jobs: Jobs,
        *,
        phase: Callable[[], Phase],
        changed: asyncio.Event,
        turn: asyncio.Lock,
        report: Callable[..., None],
        heal: Callable[[], None],
        retake: Callable[[], None],
        times: Times | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._manager = manager
        self._work = work
        self._jobs = jobs
        self._phase = phase
        self._changed = changed
        self._turn = turn
        self._report = report
        self._heal = heal
        self._retake = retake
        self._retakes = 0
        self._retaking: asyncio.TimerHandle | None = None
        self._times = times or Times()
        self._clock = clock
        self._closed = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._left: set[asyncio.Future[Any]] = set()

    def start(self) -> None:
        """Go the rounds from now on. Harmless when begun before."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._go())

    async def close(self) -> None:
        """End them; what is under way in a thread of its own is given up."""
        self._closed.set()
        if self._retaking is not None:
            self._retaking.cancel()
        for future in list(self._left):
            if not future.done():
                future.set_result(None)
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    # What a person asks for.

    async def check(self) -> dict[str, Any]:
        """Check the live session and all snapshots now. Raises: SupervisorError."""
        found = await self._audit(asked=True)
        if found is None:
            raise SupervisorError("the check was given up: the supervisor stops")
        self._tell(found, asked=True)
        return found.as_json()

    # What comes by itself.

    def judged(self, snapshot: Snapshot) -> None:
        """Take a hot snapshot again, if it caught the bot while it was writing."""
        if snapshot.reason != RETAKEN:
            self._retakes = 0
        if self._retaking is not None:
            self._retaking.cancel()
            self._retaking = None
        wait_s = retake_s(snapshot, self._retakes, self._work.id)
        if wait_s is not None and not self._closed.is_set():
            self._retakes += 1
            self._retaking = asyncio.get_running_loop().call_later(wait_s, self._retake)

    async def _go(self) -> None:
        first_s = self._times.look_s + offset_s(self._work.id, self._times.look_s)
        await asyncio.sleep(first_s)
        while True:
            wait_s = self._times.look_s
            try:
                async with self._turn:
                    if self._phase() is Phase.UP and self._jobs.idle:
                        await self._look()
            except Exception as error:  # noqa: BLE001 - it is told, and the next round comes
                wait_s *= _LOOKS_AFTER_FAILURE
                self._report("check_failed", why=in_words(error))
                if not isinstance(error, (SupervisorError, OSError)):
                    context = {"message": "a round failed", "exception": error}
                    asyncio.get_running_loop().call_exception_handler(context)
            await asyncio.sleep(wait_s)

    async def _look(self) -> None:
        """See what is due, and do it."""
        record = await self._jobs.result(partial(self._manager.record, self._work.id))
        checked, drilled = _seconds(record.checked_at), _seconds(record.drilled_at)
        now = self._clock()
        check_anew, drill_anew = lost(now, checked), lost(now, drilled)
        if check_anew or drill_anew:
            await self._note(checked=check_anew, drilled=drill_anew)
        if self._is_due(now, checked, self._times.check_s):
            found = await self._audit(asked=False)
            if found is None:
                return  # others come first; it is due still
            # First, since the note may fail: on a full disk, say.
            self._tell(found, asked=False)
            if found.damaged and self._phase() is Phase.UP:
                self._heal()
            await self._note(checked=True)
        if self._is_due(now, drilled, self._times.drill_s) and self._phase() is Phase.UP:
            done = await self._in_thread(partial(self._manager.drill, self._work.id, self._hold_on))
            await self._drilled(done)

    def _is_due(self, now: float, last: float | None, every_s: float) -> bool:
        return due(now, last, every_s, offset_s(self._work.id, every_s))

    async def _note(self, *, checked: bool = False, drilled: bool = False) -> None:
        await self._in_turn(
            partial(self._manager.note_round, self._work.id, checked=checked, drilled=drilled)
        )

    async def _in_turn(self, job: Callable[[], Any]) -> Any:
        """Run a job in the session's thread, as the session's owner."""

        def owned() -> Any:
            with self._work.locked():
                return job()

        return await self._jobs.result(owned)

    async def _audit(self, *, asked: bool) -> Audited | None:
        """Check, slice by slice. None: it has to be given up."""
        audit = self._manager.audit(self._work.id, tell=asked)
        found: Audited | None = None
        until = asyncio.get_running_loop().time() + self._times.patience_s
        while await self._may_go_on(until if asked else None):
            step = await self._in_turn(partial(next, audit, None))
            if step is None:
                return found
            found = step
            if found.apart is not None:
                await self._in_thread(found.apart.run, leaves=True)
        return None

    async def _may_go_on(self, until: float | None) -> bool:
        """Wait while a restart is under way, then say whether to go on.

        `until`: the end of the patience of the person who asked, by the loop's clock; the check
        then goes on all the same, slice by slice. Unasked (None) it is given up: others wait for
        `turn`.
        """
        asked = until is not None
        wanted = RESTING if asked else {Phase.UP}
        look_until = asyncio.get_running_loop().time() + self._times.look_s
        with suppress(TimeoutError):
            async with asyncio.timeout_at(look_until if until is None else until):
                while self._phase() not in wanted:
                    self._changed.clear()
                    await self._changed.wait()
        return not self._closed.is_set() and (asked or self._phase() in wanted)

    def _hold_on(self, _done: int, _total: int) -> None:
        """Keep the drill's thread waiting while a restart is under way, and end it after that.

        A bot that stays offline would keep the other bots' rounds waiting, too.
        """
        until = time.monotonic() + self._times.look_s
        while not self._closed.is_set() and self._phase() not in RESTING:
            if time.monotonic() > until:
                raise _GivenUp
            self._closed.wait(_PAUSE_S)
        if self._closed.is_set():
            raise _GivenUp

    async def _in_thread(self, work: Callable[[], T], *, leaves: bool = False) -> T | None:
        """Run `work` in a thread that no exit waits for. None: it was given up.

        `leaves`: it does not see by itself that all is to end, so it is left to itself then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T | None] = loop.create_future()
        if leaves:
            self._left.add(future)
            future.add_done_callback(self._left.discard)

        def settle(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None or isinstance(error, _GivenUp):
                future.set_result(result)
            else:
                future.set_exception(error)

        def run() -> None:
            result, problem = None, None
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it is raised again in the loop
                problem = error
            with suppress(RuntimeError):  # the loop is gone, and so is who waits
                loop.call_soon_threadsafe(settle, result, problem)

        threading.Thread(target=run, name=f"rounds-{self._work.id}", daemon=True).start()
        return await future

    async def _drilled(self, done: Drilled | None) -> None:
        """Write down and tell what came of a drill."""
        if done is None:
            return  # no good snapshot is there yet: that is looked at again soon
        if done.condemned:
            with suppress(SupervisorError):  # pruned meanwhile
                await self._in_turn(
                    partial(self._manager.condemn, self._work.id, done.snapshot, done.why)
                )
        if done.outcome == "passed":
            took_s = round(done.duration_s, 6)
            size = done.size_bytes
            self._report("drill_passed", snapshot=done.snapshot, duration_s=took_s, bytes=size)
        elif done.outcome == "skipped":
            self._report("drill_skipped", snapshot=done.snapshot, why=done.why, hint=done.hint)
        else:
            self._report("drill_failed", snapshot=done.snapshot, why=done.why, hint=done.hint)
        if done.condemned and self._phase() is Phase.UP:
            self._heal()
        await self._note(drilled=True)

    def _tell(self, found: Audited, *, asked: bool) -> None:
        self._report(
            "snapshots_checked",
            snapshots=len(found.snapshots),
            restorable=found.restorable,
            damaged=found.damaged,
            bytes=found.bytes_read,
            duration_s=round(found.duration_s, 6),
            asked=asked,
            live=found.check.verdict,
        )


def _seconds(text: str | None) -> float | None:
    try:
        return since_1970(text) if text else None
    except ValueError:
        return None
