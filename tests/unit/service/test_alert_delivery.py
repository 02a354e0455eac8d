"""What waits to be told: tried again, in order, within bounds, and never in anybody's way."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from supervisor.service.alerting.announcer import Announcer
from supervisor.service.alerting.cases import Alert
from supervisor.service.alerting.delivery import QUEUE_MAX, RETRY_AFTER_MAX_S, Delivery, Outcome
from supervisor.service.alerting.rules import Rules
from tests.unit.configkit import read
from tests.unit.service.alertkit import CONFIG, alert
from tests.unit.service.hookkit import TOKEN, WAIT_S


class Told:
    """What a delivery reports, and what it is to meet."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.now = 0.0
        self.outcomes = list(outcomes)
        self.sent: list[Alert] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.grew = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def send(self, one: Alert) -> Outcome:
        """Send one: as the list says, then well."""
        self.sent.append(one)
        self.grew.set()
        await self.hold.wait()
        return self.outcomes.pop(0) if self.outcomes else Outcome(ok=True)

    def report(self, _bot: str, event: str, fields: dict[str, Any]) -> None:
        """Keep what is reported."""
        self.reports.append((event, fields))
        self.grew.set()

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(WAIT_S):
            while not done():
                self.grew.clear()
                await self.grew.wait()

    def events(self) -> list[str]:
        """Return the kinds of what was reported."""
        return [event for event, _ in self.reports]


@asynccontextmanager
async def delivering(told: Told, first_s: float = 0.001) -> AsyncIterator[Delivery]:
    """Deliver by a clock that runs as the real one."""
    delivery = Delivery("webhook", told.send, told.report, first_s=first_s)
    try:
        yield delivery
    finally:
        await delivery.close(1.0)


NO = Outcome(ok=False, why="no")


def test_what_is_not_taken_is_tried_again_and_said_once() -> None:
    """Until it is; one complaint, however many tries."""

    async def story() -> Told:
        told = Told(NO, NO, NO, NO)
        async with delivering(told) as delivery:
            delivery.put(alert())
            await told.until(lambda: "alert_delivered" in told.events())
        return told

    told = asyncio.run(story())
    assert len(told.sent) == 5
    assert told.events() == ["alert_delayed", "alert_delivered"]


def test_what_can_not_be_helped_is_not_tried_again() -> None:
    """And is said to have failed."""

    async def story() -> Told:
        told = Told(Outcome(ok=False, why="it answered 404", final=True))
        async with delivering(told) as delivery:
            delivery.put(alert())
            await told.until(lambda: "alert_failed" in told.events())
        return told

    told = asyncio.run(story())
    assert len(told.sent) == 1
    assert told.reports[0][1]["why"] == "it answered 404"


def test_retry_after_rests_the_whole_way_and_has_a_bound() -> None:
    """Another message waits as well; who asks for a year gets an hour."""

    async def story() -> tuple[Told, float]:
        told = Told(Outcome(ok=False, why="429", retry_after_s=1e9))
        async with delivering(told) as delivery:
            delivery.put(alert("failed"))
            await told.until(lambda: "alert_delayed" in told.events())
            rests_s = delivery._rests_until - delivery._clock()
            delivery.put(alert("pairing"))
            for _ in range(10):
                await asyncio.wait({asyncio.ensure_future(asyncio.to_thread(int))})
            assert len(told.sent) == 1
        return told, rests_s

    told, rests_s = asyncio.run(story())
    assert RETRY_AFTER_MAX_S - WAIT_S < rests_s <= RETRY_AFTER_MAX_S
    assert [one.kind for one in told.sent] == ["failed", "failed", "pairing"]  # the last chance


def test_one_that_fails_holds_up_no_other() -> None:
    """Each waits by itself."""

    async def story() -> Told:
        told = Told(NO)
        async with delivering(told, first_s=3600) as delivery:
            delivery.put(alert("failed"))
            await told.until(lambda: "alert_delayed" in told.events())
            delivery.put(alert("pairing"))
            await told.until(lambda: "alert_delivered" in told.events())
            assert told.reports[-1][1]["kind"] == "pairing"
        return told

    asyncio.run(story())


def test_of_each_kind_only_the_newest_waits() -> None:
    """`resolved` takes the place of its `open`, and comes after a try that runs already."""

    async def story() -> Told:
        told = Told()
        async with delivering(told) as delivery:
            told.hold.clear()
            delivery.put(alert(text="one"))
            await told.until(lambda: len(told.sent) == 1)
            for text in ("two", "three"):
                delivery.put(alert(text=text))
            told.hold.set()
            await told.until(lambda: len(told.reports) == 2)
        return told

    told = asyncio.run(story())
    assert [one.summary for one in told.sent] == ["echo: one", "echo: three"]


def test_the_queue_is_bounded() -> None:
    """What waits the longest goes first; no memory is filled while nobody answers."""

    async def story() -> None:
        told = Told()
        async with delivering(told) as delivery:
            told.hold.clear()
            for number in range(3 * QUEUE_MAX):
                delivery.put(alert(bot=f"b{number}"))
            assert len(delivery._queue) == QUEUE_MAX
            assert next(iter(delivery._queue)) == (f"b{2 * QUEUE_MAX}", "failed")
            told.hold.set()

    asyncio.run(story())


def test_the_end_waits_for_nobody() -> None:
    """What waits gets one more try; what hangs then is let go, and said."""

    async def story() -> Told:
        told = Told()
        delivery = Delivery("webhook", told.send, told.report)
        told.hold.clear()
        delivery.put(alert())
        await told.until(lambda: len(told.sent) == 1)
        await delivery.close(0.01)
        return told

    told = asyncio.run(story())
    assert [(event, fields["why"]) for event, fields in told.reports] == [
        ("alert_failed", "the supervisor stops")
    ]


def test_secrets_are_blotted_out_of_alerts_and_of_what_a_command_says(tmp_path: Path) -> None:
    """By the masks of the config: a bot's own reason may hold one, and so may its hook."""
    hook = f"import sys; print('said {TOKEN}'); open('told', 'wb').write(sys.stdin.buffer.read())"
    text = CONFIG.replace('["true"]\nrepeat', f"{json.dumps([sys.executable, '-c', hook])}\nrepeat")
    config = read(tmp_path, f'[logs]\nmask = ["t0p-\\\\w+"]\n{text}')
    reports: list[tuple[str, dict[str, Any]]] = []

    async def story() -> None:
        done = asyncio.Event()

        def report(_bot: str | None, event: str, fields: dict[str, Any]) -> None:
            reports.append((event, fields))
            if event == "alert_delivered":
                done.set()

        told = Announcer(config, report, Rules(config))
        told.take({"event": "failed", "bot": "echo", "why": f"the token {TOKEN} is no good"})
        await asyncio.wait_for(done.wait(), WAIT_S)
        await told.close()

    asyncio.run(story())
    sent = json.loads((tmp_path / "told").read_text())
    assert sent["fields"]["why"] == "the token [masked] is no good"
    assert reports[-1][1]["said"] == "said [masked]"
    assert TOKEN not in str(reports) + str(sent)
