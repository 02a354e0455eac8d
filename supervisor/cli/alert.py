"""`stillhere alert`."""

from typing import TYPE_CHECKING, Any

import click

from supervisor.cli import target, words

if TYPE_CHECKING:
    from supervisor.config import Config
    from supervisor.service.alerting.delivery import Outcome

FAILED = 1


@click.command()
@click.option("--test", is_flag=True, help="Send a test alert now.")
@target.config_option
@target.json_option
@click.pass_context
def alert(ctx: click.Context, *, test: bool, as_json: bool) -> int:
    """Show how a person is told that one is needed, or try it out. Needs no supervisor.

    Exit code 1: a test alert could not be sent.
    """
    config = target.config(ctx)
    found = _tried(config) if test else _ways(config)
    if as_json:
        target.echo_json(found)
    elif not found:
        click.echo("nobody is told: set `command` or `webhook` in [alerts]")
    for name, way in () if as_json else found.items():
        said = f"\n  it said: {words.clean(way['said'])}" if way.get("said") else ""
        click.echo(f"{name}: {_in_words(way)}{said}")
    failed = test and not (found and all(way["ok"] for way in found.values()))
    return FAILED if failed else 0


def _in_words(way: dict[str, Any]) -> str:
    if "ok" not in way:
        return words.clean(way["to"])
    return "sent" if way["ok"] else f"not sent: {words.clean(way['why'])}"


def _ways(config: "Config") -> dict[str, dict[str, Any]]:
    """Return what is set: the program alone, and no URL, for there may be tokens in the rest."""
    found: dict[str, dict[str, Any]] = {}
    if config.alerts.command:
        found["command"] = {"to": config.alerts.command[0]}
    if config.alerts.webhook:
        found["webhook"] = {"to": "a URL that is not shown"}
    return found


def _tried(config: "Config") -> dict[str, dict[str, Any]]:
    """Send a test alert by each way, one after the other."""
    import asyncio  # noqa: PLC0415 - `--help` needs none
    import re  # noqa: PLC0415 - the same

    from supervisor.service.alerting.announcer import masked, ways  # noqa: PLC0415 - the same
    from supervisor.service.alerting.cases import made  # noqa: PLC0415 - the same

    message = made("stillhere", "test", "this is a test", {})

    async def send() -> dict[str, "Outcome"]:
        return {name: await way(message) for name, way in ways(config).items()}

    masks = [re.compile(pattern) for pattern in config.logs.mask]
    return {
        name: {"ok": each.ok, "why": each.why, "said": masked(each.said, masks)}
        for name, each in asyncio.run(send()).items()
    }
