"""Two at a time, in order, and nobody waits for one that takes long."""

import asyncio

from supervisor.loop.turnstile import Turnstile


def test_two_at_a_time_and_in_order() -> None:
    """The third is let in when the first is back, not before."""

    async def story() -> None:
        turnstile, told = Turnstile(), []
        for who in "abcd":
            turnstile.enter(who, lambda who=who: told.append(who))  # type: ignore[misc]
        assert told == ["a", "b"]
        turnstile.leave("c")  # it no longer wants to
        turnstile.leave("b")
        assert told == ["a", "b", "d"]
        turnstile.leave("x")
        assert told == ["a", "b", "d"]

    asyncio.run(story())


def test_who_is_in_already_need_not_wait_for_itself() -> None:
    """A second save during the restart goes on at once."""

    async def story() -> None:
        turnstile, told = Turnstile(most=1), []
        turnstile.enter("a", lambda: told.append(1))
        turnstile.enter("a", lambda: told.append(2))
        assert told == [1, 2]

    asyncio.run(story())


def test_one_that_takes_long_does_not_keep_the_others_waiting() -> None:
    """Its start may take a minute."""

    async def story() -> None:
        turnstile, let_in = Turnstile(most=1, within_s=0.01), asyncio.Event()
        turnstile.enter("slow", lambda: None)
        turnstile.enter("next", let_in.set)
        assert not let_in.is_set()
        async with asyncio.timeout(5):
            await let_in.wait()
        turnstile.leave("slow")

    asyncio.run(story())
