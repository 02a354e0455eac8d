"""When the daily check and the weekly drill are due, whatever the clock does."""

from supervisor.loop.rounds import due, lost, offset_s
from tests.unit.roundskit import DAY_S, NOW


def test_it_is_due_once_a_day() -> None:
    """Counted from the last time, and not before."""
    assert not due(NOW, NOW, DAY_S, 0)
    assert not due(NOW + DAY_S - 1, NOW, DAY_S, 0)
    assert due(NOW + DAY_S, NOW, DAY_S, 0)
    assert due(NOW + 9 * DAY_S, NOW, DAY_S, 0)


def test_the_first_sight_is_no_reason_for_a_check() -> None:
    """It is counted from then on: a start-up is busy enough."""
    assert not due(NOW, None, DAY_S, 0)
    assert lost(NOW, None)
    assert not lost(NOW, NOW)


def test_a_clock_that_goes_back_stops_nothing_for_ever() -> None:
    """Years back: counted anew, so that the next is due a day later by the new clock."""
    back = NOW - 5 * 365 * DAY_S
    assert not due(back, NOW, DAY_S, 0)
    assert lost(back, NOW)
    assert not lost(back, back)
    assert due(back + DAY_S, back, DAY_S, 0)


def test_a_clock_that_runs_ahead_makes_no_loop() -> None:
    """Due once; then not again before a day of that clock, and after its correction a day later."""
    ahead = NOW + 40 * 365 * DAY_S
    assert due(ahead, NOW, DAY_S, 0)
    assert not due(ahead + 1, ahead, DAY_S, 0)
    corrected = NOW + 10
    assert lost(corrected, ahead)
    assert not due(corrected, ahead, DAY_S, 0)
    assert not due(corrected + 1, corrected, DAY_S, 0)


def test_sessions_are_spread() -> None:
    """Each has its own minute, the same each time, within a 24th of the time."""
    offsets = [offset_s(str(number), DAY_S) for number in range(200)]
    assert offsets == [offset_s(str(number), DAY_S) for number in range(200)]
    assert all(0 <= offset < DAY_S / 24 for offset in offsets)
    assert len({int(offset / 60) for offset in offsets}) > 45
    assert not due(NOW + DAY_S, NOW, DAY_S, offsets[0])
    assert due(NOW + DAY_S + offsets[0], NOW, DAY_S, offsets[0])
