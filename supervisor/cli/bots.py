"""`stillhere start`, `stop`, `restart`, `pause`, `resume`."""

from typing import Any

import click

from supervisor.cli import target, words

_DONE = {
    "start": "started",
    "stop": "stopped",
    "restart": "restarted",
    "pause": "paused",
    "resume": "resumed",
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


start = _command("start", "Start BOT, or all bots.")
stop = _command("stop", "Stop BOT in good order, or all bots; the supervisor stays.")
restart = _command("restart", "Restart BOT, or all bots, also where a change would wait.")
pause = _command("pause", "Collect changes of BOT, or of all bots, and do not act on them.")
resume = _command("resume", "Act on changes of BOT, or of all bots, again.")
