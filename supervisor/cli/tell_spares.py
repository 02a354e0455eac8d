"""What the console says of the warm spare: only to who wants to know everything."""

from supervisor.cli import words
from supervisor.cli.tell import Event, Line, Teller, because, detail
from supervisor.cli.words import get


def _ready(_bot: str, event: Event) -> list[Line]:
    loaded = words.count(event.get("modules", 0), "module")
    return detail(f"a warm spare waits (pid {get(event, 'pid')}), with {loaded} loaded")


def _dropped(_bot: str, event: Event) -> list[Line]:
    return detail(f"the warm spare is let go{because(event)}")


def _refused(_bot: str, event: Event) -> list[Line]:
    return detail(f"no warm spare{because(event)}: new code starts cold, and as right")


SPARES: dict[str, Teller] = {
    "spare_ready": _ready,
    "spare_dropped": _dropped,
    "spare_refused": _refused,
}
