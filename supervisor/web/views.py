"""What a page shows of what the supervisor says. Pure: answers in, plain values for templates out.

Nothing here is HTML: the templates escape whatever they are given.
"""

from collections.abc import Iterable
from typing import Any

from supervisor.core.records import PHASES
from supervisor.core.timeline import timeline
from supervisor.web import words

RESTARTS = 8
LINES = 500
# Who is online in a phase: the old bot, nobody, the new one.
_STOP, _READY = PHASES.index("stop"), PHASES.index("ready")
_KINDS = {
    phase: "before" if at < _STOP else "gap" if at <= _READY else "after"
    for at, phase in enumerate(PHASES)
}
_TONES = {
    "up": "good",
    "pairing": "ask",
    "verifying": "work",
    "failed": "bad",
    "refused": "bad",
    "backoff": "warn",
    "down": "rest",
}
_REASONS = {
    "start": "started",
    "manual": "restarted by hand",
    "crash": "crashed",
    "hang": "hung",
    "limit": "over its limit",
    "schedule": "restarted on schedule",
}
# So narrow a part can't be seen.
_LEAST = 3.0


def bot(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Return one bot for the list of all."""
    phase = str(found.get("phase") or "")
    record = found.get("last_restart") or {}
    session = found.get("session") or {}
    return {
        **found,
        "name": name,
        "phase": phase,
        "tone": _TONES.get(phase, "work"),
        "session": session,
        "record": record,
        "usage": found.get("usage") or {},
        "proved": record.get("proof") in ("roundtrip", "identity") and record.get("verified"),
    }


def bots(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all bots, in the order of the config."""
    return [bot(name, found) for name, found in (status.get("bots") or {}).items()]


def chosen(status: dict[str, Any]) -> str | None:
    """Return the bot that is shown first: the first with a session."""
    found = status.get("bots") or {}
    with_session = [name for name, each in found.items() if each.get("session")]
    return next(iter([*with_session, *found]), None)


def restarts(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last restarts of a bot, the newest first, ready to be drawn."""
    found = [
        e for e in events if e.get("event") == "restarted" and isinstance(e.get("record"), dict)
    ]
    return [restart(event) for event in reversed(found[-RESTARTS:])]


def restart(event: dict[str, Any]) -> dict[str, Any]:
    """Return one restart: its parts with place and width, of a bar that is 1000 wide."""
    record = event["record"]
    drawn = timeline(record, least=_LEAST)
    return {
        "at": event.get("t"),
        "record": record,
        "why": _why(record),
        "parts": [{"bar": bar, "kind": _KINDS[bar.phase]} for bar in drawn.bars],
        "total_s": drawn.total_s,
        "gap": drawn.gap,
        "proved": record.get("proof") in ("roundtrip", "identity") and record.get("verified"),
    }


def _why(record: dict[str, Any]) -> str:
    reason = str(record.get("reason") or "")
    if reason != "change":
        return _REASONS.get(reason, reason)
    changed = [str(path) for path in record.get("changed") or ["the source"]]
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{changed[0]}{more} changed"


def session(info: dict[str, Any]) -> dict[str, Any]:
    """Return a session's snapshots, the newest first, and what is live."""
    snapshots = list(reversed(info.get("snapshots") or []))
    return {**info, "snapshots": snapshots, "quarantine": info.get("quarantine") or []}


def snapshot(info: dict[str, Any], wanted: str) -> dict[str, Any] | None:
    """Return one snapshot of a session, by its id."""
    return next((each for each in info["snapshots"] if each["id"] == wanted), None)


def line(item: dict[str, Any]) -> dict[str, str]:
    """Return a line of output."""
    if item.get("event") == "lost":
        return {"stream": "note", "text": f"({item.get('count')} lines were too many to show)"}
    return {"stream": str(item.get("stream") or ""), "text": words.line(item.get("line", ""))}


def code(item: dict[str, Any], number: int) -> dict[str, Any] | None:
    """Return what of a QR code may stand on a page: that there is one, and for how long."""
    if "qr" not in item and "picture" not in item:
        return None
    return {"number": number, "ttl_s": item.get("ttl_s")}
