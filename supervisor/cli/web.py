"""`stillhere web`: the address of the page, with the secret in it. Only this user may ask."""

from typing import Any

import click

from supervisor.cli import target


@click.command()
@target.config_option
@target.json_option
@click.pass_context
def web(ctx: click.Context, *, as_json: bool) -> int:
    """Print the address of the running supervisor's page.

    Whoever has the address can do what you can do with the bots.
    """
    found: Any = target.client(ctx).call("web")
    if as_json:
        target.echo_json(found)
    else:
        click.echo(found["url"])
    return 0
