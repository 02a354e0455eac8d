"""`!status`: how the bot is doing."""

import time

from bot.commands import Context, duration

name = "status"
help = "!status: uptime, generation, restarts survived, age of the session"


async def run(ctx: Context, _args: str) -> str:
    """Report."""
    survived = max(0, ctx.store.starts() - 1)
    age = duration(time.time() - ctx.store.linked_at())
    return (
        f"up {duration(ctx.uptime_s)}, generation {ctx.generation}, "
        f"{survived} restart{'' if survived == 1 else 's'} survived, session {age} old"
    )
