"""A session of another device was logged out: the epoch's own device is not to blame for that."""

import pytest

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from tests.unit.core.story import DEVICE, Story

SAID = "401 device removed"


def strange(policy: Policy | None = None) -> Story:
    """From nothing to a generation that runs with another device's session, unasked."""
    story = Story(policy or Policy(on_change=False)).tell(ev.StartRequested())
    return checked(story, foreign=True)


def checked(story: Story, *, foreign: bool) -> Story:
    """From CLAIMING to a generation that runs."""
    story.tell(ev.OwnerTaken(story.ticket, 0), ev.SurvivorsFound(story.ticket + 1, ()))
    found = ev.SessionChecked(story.ticket, "passed", linked=True, foreign=foreign, identity=DEVICE)
    return runs(story.tell(found))


def runs(story: Story) -> Story:
    """From the seat to a process."""
    story.tell(ev.SeatCommitted(story.ticket))
    return story.tell(ev.Spawned(story.state.generation, 4711))


def refused(story: Story) -> Story:
    """The network says that the device was removed, and the process is gone."""
    generation = story.state.generation
    story.tell(ev.SessionReported(generation, "lost", reason=SAID))
    return story.tell(ev.Exited(generation, -9), ev.TreeGone(generation))


def test_the_logout_of_another_device_ends_no_link() -> None:
    """Its session is replaced by the newest good snapshot of the epoch's device."""
    story = refused(strange())
    assert story.acts() == [do.RestoreSession(story.ticket, "pairing")]
    story.tell(ev.SessionRestored(story.ticket))
    assert isinstance(story.acts()[0], do.CommitSeat)


def test_it_is_said_whose_logout_it_was() -> None:
    """The line of the journal tells the two apart."""
    story = strange()
    generation = story.state.generation
    story.tell(ev.SessionReported(generation, "lost", reason=SAID))
    (report,) = [o for o in story.orders if isinstance(o, do.Report) and "refused" in o.event]
    assert dict(report.fields)["stranger"] is True


def test_the_device_that_came_back_may_be_logged_out_itself() -> None:
    """Once it is the epoch's own device that is refused, the link ends as ever."""
    story = refused(strange())
    story.tell(ev.SessionRestored(story.ticket))
    refused(runs(story))
    (order,) = story.acts()
    assert isinstance(order, do.Operate)
    assert order.operation.kind == "close"


def test_with_nothing_to_bring_back_the_link_ends() -> None:
    """A snapshot is tried once: then what the network said counts."""
    story = refused(strange())
    story.tell(ev.NothingToRestore(story.ticket, "tried already"))
    (order,) = story.acts()
    assert isinstance(order, do.Operate)
    assert order.operation.kind == "close"


def test_the_own_device_is_logged_out_as_ever() -> None:
    """An explicit logout of the epoch's device is never answered by a restore."""
    story = Story(Policy(on_change=False)).tell(ev.StartRequested())
    refused(checked(story, foreign=False))
    (order,) = story.acts()
    assert isinstance(order, do.Operate)
    assert order.operation.kind == "close"


@pytest.mark.parametrize("how", ["restored", "linked"])
def test_a_device_that_was_taken_over_is_the_own_one(how: ev.SessionState) -> None:
    """What went online with it opened its epoch: a logout later ends that."""
    story = strange()
    generation = story.state.generation
    story.tell(ev.SessionReported(generation, how, "other:fingerprint"), ev.BotReady(generation))
    assert story.state.phase == "up"
    refused(story)
    (order,) = story.acts()
    assert isinstance(order, do.Operate)
    assert order.operation.kind == "close"
