"""A bot whose link is lost again and again: a pause between the tries, and then an end."""

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import Story

REASON = "401 device removed"
SERVICE = Policy(on_change=False, intensity=(3, 60.0), backoff_s=(0.5, 30.0))


def lost(story: Story, generation: int) -> Story:
    """It is logged out, killed, and its epoch is closed."""
    story.tell(ev.SessionReported(generation, "lost", reason=REASON))
    assert story.acts() == [do.Kill(generation)]
    story.tell(ev.Exited(generation, -9), ev.TreeGone(generation))
    assert story.acts() == [do.Operate(story.ticket, ev.Operation("close", why=REASON))]
    return story.tell(ev.OperationDone(story.ticket))


def started(story: Story, generation: int) -> Story:
    """From the check of an empty session to a generation that has it."""
    story.tell(ev.SessionChecked(story.ticket, "absent", linked=False))
    story.tell(ev.SeatCommitted(story.ticket))
    return story.tell(ev.Spawned(generation, 4711))


def test_a_logout_leads_to_a_new_link_at_once() -> None:
    """Somebody may be there to scan."""
    story = lost(Story(SERVICE).up(), 1)
    assert story.state.phase is Phase.CHECKING_SESSION


def test_a_bot_that_loses_each_link_at_once_is_no_loop() -> None:
    """A banned account says `lost` without ever showing a QR code: it ends in FAILED, with why."""
    story = lost(Story(SERVICE).up(), 1)
    started(story, 2)
    for generation in (2, 3):
        lost(story, generation)
        assert story.state.phase is Phase.BACKOFF
        story.later(30.0 / 8)
        story.seated_again(generation + 1, linked=False)
    lost(story, 4)
    assert story.state.phase is Phase.FAILED
    assert story.state.why == f"it lost its link or crashed 4 times in 60 s: {REASON}"


def test_who_is_logged_out_once_a_day_is_linked_again_at_once() -> None:
    """Only what follows closely is a loop."""
    story = lost(Story(SERVICE).up(), 1)
    started(story, 2)
    for generation in range(2, 9):
        story.now += 86_400.0
        lost(story, generation)
        assert story.state.phase is Phase.CHECKING_SESSION
        started(story, generation + 1)
