"""`!ping`: say that someone is there."""

from bot.commands import Context

name = "ping"
help = "!ping: is anyone there?"  # noqa: A001 (what the command says of itself)


async def run(_ctx: Context, _args: str) -> str:
    """Answer."""
    return "pong"
