"""`stillhere session info`, `list`, `snapshots`: they read files, and write nothing."""

from typing import TYPE_CHECKING, Any

import click

from supervisor.cli import session_carry, session_change, session_check, target, words
from supervisor.cli.sessions import identify, known, open_manager
from supervisor.cli.tables import pairs, table
from supervisor.cli.target import echo_json
from supervisor.core.errors import SupervisorError

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.group()
@target.config_option
def session() -> None:
    """Look at sessions, back them up, bring them back. ID may be left out if there is one."""


def _print(lines: "Sequence[str]") -> None:
    for line in lines:
        click.echo(line)


def _ago(t: object) -> str:
    age = words.age_s(t)
    return "" if age is None else f"{words.span(age)} ago"


def _snapshot_rows(snapshots: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            words.get(s, "id"),
            _ago(s.get("taken_at")),
            words.get(s, "reason"),
            words.get(s, "verdict"),
            words.get(s, "proof"),
            words.get(s, "epoch"),
            words.size(s.get("size_bytes")),
            words.size(s.get("new_bytes")),
        ]
        for s in snapshots
    ]


_HEAD = ("SNAPSHOT", "TAKEN", "REASON", "VERDICT", "PROOF", "EPOCH", "SIZE", "NEW")


@session.command()
@click.argument("session_id", metavar="[ID]", required=False)
@target.config_option
@target.json_option
@click.pass_context
def info(ctx: click.Context, session_id: str | None, *, as_json: bool) -> int:
    """Show everything that is known of a session."""
    config = target.config(ctx)
    chosen = identify(config, session_id)
    found = open_manager(config, chosen).info(chosen)
    if as_json:
        echo_json(found)
        return 0
    snapshots = found.get("snapshots") or []
    restorable = "yes" if found.get("restorable") else f"no: {words.get(found, 'why_not')}"
    live = ", ".join((words.count(found.get("files"), "file"), words.size(found.get("size_bytes"))))
    _print(
        pairs(
            [
                ("session", words.get(found, "id")),
                ("path", words.get(found, "path")),
                ("live", live if found.get("exists") else "missing"),
                ("state", words.get(found, "state")),
                ("device", words.get(found, "identity") or "-"),
                ("epoch", words.get(found, "epoch")),
                ("restorable", restorable),
                ("restored", f"{words.get(found, 'restore_count')} verified starts"),
                ("rolled back", f"{words.get(found, 'rollback_count')} times"),
                ("linked", f"{words.get(found, 'link_count')} times"),
                ("quarantine", str(len(found.get("quarantine") or []))),
            ]
        )
    )
    if snapshots:
        _print(["", *table(_HEAD, _snapshot_rows(snapshots))])
    held = found.get("quarantine") or []
    if held:
        rows = [[words.get(h, "name"), _ago(h.get("at")), words.get(h, "why")] for h in held]
        _print(["", *table(("IN QUARANTINE", "SINCE", "WHY"), rows)])
    return 0


@session.command("list")
@target.config_option
@target.json_option
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> int:
    """List all sessions: the configured ones and what else is there."""
    config = target.config(ctx)
    infos, code = [], 0
    for each in known(config):
        try:
            infos.append(open_manager(config, each).info(each))
        except SupervisorError as error:  # the others are to be seen all the same
            click.echo(f"error: session {words.clean(each)}: {error.message}", err=True)
            click.echo(f"hint: {error.hint}", err=True)
            code = 1
    if as_json:
        echo_json([{k: v for k, v in one.items() if k != "snapshots"} for one in infos])
        return code
    rows = [
        [
            words.get(one, "id"),
            words.get(one, "state"),
            words.get(one, "identity"),
            words.size(one.get("size_bytes")) if one.get("exists") else "missing",
            str(len(one.get("snapshots") or [])),
        ]
        for one in infos
    ]
    _print(table(("SESSION", "STATE", "DEVICE", "SIZE", "SNAPSHOTS"), rows))
    return code


@session.command()
@click.argument("session_id", metavar="[ID]", required=False)
@target.config_option
@target.json_option
@click.pass_context
def snapshots(ctx: click.Context, session_id: str | None, *, as_json: bool) -> int:
    """List the snapshots of a session."""
    config = target.config(ctx)
    chosen = identify(config, session_id)
    found = open_manager(config, chosen).info(chosen).get("snapshots") or []
    if as_json:
        echo_json(found)
    elif found:
        _print(table(_HEAD, _snapshot_rows(found)))
    else:
        click.echo(f"session {chosen} has no snapshots")
    return 0


for _command in (
    session_check.check,
    session_change.backup,
    session_change.restore,
    session_change.clear,
    session_carry.prune,
    session_carry.export,
    session_carry.import_,
):
    session.add_command(_command)
