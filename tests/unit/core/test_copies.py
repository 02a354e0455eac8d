"""When the session of a bot that stays up is copied: once it has flushed, if it can do that."""

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import DEVICE, Story


def test_a_copy_of_a_bot_that_stays_is_taken_once_it_has_flushed() -> None:
    """All that asked meanwhile get theirs then; what somebody else takes is only waited for."""
    story = Story().up()
    assert story.tell(ev.SnapshotRequested("periodic")).acts() == [do.RequestCheckpoint(1)]
    assert story.tell(ev.SnapshotRequested(), ev.SnapshotRequested("healed")).acts() == []
    assert story.state.flushing == ("periodic", "", "healed")
    assert story.tell(ev.Checkpointed(1)).acts() == [
        do.TakeSnapshot(0, "periodic", 1),
        do.TakeSnapshot(0, "healed", 1),
    ]
    assert (story.state.phase, story.state.deadline) == (Phase.UP, None)
    assert not story.state.flushing


def test_a_copy_waits_for_no_bot_that_does_not_answer() -> None:
    """No longer than a restart would; and not at all for one that can't be asked."""
    story = Story().up().tell(ev.SnapshotRequested("periodic"))
    assert story.later(1.9).acts() == []
    assert story.later(0.2).acts() == [do.TakeSnapshot(0, "periodic", 1)]
    assert story.reports() == ["checkpoint_missed"]
    assert story.later(60).acts() == []
    story.tell(ev.CapsDeclared(1, standby=True, checkpoint=False, roundtrip=True))
    assert story.tell(ev.SnapshotRequested("periodic")).acts() == [
        do.TakeSnapshot(0, "periodic", 1)
    ]
    assert story.tell(ev.SnapshotRequested()).acts() == []
    assert not story.state.flushing


def test_a_copy_that_waits_survives_code_that_does_not_start() -> None:
    """A restart that comes takes its place; one that does not come changes nothing."""
    story = Story().up().tell(ev.SnapshotRequested("linked")).saved()
    story.tell(ev.PreflightFailed(story.ticket))
    assert story.later(2.1).acts() == [do.TakeSnapshot(0, "linked", 1)]
    story.tell(ev.SnapshotRequested("periodic")).saved("other.py")
    assert story.tell(ev.Checkpointed(1)).acts() == [do.TakeSnapshot(0, "periodic", 1)]
    story.tell(ev.SnapshotRequested("periodic"))  # it is not up
    story.tell(ev.PreflightPassed(story.ticket), ev.StandbyReached(2))
    assert not story.state.flushing
    assert story.tell(ev.Checkpointed(1)).acts() == [do.TakeSnapshot(story.ticket, "stop", 1)]


def test_a_change_that_waits_for_a_snapshot_is_not_kept_back_by_another_copy() -> None:
    """The restart that is tried again asks the bot itself."""
    story = Story().standing_by().tell(ev.Checkpointed(1))
    story.tell(ev.JobFailed(story.ticket, "full"))
    deadline = story.state.deadline
    assert deadline is not None
    assert story.tell(ev.SnapshotRequested("periodic")).acts() == [
        do.TakeSnapshot(0, "periodic", 1)
    ]
    assert story.state.deadline == deadline
    story.now = deadline
    assert story.tell(ev.DeadlinePassed()).acts() == [do.RunPreflight(story.ticket, ("bot.py",))]


def test_a_new_link_is_copied_once_the_bot_has_flushed() -> None:
    """What the pairing left in memory is in the first copy of all."""
    story = Story().seated(linked=False)
    story.tell(ev.CapsDeclared(1, standby=True, checkpoint=True, roundtrip=True))
    story.tell(ev.SessionReported(1, "pairing"), ev.SessionReported(1, "linked", DEVICE))
    story.tell(ev.ProofGiven(1, "roundtrip"))
    assert story.tell(ev.BotReady(1)).acts() == [do.RequestCheckpoint(1)]
    assert story.state.phase is Phase.UP
    assert story.tell(ev.Checkpointed(1)).acts() == [do.TakeSnapshot(0, "linked", 1)]


def test_a_session_that_was_there_before_us_is_copied_as_soon_as_its_bot_is_ready() -> None:
    """Of a bot that says nothing of it, too: its first restart has a snapshot then."""
    story = Story(Policy()).seated(linked=False)
    assert do.TakeSnapshot(0, "first", 1) in story.tell(ev.BotReady(1)).acts()
    again = Story(Policy()).seated(linked=True)
    assert do.TakeSnapshot(0, "first", 1) not in again.tell(ev.BotReady(1)).acts()
    assert again.state.phase is Phase.UP


def test_a_bot_that_failed_at_first_is_copied_once_it_runs() -> None:
    """Its code was broken, and a save mended it: that start is its first as well."""
    story = Story(Policy(on_change=True)).seated(linked=False)
    story.tell(ev.Exited(1, 1), ev.TreeGone(1))
    assert story.state.phase is Phase.FAILED
    story.saved().seated_again(2, linked=False)
    assert do.TakeSnapshot(0, "first", 2) in story.tell(ev.BotReady(2)).acts()
