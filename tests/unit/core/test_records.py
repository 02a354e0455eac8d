"""What a restart leaves behind for people to read."""

from typing import Any

import pytest

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import DEVICE, Story


def record(story: Story) -> dict[str, Any]:
    """The record that was written at the last event."""
    reports = [order for order in story.orders if isinstance(order, do.Report)]
    found: dict[str, Any] = dict(next(r for r in reports if r.event == "restarted").fields)[
        "record"
    ]
    return found


def test_the_gap_begins_where_the_last_one_online_ended() -> None:
    """Also when the next one crashes before anybody could reach it."""
    story = Story(Policy(on_change=False)).up()
    story.now += 100.0
    story.tell(ev.Exited(1, 1), ev.TreeGone(1))
    story.tell(ev.Sealed(story.ticket, intact=True))
    story.later(0.5).seated_again(2)
    story.later(3.0).tell(ev.Exited(2, 1), ev.TreeGone(2))
    story.later(1.0).seated_again(3)
    story.tell(ev.SessionReported(3, "restored", DEVICE), ev.ProofGiven(3, "roundtrip"))
    story.tell(ev.BotReady(3))
    assert record(story)["gap_s"] == pytest.approx(4.5)
    assert record(story)["reason"] == "crash"


def test_a_start_for_a_collected_change_leaves_a_record() -> None:
    """Whoever was told that it failed is told that it is back."""
    story = Story().seated().tell(ev.PauseRequested())
    story.tell(ev.Exited(1, 1), ev.TreeGone(1))
    assert story.state.phase is Phase.FAILED
    story.saved().tell(ev.ResumeRequested())
    story.seated_again(2)
    story.tell(ev.SessionReported(2, "restored", DEVICE), ev.ProofGiven(2, "roundtrip"))
    story.tell(ev.BotReady(2))
    assert record(story)["reason"] == "change"
