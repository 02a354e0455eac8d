"""What others can provoke is told at once, and then so often and no more; nothing is forgotten."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.pacing import Pace, step

EVERY_S = 60.0


def test_the_first_is_told_at_once_and_the_rest_together() -> None:
    """Then there is quiet for a minute, and what came in it is one number."""
    pace, told = step(Pace(), 1, 1000.0, EVERY_S)
    assert told == 1
    for n in range(5):
        pace, told = step(pace, 2, 1010.0 + n, EVERY_S)
        assert told == 0
    pace, told = step(pace, 0, 1060.0, EVERY_S)
    assert told == 10
    assert step(pace, 0, 9999.0, EVERY_S) == (pace, 0)
    assert step(pace, 1, 1120.0, EVERY_S)[1] == 1


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 100))))
def test_all_are_told_and_never_twice_within_the_time(story: list[tuple[int, int]]) -> None:
    """Whatever comes and whenever: the numbers add up, and are far enough from each other."""
    pace, now, told_at, total = Pace(), 0.0, list[float](), 0
    for came, passed_s in story:
        now += passed_s
        pace, told = step(pace, came, now, EVERY_S)
        total += told
        told_at += [now] * bool(told)
    assert total + pace.untold == sum(came for came, _ in story)
    assert all(b - a >= EVERY_S for a, b in pairwise(told_at))
