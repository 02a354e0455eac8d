"""What a page shows of what the supervisor says. Pure: answers in, plain values for templates out.

Nothing here is HTML: the templates escape whatever they are given.
"""

from collections.abc import Iterable
from typing import Any

from supervisor.web import words

RESTARTS = 8
LINES = 500
# The phases of a record, in their order: its key, what it is called, and of which kind it is. From
# `stop` until `ready` nobody is online.
PHASES = (
    ("detect_s", "detect", "before"),
    ("quiet_s", "quiet", "before"),
    ("preflight_s", "preflight", "before"),
    ("standby_s", "standby", "before"),
    ("checkpoint_s", "checkpoint", "before"),
    ("snapshot_s", "snapshot", "before"),
    ("stop_s", "stop", "gap"),
    ("seal_s", "seal", "gap"),
    ("activate_s", "activate", "gap"),
    ("ready_s", "ready", "gap"),
    ("verify_s", "verify", "after"),
)
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
_WIDTH = 1000.0
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
    lasted = [(key, name, kind, _seconds(record.get(key))) for key, name, kind in PHASES]
    total = sum(seconds or 0.0 for *_, seconds in lasted)
    parts, at = [], 0.0
    for key, name, kind, seconds in lasted:
        if seconds is None or not total:
            continue
        width = seconds / total * _WIDTH
        parts.append(
            {
                "key": key,
                "name": name,
                "kind": kind,
                "seconds": seconds,
                "x": round(at, 2),
                "width": round(max(width, _LEAST), 2),
            }
        )
        at += width
    return {
        "at": event.get("t"),
        "record": record,
        "why": _why(record),
        "parts": parts,
        "total_s": total,
        "gap": _gap(record, total),
        "proved": record.get("proof") in ("roundtrip", "identity") and record.get("verified"),
    }


def _gap(record: dict[str, Any], total: float) -> dict[str, Any] | None:
    gap, ready = _seconds(record.get("gap_s")), _seconds(record.get("save_to_ready_s"))
    if gap is None or ready is None or not total:
        return None
    x = max(0.0, ready - gap) / total * _WIDTH
    width = max(gap / total * _WIDTH, _LEAST)
    return {"seconds": gap, "x": round(min(x, _WIDTH - width), 2), "width": round(width, 2)}


def _why(record: dict[str, Any]) -> str:
    reason = str(record.get("reason") or "")
    if reason != "change":
        return _REASONS.get(reason, reason)
    changed = [str(path) for path in record.get("changed") or ["the source"]]
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{changed[0]}{more} changed"


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


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
