"""What the events of the daily check, the weekly drill and long work mean to a person. No I/O."""

from supervisor.cli import words
from supervisor.cli.tell import Event, Line, Teller, bad, because, detail, info, warn
from supervisor.cli.words import get


def _session_progress(_bot: str, event: Event) -> list[Line]:
    far = words.progress(get(event, "doing"), event.get("done_bytes"), event.get("total_bytes"))
    return info(f"SessionManager: {far}")


def _snapshots_checked(_bot: str, event: Event) -> list[Line]:
    damaged = words.listed(event, "damaged")
    text = (
        f"SessionManager: {words.count(event.get('snapshots', 0), 'snapshot')} read back from the "
        f"disk in {words.span(event.get('duration_s'))}, {get(event, 'restorable')} restorable"
    )
    if not damaged:
        return info(text) if event.get("asked") else detail(text)
    whole = event.get("live", "passed") == "passed"
    return bad(
        text,
        f"no good copies any more: {words.names(damaged)}",
        "the next snapshot stores what is live again; see: stillhere session check"
        if whole
        else "and what is live is not whole; see what can be done: stillhere session check",
    )


def _check_failed(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"SessionManager: the snapshots could not be checked{because(event)}",
        "it is tried again in an hour",
    )


def _drill_passed(_bot: str, event: Event) -> list[Line]:
    return detail(
        f"SessionManager: restore drill passed in {words.span(event.get('duration_s'))}: "
        f"{get(event, 'snapshot')} ({words.size(event.get('bytes'))})"
    )


def _drill_failed(_bot: str, event: Event) -> list[Line]:
    return bad(
        "SessionManager: the restore drill failed: the newest good snapshot can't be brought back",
        f"snapshot {get(event, 'snapshot')}{because(event)}",
        get(event, "hint"),
    )


def _drill_skipped(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"SessionManager: no restore drill of {get(event, 'snapshot')}{because(event)}",
        get(event, "hint"),
    )


def _snapshot_unjudged(_bot: str, event: Event) -> list[Line]:
    return warn(
        f"SessionManager: {get(event, 'snapshot')} has no verdict yet{because(event)}",
        get(event, "hint") or "it is opened before it is restored; see: stillhere session check",
    )


def _session_trouble(_bot: str, event: Event) -> list[Line]:
    return bad(f"SessionManager: {get(event, 'why')}", get(event, "hint"))


def _quarantine_folded(_bot: str, event: Event) -> list[Line]:
    return detail(
        f"SessionManager: {get(event, 'name')} keeps what was replaced, in the packs; "
        "no folder is needed for it any more"
    )


CHECKS: dict[str, Teller] = {
    "session_trouble": _session_trouble,
    "session_progress": _session_progress,
    "snapshots_checked": _snapshots_checked,
    "check_failed": _check_failed,
    "drill_passed": _drill_passed,
    "drill_failed": _drill_failed,
    "drill_skipped": _drill_skipped,
    "quarantine_folded": _quarantine_folded,
    "snapshot_unjudged": _snapshot_unjudged,
}
