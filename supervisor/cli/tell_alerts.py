"""What the console says of alerts: who was told, and above all who could not be."""

from supervisor.cli.tell import Event, Line, Teller, because, detail, warn
from supervisor.cli.words import get


def _alert(_bot: str, event: Event) -> list[Line]:
    ends = " (resolved)" if event.get("status") == "resolved" else ""
    return detail(f"alert {get(event, 'kind')}{ends}")


def _said(event: Event) -> str:
    return f"; it said: {get(event, 'said')}" if event.get("said") else ""


def _delivered(_bot: str, event: Event) -> list[Line]:
    return detail(f"alert {get(event, 'kind')}: told by {get(event, 'by')}{_said(event)}")


def _delayed(_bot: str, event: Event) -> list[Line]:
    what = f"alert {get(event, 'kind')}: not told yet by {get(event, 'by')}"
    return warn(f"{what}{because(event)}{_said(event)}: it is tried again")


def _failed(_bot: str, event: Event) -> list[Line]:
    what = f"alert {get(event, 'kind')}: nobody was told by {get(event, 'by')}"
    return warn(f"{what}{because(event)}{_said(event)}", "try it out: stillhere alert --test")


ALERTS: dict[str, Teller] = {
    "alert": _alert,
    "alert_delivered": _delivered,
    "alert_delayed": _delayed,
    "alert_failed": _failed,
}
