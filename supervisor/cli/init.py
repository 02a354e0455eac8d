"""`stillhere init`: looks at the folder, writes a config.toml to be read and changed."""

import os
from pathlib import Path

import click

from supervisor.cli import target
from supervisor.cli.dev import WithCommand
from supervisor.cli.words import clean
from supervisor.core.errors import ConfigError, SupervisorError


@click.command(cls=WithCommand)
@click.option("--print", "only_print", is_flag=True, help="Print it, write nothing.")
@click.pass_context
def init(ctx: click.Context, *, only_print: bool) -> int:
    """Look at this folder and write a commented config.toml for the bot in it.

    COMMAND is how the bot is started; without it, it is guessed.
    """
    from supervisor.presets.choose import default_config  # noqa: PLC0415 - quick commands skip it
    from supervisor.presets.draft import draft  # noqa: PLC0415 - the same

    command: list[str] | None = ctx.obj.get("command")
    if command is not None and not command:
        raise ConfigError(("there is no command behind --",), "stillhere init -- python bot.py")
    here = Path.cwd()
    config = default_config(here, command or target.guessed_command(here))
    text = draft(config)
    if only_print:
        click.echo(text, nl=False)
        return 0
    path = here / target.FILE_NAME
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise SupervisorError(
            f"{path} is there already, and is not touched", "stillhere init --print shows another"
        ) from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink(missing_ok=True)  # half of it would be in the way of the next try
        raise
    for bot in config.bots.values():
        for line in bot.assumed:
            click.echo(f"assumed: {clean(line)}")
    click.echo(f"wrote {clean(path)}: read it, then: stillhere dev")
    return 0
