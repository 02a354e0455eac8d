"""`stillhere session backup`, `restore`, `clear`: through the supervisor, or with the lock."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supervisor.cli import target, words
from supervisor.cli.progress import Following, ProgressLine
from supervisor.cli.sessions import identify, open_manager
from supervisor.control.client import Client, NotRunning
from supervisor.core.errors import SessionBusy, SupervisorError

if TYPE_CHECKING:
    from supervisor.config import Config
    from supervisor.session.manager import SessionManager

# The supervisor may have to stop a bot, copy, sync and start it again.
PATIENCE_S = 300.0


def _through(
    client: Client, config: "Config", op: str, session_id: str, snapshot: str | None
) -> Any:
    args = {"op": op, "id": session_id}
    if snapshot is not None:
        args["snapshot"] = snapshot
    bots = (bot.name for bot in config.bots.values() if bot.session == session_id)
    with Following(client, next(bots, None)):
        return client.call("session", **args)


def change(
    config: "Config",
    op: str,
    session_id: str,
    alone: Callable[["SessionManager"], Any],
    *,
    snapshot: str | None = None,
) -> Any:
    """Do it through the running supervisor, else ourselves, as the session's owner.

    Raises: SupervisorError; who owns the session if it is neither.
    """
    client = Client.for_config(config.path)
    client.total_s = PATIENCE_S
    try:
        return _through(client, config, op, session_id, snapshot)
    except NotRunning:
        pass
    try:
        return alone(open_manager(config, session_id))
    except SessionBusy as error:
        if not error.control:
            raise
        # Its owner was started with another config or environment, but it says where it listens.
        owner = Client(Path(error.control), name=str(config.path), total_s=PATIENCE_S)
        try:
            return _through(owner, config, op, session_id, snapshot)
        except NotRunning:
            raise error from None


def consent(question: str, *, yes: bool) -> None:
    """Ask a person. Raises: SupervisorError on no, and where nobody can be asked."""
    if yes:
        return
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise SupervisorError(
            f"not done without consent: {question}", "say yes with --yes where nobody can be asked"
        )
    if not click.confirm(question, err=True):
        raise SupervisorError("not done: nothing was changed")


def _fields(value: Any) -> dict[str, Any]:
    """Return a result's fields, whether it came as JSON or as an object."""
    if isinstance(value, dict):
        return value
    as_json = getattr(value, "as_json", None)
    if as_json is not None:
        found = as_json()
        return found if isinstance(found, dict) else {}
    slots = getattr(value, "__dataclass_fields__", {})
    return {name: _plain(getattr(value, name)) for name in slots}


def _plain(value: Any) -> Any:
    return _fields(value) if hasattr(value, "__dataclass_fields__") else value


yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


@click.command()
@click.argument("session_id", metavar="[ID]", required=False)
@target.config_option
@target.json_option
@click.pass_context
def backup(ctx: click.Context, session_id: str | None, *, as_json: bool) -> int:
    """Take a snapshot now; a running bot goes on. Exit code 1: it is bad, and says why."""
    config = target.config(ctx)
    chosen = identify(config, session_id)

    if away := open_manager(config, chosen).snapshots_away(chosen):
        click.echo(f"{away}: this one is begun anew, if what is live is whole", err=True)

    def alone(manager: "SessionManager") -> Any:
        with ProgressLine("taking a snapshot", manager):
            return manager.backup(chosen)

    found = _fields(change(config, "backup", chosen, alone))
    if as_json:
        target.echo_json(found)
        return 1 if found.get("verdict") == "bad" else 0
    size, verdict = words.size(found.get("size_bytes")), words.get(found, "verdict")
    why = f": {words.get(found, 'why')}" if found.get("why") else ""
    click.echo(f"snapshot {words.get(found, 'id')}: {size}, {verdict}{why}")
    if verdict == "bad":
        click.echo("it is never restored by itself; next: stillhere session check", err=True)
    return 1 if verdict == "bad" else 0


def _age_and_cost(manager: "SessionManager", session_id: str, snapshot: str) -> str:
    """Say what a restore of this snapshot means. Raises: SupervisorError if there is none.

    What was replaced and lies in quarantine may come back by its name, too.
    """
    info = manager.info(session_id)
    snapshot = snapshot.removesuffix(".json")
    goes = "what is live now goes to quarantine"
    for one in info.get("snapshots") or []:
        if snapshot in (one.get("id"), str(one.get("seq"))):
            return (
                f"snapshot {words.get(one, 'id')} is {_old(one.get('taken_at'))}: chats that "
                f"moved on since may show Bad MAC; {goes}"
            )
    for one in info.get("quarantine") or []:
        if snapshot != one.get("name"):
            continue
        if Path(str(one.get("path"))).is_dir():
            raise SupervisorError(
                f"{snapshot} is a plain folder in quarantine, and no snapshot",
                f"stillhere session import {session_id} {one.get('path')}",
            )
        return (
            f"{words.get(one, 'name')} is a session that was replaced ({words.get(one, 'why')}), "
            f"{_old(one.get('at'))}: chats that moved on since may show Bad MAC; {goes}"
        )
    raise SupervisorError(
        f"session {session_id} has no snapshot {snapshot!r}, and none in quarantine",
        f"stillhere session snapshots {session_id}, or session info for what is in quarantine",
    )


def _old(at: object) -> str:
    age = words.age_s(at)
    return "of unknown age" if age is None else f"{words.span(age)} old"


@click.command()
@click.argument("session_id", metavar="[ID]", required=False)
@click.option(
    "--snapshot",
    help="This one (its id or seq, or a name in quarantine), whatever the live session is like.",
)
@yes_option
@target.config_option
@target.json_option
@click.pass_context
def restore(
    ctx: click.Context, session_id: str | None, snapshot: str | None, *, yes: bool, as_json: bool
) -> int:
    """Check the live session and restore it if it must be; with --snapshot in any case."""
    config = target.config(ctx)
    chosen = identify(config, session_id)
    if snapshot is not None:
        told = _age_and_cost(open_manager(config, chosen), chosen, snapshot)
        click.echo(told, err=True)
        consent(f"restore session {chosen} from it?", yes=yes)

    def alone(manager: "SessionManager") -> Any:
        with ProgressLine("restoring", manager):
            if snapshot is None:
                return manager.restore(chosen)
            return manager.restore_from_backup(chosen, snapshot)

    found = _fields(change(config, "restore", chosen, alone, snapshot=snapshot))
    if as_json:
        target.echo_json(found)
    elif found.get("flaw"):
        click.echo(f"session {chosen} does not pass its check: {words.get(found, 'flaw')}")
        click.echo("it ran like that before and was the same device: kept as it is")
    elif found.get("action") == "kept":
        click.echo(f"session {chosen} passed its check: kept as it is, nothing was restored")
    else:
        inner = found.get("snapshot")
        which = words.get(inner, "id") if isinstance(inner, dict) else words.clean(inner or "")
        click.echo(f"session {chosen} restored" + (f" from {which}" if which else ""))
        if found.get("age_s"):
            click.echo(f"it is {words.span(found['age_s'])} old: chats may show Bad MAC")
        if found.get("quarantined"):
            click.echo(f"the session before is in quarantine: {words.get(found, 'quarantined')}")
    return 0


@click.command()
@click.argument("session_id", metavar="[ID]", required=False)
@yes_option
@target.config_option
@target.json_option
@click.pass_context
def clear(ctx: click.Context, session_id: str | None, *, yes: bool, as_json: bool) -> int:
    """End a session: the device is unlinked here, and the bot shows a new QR code."""
    config = target.config(ctx)
    chosen = identify(config, session_id)
    consent(
        f"clear session {chosen}? The device is unlinked here, its session is moved to "
        "quarantine and never restored by itself, and a new QR code will be shown",
        yes=yes,
    )
    result = change(config, "clear", chosen, lambda manager: manager.clear(chosen))
    found = {"quarantined": result} if isinstance(result, str) else _fields(result)
    if as_json:
        target.echo_json({"id": chosen, **found})
    else:
        click.echo(f"session {chosen} cleared: the device is unlinked here; next: a new QR code")
        if found.get("quarantined"):
            click.echo(f"the old session is in quarantine: {words.get(found, 'quarantined')}")
    return 0
