"""What runs side by side before a stop, and what the stop waits for."""

import pytest

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import Story


def compiled(story: Story) -> Story:
    """What changed compiles."""
    return story.tell(ev.PreflightPassed(story.ticket))


def test_all_that_can_be_called_off_runs_while_the_source_still_moves() -> None:
    """Only the stop waits for quiet."""
    story = compiled(Story().up().moved())
    assert story.acts() == [do.RequestCheckpoint(1), do.SpawnStandby(2, ("bot.py",))]
    assert story.tell(ev.Checkpointed(1)).acts() == [do.TakeSnapshot(story.ticket, "stop", 1)]
    assert story.tell(ev.SnapshotTaken(story.ticket), ev.StandbyReached(2)).acts() == []
    assert story.state.phase is Phase.PREFLIGHT
    assert story.tell(ev.SourceSettled(101.0)).acts() == [do.Terminate(1)]
    record = story.state.restart
    assert record is not None
    assert record.quiet_at == 101.0


@pytest.mark.parametrize("last", ["settled", "standby", "copy"])
def test_the_stop_waits_for_the_last_of_them(last: str) -> None:
    """Whichever comes last, nothing is stopped before it."""
    story = compiled(Story().up().moved()).tell(ev.Checkpointed(1))
    events: dict[str, ev.Event] = {
        "settled": ev.SourceSettled(101.0),
        "standby": ev.StandbyReached(2),
        "copy": ev.SnapshotTaken(story.ticket),
    }
    for name, event in events.items():
        if name != last:
            assert do.Terminate(1) not in story.tell(event).acts(), name
    assert story.tell(events[last]).acts() == [do.Terminate(1)]


def test_what_does_not_compile_while_it_moves_is_looked_at_again() -> None:
    """It may be half written: nobody is told of an error that is none."""
    story = Story().up().moved()
    story.tell(ev.PreflightFailed(story.ticket, ({"path": "bot.py"},)))
    assert story.orders == ()
    assert story.tell(ev.SourceSettled(101.0)).acts() == [
        do.RunPreflight(story.ticket, ("bot.py",))
    ]
    story.tell(ev.PreflightFailed(story.ticket, ({"path": "bot.py"},)))
    assert story.reports() == ["preflight_failed", "held"]
    assert story.state.phase is Phase.UP


def test_a_change_during_a_restart_keeps_what_is_not_about_the_code() -> None:
    """The standby is of the old source and dies; the flush and the copy stay good."""
    story = compiled(Story().up().moved()).tell(ev.Checkpointed(1))
    copied = ev.SnapshotTaken(story.ticket)
    assert story.moved("two.py").acts() == [
        do.Kill(2),
        do.RunPreflight(story.ticket, ("bot.py", "two.py")),
    ]
    assert compiled(story).acts() == []  # never a third beside two
    story.tell(copied, ev.Exited(2, -9))
    assert story.tell(ev.TreeGone(2)).acts() == [do.SpawnStandby(3, ("bot.py", "two.py"))]
    assert story.tell(ev.StandbyReached(3), ev.SourceSettled(101.0)).acts() == [do.Terminate(1)]


def test_a_crowded_machine_lets_nothing_heavy_begin_before_its_turn() -> None:
    """It is compiled, and waits; nobody waits for ever."""
    story = compiled(Story(crowded=True).up().saved())
    assert story.orders == (do.TakeTurn(),)
    assert do.SpawnStandby(2, ("bot.py",)) in story.tell(ev.TurnGiven()).acts()

    story = compiled(Story(crowded=True).up().saved()).later(31)
    assert do.SpawnStandby(2, ("bot.py",)) in story.acts()


def test_a_source_that_is_never_said_to_have_settled_holds_nothing_up() -> None:
    """Half a minute of it is taken for quiet."""
    story = compiled(Story(Policy(standby="off")).up().moved())
    story.tell(ev.Checkpointed(1)).tell(ev.SnapshotTaken(story.ticket))
    assert story.later(31).acts() == [do.RequestCheckpoint(1)]  # the copy is old by now
    story.tell(ev.Checkpointed(1))
    assert story.tell(ev.SnapshotTaken(story.ticket)).acts() == [do.Terminate(1)]

    story = Story().up().moved()
    story.tell(ev.PreflightFailed(story.ticket))
    assert story.later(31).acts() == [do.RunPreflight(story.ticket, ("bot.py",))]


def test_a_copy_is_taken_anew_after_a_long_wait() -> None:
    """What the bot wrote while the new code took its time is in the copy before the stop."""
    story = compiled(Story().up().saved()).tell(ev.Checkpointed(1))
    story.tell(ev.SnapshotTaken(story.ticket))
    story.now += 5
    assert story.tell(ev.StandbyReached(2)).acts() == [do.RequestCheckpoint(1)]
    assert story.tell(ev.Checkpointed(1)).acts() == [do.TakeSnapshot(story.ticket, "stop", 1)]
    story.now += 5  # it was a large one: no reason for a third
    assert story.tell(ev.SnapshotTaken(story.ticket)).acts() == [do.Terminate(1)]


def test_a_copy_that_fails_ends_the_restart_whatever_else_runs() -> None:
    """No snapshot, no stop: the standby goes, the old generation stays."""
    story = compiled(Story().up().moved()).tell(ev.Checkpointed(1))
    assert story.tell(ev.JobFailed(story.ticket, "disk full")).acts() == [do.Kill(2)]
    assert story.state.phase is Phase.UP
    assert story.state.held


def test_a_stop_in_the_middle_goes_on_with_what_was_begun() -> None:
    """The copy that is under way is the one before the stop."""
    story = compiled(Story().up().moved()).tell(ev.Checkpointed(1))
    assert story.tell(ev.StopRequested()).acts() == [do.Kill(2)]
    assert story.tell(ev.SnapshotTaken(story.ticket)).acts() == [do.Terminate(1)]
