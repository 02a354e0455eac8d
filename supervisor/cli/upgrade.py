"""`stillhere reload` and `stillhere upgrade`, and the rehearsal of an upgrade by the new code."""

import os
from typing import TYPE_CHECKING, Any

import click

from supervisor.cli import target, words
from supervisor.core.errors import SupervisorError
from supervisor.core.version import VERSION

if TYPE_CHECKING:
    from supervisor.config import Config
    from supervisor.loop.handoff import Handoff

_DONE = (
    ("added", "started"),
    ("removed", "stopped"),
    ("restarted", "restarted"),
    ("changed", "goes on, by its new settings"),
)


@click.command()
@target.config_option
@target.json_option
@click.pass_context
def reload(ctx: click.Context, *, as_json: bool) -> int:
    """Read the config anew: start, stop or restart only the bots that it changes.

    A config with a mistake is refused, and the old one goes on.
    """
    found: Any = target.client(ctx).call("reload")
    if as_json:
        target.echo_json(found)
        return 0
    told = False
    for key, text in _DONE:
        for name in found.get(key, ()):
            told = True
            click.echo(f"{words.clean(name)}: {text}")
    if not told:
        click.echo("no bot is affected")
    for why in found.get("incomplete", ()):
        click.echo(f"not taken: {words.clean(why)}", err=True)
    return 0


@click.command()
@target.config_option
@target.json_option
@click.pass_context
def upgrade(ctx: click.Context, *, as_json: bool) -> int:
    """Go on by the code that is installed now; the bots run on, untouched.

    The new code is tried first. It waits, 30 s at most, until no bot is being restarted.
    """
    found: Any = target.client(ctx).call("upgrade")
    if as_json:
        target.echo_json(found)
    else:
        pids = words.inner(found, "pids")
        took = words.seconds(found.get("duration_s"))
        click.echo(f"upgraded from {found['from']} to {found['to']} in {took}: pid {found['pid']}")
        for name, pid in pids.items():
            click.echo(f"{words.clean(name)}: runs on, pid {pid}")
    return 0


def rehearse(config: "Config", fds: tuple[int, int], *, dev: bool) -> int:
    """Say whether this code could go on from where the running one is. It changes nothing.

    Raises: SupervisorError, and whatever the new code may do wrong.
    """
    from supervisor.loop import handoff  # noqa: PLC0415 - `--help` needs none

    document, answer = fds
    _import_all()
    _check(handoff.decoded(handoff.unsealed(document)), config, dev=dev)
    os.write(answer, VERSION.encode())
    return 0


def _check(handed: "Handoff", config: "Config", *, dev: bool) -> None:
    from supervisor.loop import handoff  # noqa: PLC0415 - the same

    if handed.config != handoff.digest(config.path) or handed.dev is not dev:
        raise SupervisorError(
            f"{config.path} is not what the supervisor runs by", "first: stillhere reload"
        )
    if missing := handed.bots.keys() - config.bots.keys():
        raise SupervisorError(f"the config lacks {', '.join(sorted(missing))}")


def _import_all() -> None:
    """Import all of us: what is broken must show now, not when it is needed first."""
    import importlib  # noqa: PLC0415 - only here
    import pkgutil  # noqa: PLC0415 - the same

    for found in pkgutil.walk_packages(
        importlib.import_module("supervisor").__path__, "supervisor."
    ):
        # The first runs a command; the other is what a paused interpreter runs, and pauses.
        if not found.name.startswith(("supervisor.__main__", "supervisor.process.paused")):
            try:
                importlib.import_module(found.name)
            except Exception as error:
                raise SupervisorError(f"{found.name}: {_in_words(error)}") from error


def _in_words(error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    return f"{type(error).__name__}: {error}"
