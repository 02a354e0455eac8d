"""Strangers' messages: however many come, there are few events, and these tell of all of them."""

import asyncio

from supervisor.loop.strangers import Strangers


def test_a_flood_is_two_events() -> None:
    """The first at once, the others when their time has come, without another one's coming."""

    async def run() -> list[int]:
        told: list[int] = []
        waited = asyncio.Event()

        def report(event: str, *, count: int) -> None:
            assert event == "notify_strangers"
            told.append(count)
            if len(told) == 2:
                waited.set()

        strangers = Strangers(report, every_s=0.01)
        for _ in range(1000):
            strangers.came()
        async with asyncio.timeout(10):
            await waited.wait()
        assert strangers.total == 1000
        strangers.close()
        return told

    assert asyncio.run(run()) == [1, 999]


def test_nothing_that_waits_is_lost_with_its_bot() -> None:
    """The end tells it; who takes the place of this one counts on, and keeps the pace."""

    async def run() -> tuple[list[int], int]:
        told: list[int] = []

        def report(_event: str, *, count: int) -> None:
            told.append(count)

        old = Strangers(report)
        for _ in range(4):
            old.came()
        old.close()
        assert told == [1, 3]
        new = Strangers(report)
        new.succeed(old)
        new.came()
        assert told == [1, 3]
        new.close()
        return told, new.total

    assert asyncio.run(run()) == ([1, 3, 1], 5)
