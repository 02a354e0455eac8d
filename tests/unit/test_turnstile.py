"""Two at a time, in order, and nobody waits for one that takes long."""

import asyncio

from supervisor.loop.turnstile import Turnstile, fitting


def test_two_at_a_time_and_in_order() -> None:
    """The third is let in when the first is back, not before."""

    async def story() -> None:
        turnstile, told = Turnstile(most=2), []
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


def test_while_it_is_closed_nobody_is_let_in_and_nobody_is_forgotten() -> None:
    """An upgrade waits for calm: a save meanwhile is applied right after it, in its turn."""

    async def story() -> None:
        turnstile, told = Turnstile(most=2), []
        turnstile.close()
        for who in "abcd":
            turnstile.enter(who, lambda who=who: told.append(who))  # type: ignore[misc]
        turnstile.leave("b")  # it no longer wants to
        assert told == []
        turnstile.open()
        assert told == ["a", "c"], "as many as there is room for"
        turnstile.leave("a")
        assert told == ["a", "c", "d"]

    asyncio.run(story())


def test_who_is_in_when_it_closes_goes_on() -> None:
    """And whoever waits is not let in by its leaving, but by the opening."""

    async def story() -> None:
        turnstile, told = Turnstile(most=1), []
        turnstile.enter("a", lambda: told.append("a"))
        turnstile.enter("b", lambda: told.append("b"))
        turnstile.close()
        turnstile.enter("a", lambda: told.append("a, again"))
        assert told == ["a", "a, again"]
        turnstile.leave("a")
        assert told == ["a", "a, again"]
        turnstile.open()
        assert told == ["a", "a, again", "b"]
        turnstile.open()  # harmless when it is open
        assert told == ["a", "a, again", "b"]

    asyncio.run(story())


def test_a_turn_that_runs_out_while_it_is_closed_lets_nobody_in() -> None:
    """Its bot takes long; the others wait for the opening all the same."""

    async def story() -> None:
        turnstile, told, over = Turnstile(most=1, within_s=0.01), [], asyncio.Event()
        turnstile.enter("slow", lambda: None)
        turnstile.enter("next", lambda: told.append("next"))
        turnstile.close()
        asyncio.get_running_loop().call_later(0.05, over.set)  # behind the end of the turn
        await over.wait()
        assert told == []
        turnstile.open()
        assert told == ["next"]

    asyncio.run(story())


def test_as_many_as_there_are_cores_for() -> None:
    """One where a second one would only make both gaps longer; never none."""
    assert [fitting(cores) for cores in (1, 2, 3, 4, 64)] == [1, 1, 1, 2, 2]
