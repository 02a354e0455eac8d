"""`stillhere start`, `stop`, `restart`, `pause`, `resume`.

A start and a restart wait until they have come to something, so that "done" and the exit code say
what is true: 0 is a bot that is online as the device it was, proved as well as it can be.
"""

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from supervisor.cli import target, words
from supervisor.core.limits import NO_SNAPSHOT

if TYPE_CHECKING:
    from supervisor.control.client import Client

_DONE = {
    "start": "started",
    "stop": "stopped",
    "restart": "restarted",
    "pause": "paused",
    "resume": "resumed",
}
_ORDERED = {"start": "starting", "restart": "restarting"}
_FAILED, _BOT_FAILED = 1, 3
_NO_SNAPSHOT_HINT = "stillhere events tells why: mend that; it is tried again by itself, too"

# What each end of a start or restart means, and what to do then.
_ENDS = {
    "pairing": ("a QR code has to be scanned", "stillhere link shows it"),
    "held": ("the old one stays online", "mend the code: the next save is tried, too"),
    "offline": ("it runs, and is not online yet", "stillhere status tells when it is"),
    "backoff": ("it did not stay up, and is tried again", "stillhere logs, stillhere events"),
    "failed": ("it failed", "stillhere logs, stillhere events; then: stillhere restart"),
    "refused": ("its session is another process's", "stop that one first"),
    "down": ("it is down", "stillhere events tells why; then: stillhere start"),
}


def _ask(ctx: click.Context, command: str, bot: str | None, *, as_json: bool) -> int:
    result: Any = target.client(ctx).call(command, bot=bot)
    if as_json:
        target.echo_json(result)
    else:
        click.echo(f"{_DONE[command]}: {words.clean(bot or 'all bots')}")
    return 0


def _command(name: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("bot", required=False)
    @target.config_option
    @target.json_option
    @click.pass_context
    def asked(ctx: click.Context, bot: str | None, *, as_json: bool) -> int:
        return _ask(ctx, name, bot, as_json=as_json)

    return asked


def _waiting_command(name: str, text: str) -> click.Command:
    @click.command(name, help=text)
    @click.argument("bot", required=False)
    @click.option("--no-wait", is_flag=True, help="Return at once, whatever comes of it.")
    @target.config_option
    @target.json_option
    @click.pass_context
    def asked(ctx: click.Context, bot: str | None, *, no_wait: bool, as_json: bool) -> int:
        client = target.client(ctx)
        if no_wait:
            result: Any = client.call(name, bot=bot)
            if as_json:
                target.echo_json(result)
            else:
                click.echo(f"{_ORDERED[name]}: {words.clean(bot or 'all bots')}")
            return 0
        client.total_s = math.inf  # the supervisor's own deadlines bound it
        return _report(name, _waited(client, name, bot, shows=not as_json), as_json=as_json)

    return asked


def _waited(client: "Client", command: str, bot: str | None, *, shows: bool) -> dict[str, Any]:
    """Ask for it and wait, while a person is shown what goes on. Raises: SupervisorError."""
    from supervisor.cli import progress  # noqa: PLC0415 - quick commands skip it
    from supervisor.cli.console import Console  # noqa: PLC0415 - the same

    if not (shows and sys.stderr is not None and progress.draws(sys.stderr)):
        return dict(client.call(command, bot=bot, wait=True))
    console = Console({}, shows_qr=False)

    def tell(event: dict[str, Any]) -> None:
        for line in console.lines(event):
            if line.weight != "detail":
                click.echo(line.text, err=True)

    with progress.Follower(client, bot, tell):
        return dict(client.call(command, bot=bot, wait=True))


def _report(command: str, found: dict[str, Any], *, as_json: bool) -> int:
    """Tell what came of it, bot by bot; return the exit code."""
    if as_json:
        phases = {name: one["phase"] for name, one in found.items()}
        target.echo_json(phases)
    code = 0
    for name, one in found.items():
        result = str(one.get("result"))
        if result == "ready":
            done = _DONE[command] if one.get("record") else "runs already"
            if not as_json:
                click.echo(f"{done}: {words.clean(name)}{_measured(one)}")
            continue
        code = max(code, _BOT_FAILED if result == "failed" else _FAILED)
        wanted = "restarted" if result == "held" else "online"
        what, hint = _ENDS.get(result, (result, "stillhere status"))
        if one.get("why") == NO_SNAPSHOT:
            hint = _NO_SNAPSHOT_HINT
        why = f": {words.clean(one['why'])}" if one.get("why") else ""
        click.echo(f"error: {words.clean(name)} is not {wanted}: {what}{why}", err=True)
        click.echo(f"hint: {hint}", err=True)
    return code


def _measured(one: dict[str, Any]) -> str:
    """Say how long it took and what was proved."""
    record = words.inner(one, "record")
    took, gap = words.seconds(record.get("save_to_ready_s")), words.seconds(record.get("gap_s"))
    parts = [
        f"in {took}" if took else "",
        f"offline {gap}" if gap else "",
        words.get(record, "proof"),
    ]
    said = ", ".join(part for part in parts if part)
    return f": {said}" if said else ""


start = _waiting_command("start", "Start BOT, or all bots, and wait until they are online.")
stop = _command("stop", "Stop BOT in good order, or all bots; the supervisor stays.")
restart = _waiting_command(
    "restart",
    "Restart BOT, or all bots, also where a change would wait, and wait until they are online.",
)
pause = _command("pause", "Collect changes of BOT, or of all bots, and do not act on them.")
resume = _command("resume", "Act on changes of BOT, or of all bots, again.")
