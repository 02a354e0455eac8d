"""What all bots of a supervisor share. Decides nothing about one of them."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from supervisor.config import BotConfig, Config
from supervisor.core import events as ev
from supervisor.loop.printed import Outlets
from supervisor.loop.turnstile import Turnstile
from supervisor.process.own_output import own_output_files
from supervisor.session.places import Places
from supervisor.watch.shared import Watch


class Hidden(NamedTuple):
    """What is nobody's source: what lies at these paths, and those files among others."""

    never: tuple[Path, ...]
    among: tuple[tuple[Path, tuple[str, ...]], ...]


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
    _hidden: tuple[Config, Hidden] | None = None

    def watches(self, bot: BotConfig) -> bool:
        """Return whether changed source restarts this bot."""
        return bot.session is not None and bool(bot.watch) and (self.dev or bot.watch_in_service)

    def hidden(self) -> Hidden:
        """Return where sessions and what is ours lie: found once for a config, for all bots.

        Raises: SupervisorError for a session's folder that is a link to itself.
        """
        if self._hidden is None or self._hidden[0] is not self.config:
            self._hidden = self.config, hidden_by(self.config)
        return self._hidden[1]

    def of_a_bot(self, event: ev.SourceChanged) -> ev.SourceChanged | None:
        """Return the change without that of our config, which is read anew; None: it was that."""
        own = os.path.relpath(self.config.path, self.config.root)
        if own not in event.paths:
            return event
        self.reread()
        rest = tuple(path for path in event.paths if path != own)
        return replace(event, paths=rest) if rest else None


def hidden_by(config: Config) -> Hidden:
    """Return what no bot of a config may take for its source. Raises: as `House.hidden`."""
    never = [config.sessions, config.snapshots, config.state, *own_output_files()]
    among: list[tuple[Path, tuple[str, ...]]] = []
    places = Places(
        config.sessions,
        paths=config.sessions_elsewhere(),
        parts=config.session_parts(),
        ours=(),
        belongs=None,
    )
    # Every bot's: they may lie anywhere, the lock is beside the folder.
    for bot in config.bots.values():
        if bot.session is not None and bot.session_files:
            among.append((config.session_dir(bot), bot.session_files))
        elif bot.session is not None:
            never += [config.session_dir(bot), places.lock_for(bot.session).path]
    return Hidden(tuple(never), tuple(among))
