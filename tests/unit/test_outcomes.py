"""When a start or a restart is over, and what came of it."""

import pytest

from supervisor.core.events import SessionReported, StartRequested
from supervisor.core.policy import Policy
from supervisor.core.state import Phase, State
from supervisor.loop.outcomes import Outcome, outcome
from tests.unit.core.story import DEVICE, Story


def test_a_restart_is_over_when_another_generation_is_verified() -> None:
    """The old one, that is online meanwhile, is no success; nor is one that only runs."""
    story = Story().up()
    assert outcome(story.state, None) == Outcome("ready")
    assert outcome(story.state, 1) is None
    replaced = story.state.but(current=2, verified=False, phase=Phase.VERIFYING)
    assert outcome(replaced, 1) is None
    assert outcome(replaced.but(verified=True, phase=Phase.UP), 1) == Outcome("ready")
    # The next change is on its way already: this one was done.
    assert outcome(replaced.but(verified=True, phase=Phase.PREFLIGHT), 1) == Outcome("ready")


def test_what_was_held_is_no_restart() -> None:
    """The old generation stays online, and it is said why."""
    story = Story().up()
    held = story.state.but(held="it does not compile")
    assert outcome(held, 1) == Outcome("held", "it does not compile")
    assert outcome(held, None) == Outcome("ready")  # a start wants no more than that


@pytest.mark.parametrize(
    ("phase", "result"),
    [
        (Phase.PAIRING, "pairing"),
        (Phase.BACKOFF, "backoff"),
        (Phase.FAILED, "failed"),
        (Phase.REFUSED, "refused"),
        (Phase.DOWN, "down"),
    ],
)
def test_what_needs_somebody_or_time_is_over(phase: Phase, result: str) -> None:
    """Nobody is kept waiting for a person, or for the next try."""
    found = outcome(State(phase=phase, why="so"), 1)
    assert found is not None
    assert (found.result, found.why) == (result, "so")


def test_a_network_that_is_away_is_not_waited_for() -> None:
    """The bot goes on trying for ever: at its deadline who waits is told."""
    story = Story(Policy(on_change=False)).tell(StartRequested())
    story.seated_again(1)
    story.tell(SessionReported(1, "offline", DEVICE))
    assert outcome(story.state, None) is None
    story.later(10.0)
    found = outcome(story.state, None)
    assert found is not None
    assert found.result == "offline"
