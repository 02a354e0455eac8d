"""`stillhere dev` and `stillhere run`."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from supervisor.cli import early, target
from supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from supervisor.cli.foreground import Runs
    from supervisor.config import Config


class WithCommand(click.Command):
    """Splits `[BOT] [-- COMMAND...]` at the `--`, which click itself would swallow."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what stands behind `--` for the command."""
        ctx.ensure_object(dict)["command"] = None
        if "--" in args:
            at = args.index("--")
            ctx.obj["command"] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show the part behind `--`, too."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def _pick(config: "Config", bot: str | None) -> list[str] | None:
    if bot is None:
        return None
    if bot not in config.bots:
        raise ConfigError(
            (f"{config.path}: there is no bot {bot!r}",), "the bots: " + ", ".join(config.bots)
        )
    return [bot]


def _with_command(config: "Config", bot: str | None, command: Sequence[str]) -> "Config":
    """Return the config with another command for one bot.

    Raises: ConfigError if it is not clear for which.
    """
    names = [bot] if bot is not None else list(config.bots)
    if len(names) != 1:
        raise ConfigError(
            (f"{config.path} has several bots: for which one is the command?",),
            "stillhere dev BOT -- COMMAND, with BOT one of " + ", ".join(config.bots),
        )
    changed = replace(config.bots[names[0]], command=tuple(command))
    return replace(config, bots={**config.bots, names[0]: changed})


def _handed() -> bytes | None:
    """Return what the config is like that we go on by after an upgrade."""
    if "STILLHERE_HANDOFF" not in os.environ:
        return None
    from supervisor.loop import handoff  # noqa: PLC0415 - only after an upgrade

    return handoff.text()


def _config(
    ctx: click.Context, bot: str | None, data: bytes | None = None, *, guesses: bool = False
) -> "tuple[Config, list[str] | None]":
    from supervisor.presets.choose import default_config, load  # noqa: PLC0415 - the same

    command: list[str] | None = ctx.obj.get("command")
    if command is not None and not command:
        raise ConfigError(("there is no command behind --",), "stillhere dev -- python bot.py")
    path = target.find(ctx)
    if path is None:
        if command is None and not guesses:
            raise target.no_config()
        config = default_config(Path.cwd(), command or target.guessed_command(Path.cwd()))
        return config, _pick(config, bot)
    config = load(path, data)
    names = _pick(config, bot)
    if command is not None:
        config = _with_command(config, bot, command)
    return config, names


def _perform(ctx: click.Context, bot: str | None, *, dev: bool, verbose: bool) -> int:
    import asyncio  # noqa: PLC0415 - `--help` needs none

    from supervisor.process import reexec  # noqa: PLC0415 - the same

    config, names = _config(ctx, bot, _handed(), guesses=dev)
    if (looks := reexec.rehearsal()) is not None:
        from supervisor.cli.upgrade import rehearse  # noqa: PLC0415 - only before an upgrade

        return rehearse(config, looks, dev=dev)

    from supervisor.cli.foreground import Foreground  # noqa: PLC0415 - the same
    from supervisor.cli.logs import stand_in_for_closed  # noqa: PLC0415 - the same

    stand_in_for_closed()

    def build(
        console: Callable[[dict[str, Any]], None], output: Callable[[str, str, bytes], None]
    ) -> "Runs":
        from supervisor.runner import Supervisor  # noqa: PLC0415 - the heaviest of all

        return Supervisor(
            config,
            dev=dev,
            console=console,
            output=output,
            load=lambda: _config(ctx, bot, guesses=dev)[0],
        )

    foreground = Foreground(config, names, dev=dev)
    return asyncio.run(foreground.run(build, verbose=verbose))


verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show every step.")


@click.command(cls=WithCommand)
@click.argument("bot", required=False)
@target.config_option
@verbose_option
@click.pass_context
def dev(ctx: click.Context, bot: str | None, *, verbose: bool) -> int:
    """Watch the source, restart BOT (or all bots) at every save, show the console.

    Keys: r restart, s snapshot, p pause, q quit, i a line to the bot (a pair code that it asks
    for). COMMAND runs in place of the config's, and needs no config at all.
    """
    return _perform(ctx, bot, dev=True, verbose=verbose)


@click.command()
@click.argument("bot", required=False)
@target.config_option
@verbose_option
@click.pass_context
def run(ctx: click.Context, bot: str | None, *, verbose: bool) -> int:
    """Run BOT (or all bots) as a service: no keys, logs for journald.

    Exit code 3: a bot is in FAILED.
    """
    early.hold()
    ctx.obj["command"] = None
    return _perform(ctx, bot, dev=False, verbose=verbose)
