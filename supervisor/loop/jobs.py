"""Work that takes a while, kept apart from the loop: its result comes back as an event.

Work on the session runs in one strand per bot, in the order in which it was asked for: no two
jobs ever touch one session, and the lock is given back last. No bot waits for another's.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.loop.strand import LINGER_S, Strand

# The last seal is committed in this time: of a large session on a slow disk, too.
CLOSE_S = 60.0


class Jobs:
    """The jobs of one bot. `post` takes events, `report` lines of the journal."""

    def __init__(
        self, name: str, post: Callable[[ev.Event], None], report: Callable[..., None]
    ) -> None:
        self._post = post
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._strand = Strand(f"session-{name}", linger_s=LINGER_S)
        # What is put off, and the instant up to which it is.
        self._late: tuple[Callable[[], Any], asyncio.TimerHandle] | None = None
        self._running: set[asyncio.Future[Any]] = set()
        self._asked: set[asyncio.Future[Any]] = set()  # somebody waits for what comes of it

    def job(self, ticket: int, work: Callable[[int], ev.Event | None]) -> None:
        """Run a job of the core in the session's strand; its event, or JobFailed, follows.

        With ticket 0 the core does not wait: what goes wrong is only reported.
        """

        def done(error: BaseException | None, event: Any) -> None:
            if error is None and event is not None:
                self._post(event)
            elif error is not None and ticket:
                if isinstance(error, SupervisorError) and error.hint:
                    self._report("session_trouble", why=error.message, hint=error.hint)
                self._post(ev.JobFailed(ticket, in_words(error)))
            elif error is not None:
                self._report("snapshot_failed", why=in_words(error))

        self._follow(self._submit(work, ticket), done)

    def note(self, work: Callable[[], Any]) -> None:
        """Run what nobody waits for in the session's strand; what goes wrong is reported."""
        self._follow(self._submit(work), self._noted)

    def note_late(self, work: Callable[[], Any], within_s: float) -> None:
        """As `note`, but leave disk and cores to others until then, or until the next job.

        So it is done in its turn, and before anything later that changes something.
        """
        self._do_late()
        self._late = work, self._loop.call_later(within_s, self._do_late)

    def _do_late(self) -> None:
        if self._late is not None:
            (work, timer), self._late = self._late, None
            timer.cancel()
            self.note(work)

    def _submit(self, work: Callable[..., Any], *given: int) -> asyncio.Future[Any]:
        self._do_late()
        return self._loop.run_in_executor(self._strand, work, *given)

    def task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine of the loop; what goes wrong is reported."""
        self._follow(self._loop.create_task(work), self._noted)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._running and self._late is None

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way at all, not even what somebody has asked to be told."""
        return self.idle and not self._asked

    async def result(self, work: Callable[[], Any], *, only_looks: bool = False) -> Any:
        """Run `work` in the session's strand, in turn, and return what it returns.

        `only_looks`: it changes nothing, and what was put off may stay so.
        """
        if not only_looks:
            self._do_late()
        future = self._loop.run_in_executor(self._strand, work)
        self._asked.add(future)
        future.add_done_callback(self._asked.discard)
        return await future

    def soon(self, call: Callable[..., None], *args: Any, **fields: Any) -> None:
        """Call from the session's strand what belongs to the loop's."""
        self._loop.call_soon_threadsafe(functools.partial(call, *args, **fields))

    async def close(self) -> None:
        """Let the work on the session end, within a bound. The loop goes on: a person may hurry."""
        self._do_late()
        for future in self._running:
            if isinstance(future, asyncio.Task):
                future.cancel()
        # The strand takes one after the other, also what is under way and nobody waits for now.
        last = self._loop.run_in_executor(self._strand, int)
        _, left = await asyncio.wait({last, *self._running}, timeout=CLOSE_S)
        if left:
            self._report("note_failed", why=f"work on the session did not end in {CLOSE_S:g} s")
        self._strand.shutdown(wait=False, cancel_futures=True)

    def _noted(self, error: BaseException | None, _result: Any) -> None:
        if error is not None:
            self._report("note_failed", why=in_words(error))

    def _follow(
        self, future: asyncio.Future[Any], done: Callable[[BaseException | None, Any], None]
    ) -> None:
        def ended(finished: asyncio.Future[Any]) -> None:
            self._running.discard(finished)
            if finished.cancelled():
                return
            error = finished.exception()
            if error is not None and not isinstance(error, (SupervisorError, OSError)):
                context = {"message": "a job failed", "exception": error}
                self._loop.call_exception_handler(context)
            done(error, None if error is not None else finished.result())

        self._running.add(future)
        future.add_done_callback(ended)


def in_words(error: BaseException) -> str:
    """Return what a person reads of an error."""
    if isinstance(error, OSError) and error.strerror:
        where = error.filename if isinstance(error.filename, str) else ""
        return f"{error.strerror}: {where}" if where else error.strerror
    return str(error) or type(error).__name__
