"""A network that is not there is tried again: soon, then more and more patiently."""

from bot.transports.backoff import Backoff


def test_each_wait_is_twice_the_last_up_to_the_most() -> None:
    """And from the first again once it was there."""
    backoff = Backoff(1.0, 5.0)

    def within(usual_s: float) -> bool:
        return 0.7 * usual_s <= backoff.wait_s() <= 1.3 * usual_s

    assert all(map(within, (1.0, 2.0, 4.0, 5.0, 5.0)))
    backoff.reset()
    assert within(1.0)
