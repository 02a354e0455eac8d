"""The bot's commands. One small file each: add a file here and the bot knows the command.

A command file has `name`, `help` (one line) and `async def run(ctx, args) -> str`, which returns
the answer. It runs once per message: what it changes in `ctx.store` is committed together with the
answer, or, if the bot is killed meanwhile, not at all, and then the message comes again. So do
anything outside the store only if doing it twice is fine, and answer within a second or so: other
messages and the checkpoint wait.
"""

import importlib
import pkgutil
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from bot.session import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that was found."""

    name: str
    help: str
    run: Callable[["Context", str], Coroutine[Any, Any, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a command may use. `uptime_s`: seconds since the bot took the session."""

    store: Store
    message_id: str
    generation: int
    uptime_s: float
    commands: Mapping[str, Command]


def load() -> Mapping[str, Command]:
    """Import every command file of this folder.

    Raises: TypeError for a file that is no command.
    """
    found: dict[str, Command] = {}
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        module = importlib.import_module(f"{__name__}.{info.name}")
        try:
            command = Command(name=module.name, help=module.help, run=module.run)
        except AttributeError as problem:
            raise TypeError(f"bot/commands/{info.name}.py is no command: {problem}") from None
        found[command.name] = command
    return MappingProxyType(found)


def duration(seconds: float) -> str:
    """Return a length of time as a person says it: `42 s`, `3 min`, `5 h 10 min`, `2 d 4 h`."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{whole} s"
