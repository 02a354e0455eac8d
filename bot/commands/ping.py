"""`!ping`: say that someone is there."""

from bot.commands import Context

name = "ping"
help = "!ping: is anyone there?"


async def run(_ctx: Context, _args: str) -> str:
    """Answer."""
    return "pong"
