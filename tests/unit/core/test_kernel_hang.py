"""A process that cannot be killed: nothing starts beside it, and once it is gone life goes on."""

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import Story

SERVICE = Policy(on_change=False, intensity=(3, 60.0))


def hanging(policy: Policy) -> Story:
    """A bot that crashed, and what is left of its tree does not die."""
    story = Story(policy).up().tell(ev.Exited(1, 1))
    story.later(10.0).later(5.0).later(5.0)
    assert story.state.phase is Phase.FAILED
    assert "hang in the kernel" in story.state.why
    return story


def test_a_service_goes_on_once_it_is_gone() -> None:
    """A network share that was away for a minute must not need a person."""
    story = hanging(SERVICE).tell(ev.TreeGone(1))
    assert story.acts() == [do.Seal(story.ticket, 1)]
    story.tell(ev.Sealed(story.ticket, intact=True))
    assert story.state.phase is Phase.BACKOFF
    story.later(30.0)
    assert story.acts() == [do.ClaimOwner(story.ticket)]


def test_a_developer_is_waited_for() -> None:
    """Who is there, and was told."""
    assert hanging(Policy()).tell(ev.TreeGone(1)).state.phase is Phase.FAILED


def test_who_was_to_fail_has_failed() -> None:
    """A crash loop stays ended, however its last process went."""
    story = hanging(Policy(on_change=False, intensity=(0, 60.0))).tell(ev.TreeGone(1))
    assert story.state.phase is Phase.FAILED


def test_who_was_stopped_is_down() -> None:
    """Nobody wants it any more."""
    story = hanging(SERVICE).tell(ev.StopRequested()).tell(ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))
    assert story.state.phase is Phase.DOWN


def test_what_was_to_follow_is_not_forgotten_over_it() -> None:
    """A logout ends the epoch, and a conflict is no restart, however long the tree takes to die."""
    story = Story(SERVICE).up().tell(ev.SessionReported(1, "lost", reason="401 device removed"))
    story.later(5.0).tell(ev.TreeGone(1))
    assert story.acts() == [
        do.Operate(story.ticket, ev.Operation("close", why="401 device removed"))
    ]
    story = Story(SERVICE).up().tell(ev.SessionReported(1, "conflict", reason="440 replaced"))
    story.later(10.0).later(5.0).tell(ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))
    assert story.state.phase is Phase.FAILED
