"""`stillhere link`: the QR code, drawn until it is scanned."""

import os
import sys
from collections.abc import Sequence

import click

from supervisor.cli import qr, target, words
from supervisor.core.errors import SupervisorError


class _Picture:
    """Draws one code over the last one, on a real terminal."""

    def __init__(self) -> None:
        self._colours = not qr.plain(os.environ)
        self._moves = os.environ.get("TERM") != "dumb"
        self._height = 0

    def show(self, payload: str, note: str) -> None:
        room = qr.columns(sys.stdout.fileno())
        drawn, lines = qr.draw(payload, room=room, colours=self._colours)
        self._put([*lines, note] if drawn else lines)

    def copy(self, rows: Sequence[str], note: str) -> None:
        """Show a code that the bot has drawn itself."""
        self._put([*(f"{row}\x1b[0m" for row in rows), note])

    def _put(self, lines: Sequence[str]) -> None:
        if self._height and self._moves:
            # Up to where the last code began, and nothing of it stays.
            sys.stdout.write(f"\x1b[{self._height}A\r\x1b[J")
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        self._height = len(lines)


@click.command()
@click.argument("bot", required=False)
@target.config_option
@target.json_option
@click.pass_context
def link(ctx: click.Context, bot: str | None, *, as_json: bool) -> int:
    """Show BOT's QR code in the terminal until it is scanned."""
    if not as_json and not sys.stdout.isatty():
        raise SupervisorError(
            "a QR code is drawn on a terminal only", "in a terminal, or with --json"
        )
    picture = _Picture()
    for item in target.client(ctx).stream("link", bot=bot):
        if as_json:
            target.echo_json(item, indent=None)
            sys.stdout.flush()
        elif isinstance(item.get("qr"), str):
            ttl = item.get("ttl_s")
            note = "scan it with the phone: Linked devices"
            if isinstance(ttl, int | float):
                note += f" (valid for {ttl:.0f} s)"
            picture.show(item["qr"], note)
        elif isinstance(item.get("picture"), list):
            picture.copy([str(row) for row in item["picture"]], "scan it with the phone")
        if "linked" in item:
            if not as_json:
                click.echo(f"linked: device {words.get(item, 'linked')}")
            return 0
    raise SupervisorError("the bot stopped asking for a link", "stillhere status")
