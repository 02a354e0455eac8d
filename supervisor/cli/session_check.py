"""`stillhere session check`: is the session whole, and what could come back if it were not.

With a running supervisor it is the supervisor that reads, so that it knows what is damaged. What
is found is written into the manifests; where another process owns the session and can't be asked,
it is only said.
"""

from typing import TYPE_CHECKING, Any

import click

from supervisor.cli import target, words
from supervisor.cli.progress import ProgressLine
from supervisor.cli.session_change import change
from supervisor.cli.sessions import identify, open_manager
from supervisor.cli.tables import table
from supervisor.core.errors import SessionBusy

if TYPE_CHECKING:
    from supervisor.config import Config
    from supervisor.session.manager import SessionManager

_HEAD = ("SNAPSHOT", "TAKEN", "VERDICT", "PROOF", "EPOCH", "RESTORABLE")


def _alone(manager: "SessionManager", session_id: str) -> dict[str, Any]:
    from supervisor.session.audit import carried_out  # noqa: PLC0415 - the help needs none

    with ProgressLine("reading the snapshots", manager):
        return carried_out(manager.audit(session_id)).as_json()


def _found(config: "Config", session_id: str) -> dict[str, Any]:
    """Return what the check found, whoever made it. Raises: SupervisorError."""
    manager = open_manager(config, session_id)
    lock = manager.lock_for(session_id)
    if not lock.path.exists() or lock.free(0):
        return _alone(manager, session_id)

    def owned(_manager: "SessionManager") -> dict[str, Any]:
        with lock:  # tells who has it, and where that listens
            pass
        return _alone(manager, session_id)

    try:
        found = change(config, "check", session_id, owned)
    except SessionBusy:
        return _alone(manager, session_id)
    return found if isinstance(found, dict) else {}


@click.command()
@click.argument("session_id", metavar="[ID]", required=False)
@target.config_option
@target.json_option
@click.pass_context
def check(ctx: click.Context, session_id: str | None, *, as_json: bool) -> int:
    """Check the live session, and read every snapshot back from the disk.

    Exit code 1: the live session is damaged or missing, no snapshot of this link is restorable,
    or one that was good can't be read any more.
    """
    config = target.config(ctx)
    chosen = identify(config, session_id)
    found = _found(config, chosen)
    if as_json:
        target.echo_json(found)
    else:
        for line in told(found):
            click.echo(line)
    return 0 if found.get("ok") else 1


def told(found: dict[str, Any]) -> list[str]:
    """Return what a person reads of a check."""
    name, verdict = words.get(found, "id"), words.get(found, "verdict")
    why = words.get(found, "why")
    lines = [f"session {name} {verdict}" + (f": {why}" if why else "")]
    if verdict == "passed":
        size = words.size(found.get("size_bytes"))
        device = words.get(found, "identity") or "unknown"
        lines.append(f"{words.count(found.get('files', 0), 'file')}, {size}, device {device}")
    if found.get("foreign"):
        lines.append("that is another device than the one this session was linked as")
    if found.get("hot"):
        lines.append("it is in use: its databases were not opened")
    snapshots = words.listed(found, "snapshots")
    away = words.get(found, "away")
    if away and verdict != "passed":  # what there is may be older than what is elsewhere
        advice = ["mount the store's disk, or put it back: nothing else comes back unasked"]
    else:
        advice = _advice(found, snapshots)
    lines += ["", *([away] if away else []), *_snapshots(snapshots), *advice]
    lines += _aside(found)
    read, took = words.size(found.get("bytes_read")), words.span(found.get("duration_s"))
    lines += ["", f"{read} read back from the disk in {took}"]
    if not found.get("written_down"):
        lines.append("nothing of it was written down: another process owns the session")
    return lines


def _snapshots(snapshots: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            words.get(one, "id"),
            f"{words.span(age)} ago" if (age := words.age_s(one.get("taken_at"))) else "",
            words.get(one, "verdict"),
            words.get(one, "proof"),
            words.get(one, "epoch"),
            "yes" if one.get("restorable") else "no",
        ]
        for one in snapshots
    ]
    lines = table(_HEAD, rows) if snapshots else []
    for one in snapshots:
        if not one.get("restorable"):
            lines.append(f"{words.get(one, 'seq')}: {words.get(one, 'why_not')}")
            lines.append(f"   {words.get(one, 'todo') or 'nothing can be done for it'}")
    return lines


def _advice(found: dict[str, Any], snapshots: list[dict[str, Any]]) -> list[str]:
    """Return what to do, all in all: it depends on what is live, and on what can't be read now."""
    name, whole = words.get(found, "id"), found.get("verdict") == "passed"
    best = next((one for one in reversed(snapshots) if one.get("restorable")), None)
    if best is not None and whole:
        return [f"to bring the newest back: {words.get(best, 'todo')}"]
    if found.get("waits"):
        return _waiting(found, name, best)
    if best is not None:
        return _back(found, name, best)
    none = "none of its snapshots can come back" if snapshots else "it has no snapshot"
    if whole:
        take = ": take one of what is live" if snapshots else ""
        return [f"{none}{take}: stillhere session backup {name}"]
    live = "nothing is live" if found.get("verdict") == "absent" else "what is live is not whole"
    clear = f"stillhere session clear {name}, then " * bool(found.get("linked"))
    comes_in = "an exported copy can come in: stillhere session import"
    return [f"{none}, and {live}", f"{comes_in}; else link it: {clear}stillhere link"]


def _back(found: dict[str, Any], name: str, best: dict[str, Any]) -> list[str]:
    """Say how a session that is not whole comes back, and whether it does so by itself."""
    if found.get("unasked") is not None:
        return [f"to bring it back: stillhere session restore {name} (the next start does it, too)"]
    why = "what could come back is older than what was lost, so it does not come by itself"
    return [f"{why}; if you mean it: {words.get(best, 'todo')}"]


def _waiting(found: dict[str, Any], name: str, best: dict[str, Any] | None) -> list[str]:
    """Say what waits for something that can't be read now: nothing is lost yet."""
    lines = [f"nothing comes back unasked before this can be read: {words.get(found, 'waits')}"]
    if found.get("verdict") == "passed":
        lines.append(f"what is live is whole, and goes on; then: stillhere session check {name}")
    else:
        lines.append(f"then: stillhere session restore {name} (the next start does it, too)")
    if best is not None:
        lines.append(f"an older one can come back, if you mean it: {words.get(best, 'todo')}")
    return lines


def _aside(found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for one in words.listed(found, "unreadable"):
        lines.append(
            f"{words.clean(one)} is torn, or no manifest of ours: nothing is pruned for it"
        )
        lines.append("   move it out of .session-cache/ if you don't need it")
    unread = found.get("unread")
    for name, why in unread.items() if isinstance(unread, dict) else ():
        lines.append(
            f"{words.clean(name)} can't be read now: {words.clean(why)}: nothing is pruned"
        )
        lines.append(
            "   mend the disk; nothing newer than it is lost, and nothing older comes back"
        )
    left_out = words.listed(found, "left_out")
    lines += [f"not in the newest snapshot: {words.clean(one)}" for one in left_out]
    unneeded = words.listed(found, "unneeded_packs")
    if unneeded:
        text = f"{words.count(len(unneeded), 'pack')} that no manifest needs"
        lines.append(f"{text}: {words.names(unneeded)}")
    for one in words.listed(found, "quarantine"):
        whole = "whole" if one.get("restorable") else f"not whole: {words.get(one, 'why_not')}"
        lines.append(f"in quarantine: {words.get(one, 'name')}, {whole}")
    return ["", *lines] if lines else []
