"""A login that may not be on the disk yet: no change stops the bot, a person may."""

from supervisor.core import effects as do
from supervisor.core import events as ev
from supervisor.core.policy import Policy
from supervisor.core.state import Phase
from tests.unit.core.story import DEVICE, Story

SAVED = ev.SourceChanged(("bot.py",), 0.0, 0.0, 0.0)


def linked(policy: Policy) -> Story:
    """Return the story of a bot that a person has just linked."""
    story = Story(policy).seated(linked=False)
    story.tell(ev.SessionReported(1, "pairing"))
    story.tell(ev.SessionReported(1, "linked", DEVICE), ev.BotReady(1))
    assert story.state.phase is Phase.UP
    return story


def test_a_change_waits_until_the_login_is_on_the_disk_and_is_not_forgotten() -> None:
    """Chromium writes a login down within 35 s: stopped before, the bot would ask for a link."""
    story = linked(Policy(settle_s=35.0))
    story.later(5.0).tell(SAVED)
    assert story.state.phase is Phase.UP
    assert "held" in story.reports()
    assert not story.acts()
    assert story.later(29.0).state.phase == "up"
    assert story.later(2.0).state.phase == "preflight"
    assert [act for act in story.acts() if isinstance(act, do.RunPreflight)]


def test_a_person_need_not_wait() -> None:
    """`r` overrides: whoever asks by hand gets the restart now."""
    story = linked(Policy(settle_s=35.0)).later(5.0).tell(SAVED).tell(ev.RestartRequested())
    assert story.state.phase is Phase.PREFLIGHT


def test_a_pause_meanwhile_keeps_the_change() -> None:
    """The time passes in a pause: what was held is begun by the resume."""
    story = linked(Policy(settle_s=35.0)).tell(SAVED, ev.PauseRequested()).later(40.0)
    assert story.state.phase is Phase.UP
    assert story.tell(ev.ResumeRequested()).state.phase is Phase.PREFLIGHT


def test_without_a_time_to_settle_nothing_waits() -> None:
    """Most sessions are on the disk at once."""
    assert linked(Policy()).tell(SAVED).state.phase is Phase.PREFLIGHT
