"""A session's counters, counted here from the events, and as the state file has them."""

import json
from typing import Any

from supervisor.verify.trial import Trial

COUNTERS = ("link_count", "qr_count", "restore_count", "rollback_count")


def baseline(trial: Trial) -> None:
    """Remember the counters as they are before the first row."""
    trial.learnt.before = written(trial) or {}


def counted(trial: Trial) -> dict[str, int]:
    """Return what the counters have to be, by all that was seen."""
    before = trial.learnt.before
    counts = {key: int(before.get(key) or 0) for key in COUNTERS}
    for event in trial.seen():
        kind = event["event"]
        if kind == "linked":
            counts["link_count"] += 1
        elif kind == "pairing":
            counts["qr_count"] += 1
        elif kind == "verified" and not event.get("fresh"):
            counts["restore_count"] += 1
        elif kind == "session_restored" and event.get("action") != "kept":
            counts["rollback_count"] += 1
    return counts


def written(trial: Trial) -> dict[str, Any] | None:
    """Return the session's record in the state file; None: it can't be read, or has none."""
    try:
        found = json.loads(trial.config.state.read_bytes())["sessions"][trial.session]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def differences(trial: Trial) -> list[str]:
    """Return in words where the state file says something else than what was seen."""
    record, seen = written(trial), counted(trial)
    if record is None:
        return [f"{trial.config.state.name} can't be read, or does not know the session"]
    wrong = [
        f"{key} is {record.get(key)}, seen {seen[key]}"
        for key in COUNTERS
        if record.get(key) != seen[key]
    ]
    if trial.identity and record.get("identity") != trial.identity:
        wrong.append(f"its device is {record.get('identity')}, seen {trial.identity}")
    if record.get("state") != "linked":
        wrong.append(f"its state is {record.get('state')}, and the bot is linked")
    return wrong


def settled(trial: Trial) -> list[str]:
    """Return the differences once all is written down: that is a moment after its event."""
    trial.until(lambda: not differences(trial))
    return differences(trial)
