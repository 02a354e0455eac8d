"""What all bots of a supervisor share. Decides nothing about one of them."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from supervisor.config import BotConfig, Config
from supervisor.core import events as ev
from supervisor.loop.printed import Outlets
from supervisor.loop.turnstile import Turnstile
from supervisor.watch.shared import Watch


@dataclass(slots=True, kw_only=True)
class House:
    """What all bots of a supervisor share.

    `changed` is called after each step of any bot, `reread` when the config was saved, `look` when
    source was from which it was read where a session lies. `turn`: who has it checks a session's
    snapshots. `turnstile`: who restarts. `watch`: the one watch of the source of all.
    """

    config: Config
    dev: bool
    control: str
    socket_dir: Path
    changed: Callable[[], None]
    reread: Callable[[], None]
    look: Callable[[], None]
    note: Callable[[str | None, str, dict[str, Any]], None]
    outlets: Outlets
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    turnstile: Turnstile = field(default_factory=Turnstile)
    watch: Watch = field(default_factory=Watch)

    def watches(self, bot: BotConfig) -> bool:
        """Return whether changed source restarts this bot."""
        return bot.session is not None and bool(bot.watch) and (self.dev or bot.watch_in_service)

    def of_a_bot(self, event: ev.SourceChanged) -> ev.SourceChanged | None:
        """Return the change without that of our config, which is read anew; None: it was that."""
        own = os.path.relpath(self.config.path, self.config.root)
        if own not in event.paths:
            return event
        self.reread()
        rest = tuple(path for path in event.paths if path != own)
        return replace(event, paths=rest) if rest else None
