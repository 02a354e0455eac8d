"""Whether the bots serve: what `/readyz` says. Pure.

It says what there is in words of our own: what a bot said of itself may hold what is secret.
"""

from collections.abc import Iterable
from typing import Any

from supervisor.core.state import Phase
from supervisor.service.monitoring.facts import Glance
from supervisor.service.standing import NEEDS_A_PERSON


def readiness(glances: Iterable[Glance]) -> tuple[bool, dict[str, Any]]:
    """Return whether all is as well as it can be without a person, and the page's object.

    A bot counts that is online, that only a person can help, or that a person has stopped. Who is
    on its way is a reason that we are not ready.
    """
    online: list[str] = []
    person: dict[str, str] = {}
    coming: dict[str, str] = {}
    stopped: list[str] = []
    for glance in glances:
        if glance.up:
            online.append(glance.name)
        elif glance.phase in NEEDS_A_PERSON:
            person[glance.name] = NEEDS_A_PERSON[glance.phase]
        elif glance.phase is Phase.DOWN and not glance.wanted:
            stopped.append(glance.name)
        else:
            coming[glance.name] = glance.phase.value
    page = {
        "ready": not coming,
        "online": online,
        "needs_a_person": person,
        "stopped": stopped,
        "not_ready": coming,
    }
    return not coming, page
