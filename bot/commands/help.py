"""`!help`: what this bot can do."""

from bot.commands import Context

name = "help"
help = "!help: this list"


async def run(ctx: Context, _args: str) -> str:
    """List the commands."""
    return "\n".join(command.help for command in ctx.commands.values())
