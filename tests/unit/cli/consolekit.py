"""A console and the events that it is told, for the tests of its words."""

from typing import Any

from supervisor.cli.console import Console


def event(kind: str, bot: str | None = "echo", **fields: Any) -> dict[str, Any]:
    """Return a journal event."""
    return {"t": "2026-11-24T22:00:00.000Z", "bot": bot, "event": kind, **fields}


def console(**more: Any) -> Console:
    """Return the console of the shipped config: one bot and its companion."""
    return Console({"server": None, "echo": "971505760056"}, scan={"echo": "make scan"}, **more)


def calm(shown: Console, *events: dict[str, Any]) -> list[str]:
    """Return what a person sees on a terminal."""
    return [line.text for e in events for line in shown.lines(e) if line.weight != "detail"]


def restarted(**fields: Any) -> dict[str, Any]:
    """Return the event of a good restart, with some fields different."""
    record = {
        "generation": 2,
        "reason": "change",
        "changed": ["bot/main.py"],
        "mode": "standby",
        "verified": True,
        "proof": "roundtrip",
        "late": False,
        "save_to_ready_s": 0.3141,
        "gap_s": 0.0712,
        **fields,
    }
    return event("restarted", record=record)


CHECKED: dict[str, Any] = {
    "verdict": "passed",
    "files": 2,
    "size_bytes": 36864,
    "epoch": 1,
    "snapshots": 5,
}
