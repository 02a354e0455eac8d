"""`stillhere status`."""

from typing import Any

import click

from supervisor.cli import target, words
from supervisor.control.client import NotRunning

BOT_FAILED = 3


def _last(record: Any) -> str:
    if not isinstance(record, dict):
        return ""
    parts = [words.clean(record.get("reason") or "")]
    parts.append(words.seconds(record.get("save_to_ready_s")))
    gap = words.seconds(record.get("gap_s"))
    parts.append(f"offline {gap}" if gap else "")
    proof = words.clean(record.get("proof") or "")
    parts.append(proof if record.get("verified") else "not verified")
    return ", ".join(part for part in parts if part)


def _row(name: str, bot: dict[str, Any]) -> list[str]:
    session = bot.get("session") or {}
    return [
        words.clean(name),
        words.get(bot, "phase"),
        words.get(bot, "pid"),
        words.get(bot, "generation"),
        words.get(bot, "restarts"),
        words.get(session, "id"),
        words.get(session, "state"),
        words.get(session, "identity"),
        _last(bot.get("last_restart")),
    ]


def _spare(name: str, bot: dict[str, Any]) -> str:
    spare = bot.get("spare") or {}
    if not spare:
        return ""
    loaded, size = (
        words.count(spare.get("modules", 0), "module"),
        words.size(spare.get("pss_bytes")),
    )
    pid = words.get(spare, "pid")
    return f"{words.clean(name)}: a warm spare waits (pid {pid}, {loaded}, {size})"


HEAD = ("BOT", "PHASE", "PID", "GENERATION", "RESTARTS", "SESSION", "STATE", "DEVICE", "LAST")


@click.command()
@target.config_option
@target.json_option
@click.pass_context
def status(ctx: click.Context, *, as_json: bool) -> int:
    """Show the supervisor and its bots. Exit code 3: a bot is in FAILED."""
    client = target.client(ctx)
    try:
        found = client.call("status")
    except NotRunning:
        if as_json:
            target.echo_json({"supervisor": None, "bots": {}})
        raise
    bots = found.get("bots") or {}
    if as_json:
        target.echo_json(found)
    else:
        from supervisor.cli.tables import table  # noqa: PLC0415 - JSON needs none

        supervisor = found.get("supervisor") or {}
        up = words.span(supervisor.get("uptime_s"))
        click.echo(f"stillhere {supervisor.get('version')}, pid {supervisor.get('pid')}, up {up}")
        for line in table(HEAD, [_row(name, bot) for name, bot in bots.items()]):
            click.echo(line)
        for line in filter(None, (_spare(name, bot) for name, bot in bots.items())):
            click.echo(line)
    phases = [str(bot.get("phase")).upper() for bot in bots.values()]
    return BOT_FAILED if "FAILED" in phases else 0
