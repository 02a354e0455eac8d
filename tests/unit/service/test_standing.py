"""How a supervisor says that it stands."""

import pytest

from supervisor.core.state import Phase
from supervisor.service.standing import Bot, standing

SERVES = {Phase.UP, Phase.PREFLIGHT, Phase.STANDBY, Phase.CHECKPOINTING, Phase.SNAPSHOTTING}
RESTS = {Phase.PAIRING, Phase.FAILED, Phase.REFUSED, Phase.DOWN}


def bots(**phases: Phase) -> list[Bot]:
    """Return bots by name."""
    return [Bot(name, phase) for name, phase in phases.items()]


@pytest.mark.parametrize("phase", sorted(SERVES))
def test_all_are_online(phase: Phase) -> None:
    """Also while the next generation is being made ready: the old one serves."""
    found = standing(bots(a=Phase.UP, b=phase))
    assert (found.settled, found.line) == (True, "2 of 2 bots online")


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        (Phase.PAIRING, "b waits to be linked"),
        (Phase.FAILED, "b has failed"),
        (Phase.REFUSED, "b is another supervisor's"),
    ],
)
def test_who_needs_a_person_keeps_nobody_waiting(phase: Phase, words: str) -> None:
    """And the line names it."""
    found = standing(bots(a=Phase.UP, b=phase))
    assert (found.settled, found.line) == (True, f"1 of 2 bots online; {words}")


@pytest.mark.parametrize("phase", sorted(set(Phase) - SERVES - RESTS))
def test_who_is_still_to_come_is_waited_for(phase: Phase) -> None:
    """A phase in which the bot does not serve, and which ends by itself."""
    found = standing(bots(a=Phase.UP, b=phase))
    assert not found.settled
    assert found.line.startswith("1 of 2 bots online; ")
    assert "b" in found.line.split("; ")[1]


def test_the_reason_is_said_in_short() -> None:
    """One line, whatever went wrong."""
    found = standing([Bot("a", Phase.FAILED, "it\ncrashed " + "x" * 200)])
    assert found.line.startswith("0 of 1 bot online; a has failed (it crashed xxx")
    assert found.line.endswith("...)")
    assert len(found.line) < 200


def test_a_reason_commands_no_terminal() -> None:
    """It may be a bot's own words, and `systemctl status` shows them."""
    found = standing([Bot("a", Phase.FAILED, "gone\x1b[2J\x07\u202eaway")])
    assert found.line == "0 of 1 bot online; a has failed (gone [2J away)"


def test_two_hundred_bots_make_a_short_line() -> None:
    """Three are named, the others counted."""
    many = [Bot(f"b{n}", Phase.STARTING) for n in range(200)]
    assert standing(many).line == "0 of 200 bots online; starting: b0, b1, b2 and 197 more"
    assert "197 more need a person" in standing([Bot(b.name, Phase.FAILED) for b in many]).line


def test_a_stop_counts_who_is_down() -> None:
    """And names who is not."""
    found = standing(bots(a=Phase.DOWN, b=Phase.STOPPING), stopping=True)
    assert (found.settled, found.line) == (False, "stopping: 1 of 2 bots down; b to come")
    assert standing(bots(a=Phase.DOWN), stopping=True).settled
