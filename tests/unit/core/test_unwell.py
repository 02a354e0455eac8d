"""A bot that hangs, or uses too much: copied, asked where it hangs, stopped, and not in a loop."""

from dataclasses import replace

import pytest

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import Story

SERVICE = Policy(on_change=False, intensity=(3, 60.0), backoff_s=(0.5, 30.0))


def up(policy: Policy = SERVICE) -> Story:
    """Return a bot that is online."""
    return Story(policy).up()


def test_a_hang_is_copied_and_then_asked_for_its_stacks() -> None:
    """No flush, for it would not answer; no standby; SIGTERM only after the dump had its time."""
    story = up().tell(ev.Hung(1, "silent"))
    assert story.reports() == ["hang"]
    assert story.acts() == [do.TakeSnapshot(story.ticket, "stop", 1)]
    story.tell(ev.SnapshotTaken(story.ticket))
    assert story.acts() == [do.AskDump(1)]
    story.later(2.0)
    assert story.acts() == [do.Terminate(1)]
    story.later(10.0)
    assert story.acts() == [do.Kill(1)]
    story.tell(ev.TreeGone(1), ev.Sealed(story.ticket + 1, intact=True))
    assert story.state.restart is not None
    assert story.state.restart.reason == "hang"


def test_a_hang_without_a_copy_is_stopped_all_the_same() -> None:
    """A disk that is full must not keep a bot that does nothing."""
    story = up().tell(ev.Hung(1, "silent"))
    story.tell(ev.JobFailed(story.ticket, "No space left on device"))
    assert story.acts() == [do.AskDump(1)]


def test_who_dies_of_the_dump_is_swept_at_once() -> None:
    """SIGABRT ends a bot that has no handler for it."""
    story = up().tell(ev.Hung(1, "silent"))
    story.tell(ev.SnapshotTaken(story.ticket), ev.Exited(1, -6))
    assert story.acts() == [do.Terminate(1)]


def test_a_limit_leads_to_a_restart_like_one_by_hand() -> None:
    """The new generation waits beside the old one, which is asked to flush."""
    story = up().tell(ev.LimitExceeded(1, "600 MB"))
    assert story.reports() == ["limit"]
    assert story.state.phase is Phase.PREFLIGHT
    story.tell(ev.PreflightPassed(story.ticket))
    assert do.RequestCheckpoint(1) in story.acts()
    assert story.state.standby == 2
    assert story.state.restart is not None
    assert story.state.restart.reason == "limit"


def test_a_limit_does_not_end_a_bot_whose_new_code_cannot_start() -> None:
    """In dev what runs is better than nothing, however much it uses."""
    story = up(Policy(on_change=True)).saved()
    story.tell(ev.PreflightFailed(story.ticket))
    assert story.state.held
    before = story.state
    story.tell(ev.LimitExceeded(1, "600 MB"))
    assert story.state == before


@pytest.mark.parametrize("kind", [ev.Hung, ev.LimitExceeded])
def test_the_second_time_waits_and_the_fourth_fails(
    kind: type[ev.Hung] | type[ev.LimitExceeded],
) -> None:
    """It counts like a crash: what cannot be well must not go round and round."""
    story = up()
    story.state = story.state.but(crashes=(story.now - 1.0,))
    story.tell(kind(1, "so"))
    _stopped(story)
    assert story.state.phase is Phase.BACKOFF
    story = up()
    story.state = story.state.but(crashes=(story.now - 3, story.now - 2, story.now - 1))
    story.tell(kind(1, "so"))
    _stopped(story)
    assert story.state.phase is Phase.FAILED
    assert "4 times in 60 s" in story.state.why


def _stopped(story: Story) -> None:
    """From the order to leave to rest."""
    for _ in range(2):  # what the bot is asked for, and what is copied
        story.tell(ev.Checkpointed(1), ev.SnapshotTaken(story.ticket))
    story.tell(ev.Exited(1, 0), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))


def test_never_means_never() -> None:
    """A bot whose policy is `never` is stopped, and stays so."""
    story = up(replace(SERVICE, restart="never")).tell(ev.Hung(1, "silent"))
    _stopped(story)
    assert story.state.phase is Phase.DOWN


def test_a_start_by_hand_does_not_call_off_the_end_of_a_hang() -> None:
    """It would leave a bot up that does nothing."""
    story = up().tell(ev.Hung(1, "silent"), ev.StartRequested())
    assert story.state.phase is Phase.SNAPSHOTTING
    story.tell(ev.SnapshotTaken(story.ticket))
    assert story.acts() == [do.AskDump(1)]


@pytest.mark.parametrize("phase", ["verifying", "preflight", "stopping"])
def test_a_hang_in_another_phase_changes_nothing(phase: str) -> None:
    """There a deadline ends what does not go on."""
    story = up()
    if phase == "verifying":
        story = Story(SERVICE).seated()
    elif phase == "preflight":
        story.tell(ev.RestartRequested())
    else:
        story.tell(ev.StopRequested(hurry=True))
    before = story.state
    story.tell(ev.Hung(1, "silent"))
    assert story.state == before
    assert story.orders == ()


def test_a_bot_that_asks_for_time_to_stop_gets_it() -> None:
    """EXTEND_TIMEOUT_USEC, once and again; then its time is over as ever."""
    story = up().tell(ev.StopRequested())
    story.tell(ev.Checkpointed(1))
    story.tell(ev.SnapshotTaken(story.ticket))
    assert story.acts() == [do.Terminate(1)]
    story.tell(ev.Extended(1, 25.0))
    story.later(10.0)
    assert story.acts() == []
    story.later(15.0)
    assert story.acts() == [do.Kill(1)]


def test_no_retry_ends_at_once() -> None:
    """A status that no new try can cure."""
    story = up(replace(SERVICE, no_retry=(78,))).tell(ev.Exited(1, 78), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))
    assert story.state.phase is Phase.FAILED
    assert "exit status 78" in story.state.why
    assert "no_retry" in story.state.why


def test_the_waits_of_a_crash_loop_double_spread_and_end_at_the_longest() -> None:
    """Two bots that crashed together do not come back together; no wait leaves its bounds."""
    waits = {seed: _waits(seed) for seed in (0, 7, 12345, 987_654_321)}
    assert waits[0] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    for other in (7, 12345, 987_654_321):
        assert waits[other] != waits[0]
        for full, wait in zip(waits[0], waits[other], strict=True):
            assert 0.75 * full <= wait <= 1.25 * full
            assert 0.5 <= wait <= 30


def _waits(seed: int) -> list[float]:
    story = Story(replace(SERVICE, intensity=(99, 60.0), seed=seed))
    found = []
    story.tell(ev.StartRequested())
    for generation in range(1, 9):
        story.seated_again(generation)
        story.tell(ev.Exited(generation, 1), ev.TreeGone(generation))
        assert story.state.deadline is not None
        found.append(round(story.state.deadline - story.now, 6))
        story.now = story.state.deadline
        story.tell(ev.DeadlinePassed())
    return found
