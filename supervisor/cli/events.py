"""`stillhere events` and `stillhere logs`."""

import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click

from supervisor.cli import target, words
from supervisor.control.client import NotRunning
from supervisor.core.errors import SupervisorError


class _Teller:
    """Prints events: as JSON lines, or as the console would say them."""

    def __init__(self, *, as_json: bool) -> None:
        from supervisor.cli.console import Console  # noqa: PLC0415 - `logs` needs none

        self._as_json = as_json
        self._console = Console({}, shows_qr=False)

    def tell(self, event: dict[str, Any]) -> None:
        if self._as_json:
            target.echo_json(event, indent=None)
            return
        for line in self._console.render(event):
            click.echo(f"{_local(event.get('t'))}  {line}")
        # A pipe's reader wants to follow, too.
        sys.stdout.flush()


def _local(t: object) -> str:
    try:
        return datetime.fromisoformat(str(t)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):  # none, or one that is in no year here
        return "-"


@click.command()
@click.argument("bot", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens from now on.")
@target.config_option
@target.json_option
@click.pass_context
def events(ctx: click.Context, bot: str | None, *, follow: bool, as_json: bool) -> int:
    """Show what happened to BOT, or to all, the oldest first; also with no supervisor running."""
    teller = _Teller(as_json=as_json)
    try:
        stream: Iterable[dict[str, Any]] = target.client(ctx).stream(
            "events", bot=bot, follow=follow
        )
        for event in stream:
            teller.tell(event)
        _is_over(follow=follow)
    except NotRunning as error:
        from supervisor.control import journal  # noqa: PLC0415 - only without a supervisor

        config = target.config(ctx)
        for event in journal.read(config.snapshots / ".events.jsonl", bot):
            teller.tell(event)
        if follow:
            raise NotRunning(
                f"{error.message}: these events are all there is", error.hint
            ) from None
    return 0


@click.command()
@click.argument("bot", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=100, show_default=True, help="So many lines."
)
@target.config_option
@target.json_option
@click.pass_context
def logs(ctx: click.Context, bot: str | None, *, follow: bool, lines: int, as_json: bool) -> int:
    """Show the last lines of output of BOT, or of all bots.

    Without a supervisor: from the files, if the config has some (`[logs]`).
    """
    try:
        for item in target.client(ctx).stream("logs", bot=bot, follow=follow, lines=lines):
            _print(item, bot, as_json=as_json)
        _is_over(follow=follow)
    except NotRunning as error:
        for item in _from_files(ctx, bot, lines, error):
            _print(item, bot, as_json=as_json)
        if follow:
            raise NotRunning(f"{error.message}: these lines are all there is", error.hint) from None
    return 0


def _is_over(*, follow: bool) -> None:
    """Say why nothing follows any more."""
    if follow:
        click.echo("(the supervisor has ended, or was upgraded: to see more, ask again)", err=True)


def _print(item: dict[str, Any], bot: str | None, *, as_json: bool) -> None:
    if as_json:
        target.echo_json(item, indent=None)
        return
    name = words.get(item, "bot")
    text = str(item.get("line", "")).rstrip("\r\n")
    if item.get("event") == "lost":
        text = f"({words.get(item, 'count')} lines were too many to show)"
    click.echo(text if bot or not name else f"{name} | {text}")
    sys.stdout.flush()


def _from_files(
    ctx: click.Context, bot: str | None, lines: int, error: NotRunning
) -> Iterable[dict[str, Any]]:
    from supervisor.service.logs import files as logfiles  # noqa: PLC0415 - only without a supervisor

    config = target.config(ctx)
    if config.logs.folder is None:
        raise NotRunning(error.message, "its output is in no file: see [logs] in docs/config.md")
    if bot is not None and bot not in config.bots:
        raise SupervisorError(f"there is no bot {bot!r}", "one of " + ", ".join(config.bots))
    for name in config.bots if bot is None else (bot,):
        for line in logfiles.tail(config.logs.folder, name, lines):
            time, stream, text = (*line.split(" ", 2), "", "")[:3]
            yield {"bot": name, "t": time, "stream": stream, "line": text}
