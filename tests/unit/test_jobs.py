"""The jobs of one bot: each is answered once, in order, and none holds up another bot's."""

import asyncio
import threading
from typing import Any

import pytest

from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.loop.jobs import Jobs

PATIENCE_S = 15.0


class Bot:
    """The jobs of a bot, and what they told."""

    def __init__(self, name: str) -> None:
        self.events: list[ev.Event] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.jobs = Jobs(name, self.events.append, self._report)

    def _report(self, event: str, **fields: Any) -> None:
        self.reports.append((event, fields))

    async def settled(self) -> None:
        """Wait until all that was asked for is done and told."""
        async with asyncio.timeout(PATIENCE_S):
            await self.jobs.result(int)
            while not self.jobs.idle:
                await asyncio.to_thread(int)


def test_events_come_in_the_order_of_the_jobs() -> None:
    """A job's event, a failed one's JobFailed with the reason, a note's nothing."""

    def fails(_ticket: int) -> ev.Event:
        raise SupervisorError("it is torn", "look at it")

    async def run() -> None:
        bot = Bot("echo")
        bot.jobs.job(1, ev.SessionRestored)
        bot.jobs.job(2, fails)
        bot.jobs.note(int)
        bot.jobs.job(3, ev.SessionRestored)
        await bot.settled()
        assert bot.events == [
            ev.SessionRestored(1),
            ev.JobFailed(2, "it is torn"),
            ev.SessionRestored(3),
        ]
        assert [name for name, _ in bot.reports] == ["session_trouble"]
        await bot.jobs.close()

    asyncio.run(run())


def test_no_bot_waits_for_another_s_job() -> None:
    """Two hundred disks that hang: the next bot's job is done."""

    async def run() -> None:
        release = threading.Event()
        stuck = [Bot(f"b{number}") for number in range(200)]
        for bot in stuck:
            bot.jobs.note(release.wait)
        other = Bot("other")
        other.jobs.job(1, ev.SessionRestored)
        await other.settled()
        assert other.events == [ev.SessionRestored(1)]
        assert not any(bot.jobs.idle for bot in stuck)
        release.set()
        for bot in [*stuck, other]:
            await bot.jobs.close()

    asyncio.run(run())


def test_idle_bots_have_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two hundred worked: once they have rested, not one thread is left of them."""
    monkeypatch.setattr("supervisor.loop.jobs.LINGER_S", 0.0)

    async def run() -> None:
        before = set(threading.enumerate())
        bots = [Bot(f"b{number}") for number in range(200)]
        for bot in bots:
            bot.jobs.job(1, ev.SessionRestored)
        for bot in bots:
            await bot.settled()
            assert bot.events == [ev.SessionRestored(1)]
        left = [thread for thread in threading.enumerate() if thread not in before]
        for thread in left:
            if thread.name.startswith("session-"):
                await asyncio.to_thread(thread.join, PATIENCE_S)
                assert not thread.is_alive()
        for bot in bots:
            await bot.jobs.close()

    asyncio.run(run())


def test_the_end_waits_for_what_is_under_way() -> None:
    """The last seal is committed before the supervisor goes; afterwards nothing is taken."""

    async def run() -> None:
        bot = Bot("echo")
        entered, release = threading.Event(), threading.Event()

        def commit() -> None:
            entered.set()
            release.wait(PATIENCE_S)

        bot.jobs.note(commit)
        await asyncio.to_thread(entered.wait, PATIENCE_S)
        closing = asyncio.ensure_future(bot.jobs.close())
        await asyncio.to_thread(int)
        assert not closing.done()
        release.set()
        async with asyncio.timeout(PATIENCE_S):
            await closing
        assert bot.jobs.idle
        with pytest.raises(RuntimeError, match="takes nothing"):
            await bot.jobs.result(int)

    asyncio.run(run())


def test_what_is_put_off_is_done_before_anything_that_was_asked_for_later() -> None:
    """Also where nobody asks for anything: it has its time, and until then nothing is at rest."""

    async def run() -> None:
        bot = Bot("echo")
        done: list[str] = []

        def put_off(what: str, within_s: float = PATIENCE_S) -> None:
            bot.jobs.note_late(lambda: done.append(what), within_s)

        put_off("one")
        assert not done
        assert not bot.jobs.idle
        assert not bot.jobs.at_rest
        put_off("two")
        bot.jobs.note(lambda: done.append("note"))
        put_off("three")
        bot.jobs.job(1, lambda _ticket: done.append("job"))
        put_off("four")
        await bot.jobs.result(lambda: done.append("looked"), only_looks=True)
        await bot.jobs.result(lambda: done.append("asked"))
        assert done == ["one", "two", "note", "three", "job", "looked", "four", "asked"]
        put_off("five", 0.0)
        async with asyncio.timeout(PATIENCE_S):
            while done[-1] != "five":
                await asyncio.to_thread(int)
        put_off("last")
        async with asyncio.timeout(PATIENCE_S):
            await bot.jobs.close()
        assert done[-1] == "last"
        assert bot.jobs.at_rest

    asyncio.run(run())
