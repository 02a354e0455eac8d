"""What `/readyz` says of each phase."""

import json

import pytest

from supervisor.core.state import PREPARING, Phase
from supervisor.service.monitoring.facts import Glance
from supervisor.service.monitoring.readiness import readiness

PERSON = {Phase.PAIRING, Phase.FAILED, Phase.REFUSED}


def glance(name: str, phase: Phase, *, up: bool = False, wanted: bool = True) -> Glance:
    """Return what the loop knows of one bot."""
    return Glance(
        name=name,
        session=True,
        phase=phase,
        up=up,
        wanted=wanted,
        paused=False,
        held=False,
        generation=1,
    )


WELL = glance("well", Phase.UP, up=True)


@pytest.mark.parametrize("phase", sorted({Phase.UP, *PREPARING}))
def test_who_is_online_is_ready(phase: Phase) -> None:
    """Also while its next generation is being made ready."""
    ready, page = readiness([WELL, glance("echo", phase, up=True)])
    assert ready
    assert page["online"] == ["well", "echo"]


@pytest.mark.parametrize("phase", sorted(PERSON))
def test_who_needs_a_person_is_named_and_holds_nobody_up(phase: Phase) -> None:
    """A restart of all would not help it, and would take the others down."""
    ready, page = readiness([WELL, glance("echo", phase)])
    assert ready
    assert list(page["needs_a_person"]) == ["echo"]
    assert page["not_ready"] == {}


@pytest.mark.parametrize("phase", sorted(set(Phase) - PERSON - {Phase.DOWN}))
def test_who_is_on_its_way_is_not_ready(phase: Phase) -> None:
    """Whatever the phase is: what counts is whether it is online and verified."""
    ready, page = readiness([WELL, glance("echo", phase)])
    assert not ready
    assert page["ready"] is False
    assert page["not_ready"] == {"echo": phase.value}


@pytest.mark.parametrize("wanted", [False, True])
def test_only_who_was_stopped_may_be_down(*, wanted: bool) -> None:
    """One that is to run and is down is on its way."""
    ready, page = readiness([WELL, glance("echo", Phase.DOWN, wanted=wanted)])
    assert ready is not wanted
    assert page["stopped"] == ([] if wanted else ["echo"])
    assert page["not_ready"] == ({"echo": "down"} if wanted else {})


def test_each_bot_stands_in_one_place() -> None:
    """Whatever there is: none is left out, none is told twice, and the page is JSON."""
    there = [
        glance(f"{phase.value}{up}{wanted}", phase, up=up, wanted=wanted)
        for phase in Phase
        for up in (False, True)
        for wanted in (False, True)
    ]
    _, page = readiness(there)
    told = [name for key, value in page.items() if key != "ready" for name in value]
    assert sorted(told) == sorted(each.name for each in there)
    assert json.loads(json.dumps(page)) == page


def test_no_bots_is_ready() -> None:
    """There is nobody to wait for."""
    assert readiness([])[0]
