"""Which session a command is about, and the manager that looks after it."""

from typing import TYPE_CHECKING

import click

from supervisor.config import BotConfig, Config
from supervisor.core.errors import ConfigError

if TYPE_CHECKING:
    from supervisor.session.manager import SessionManager


def _bots(config: Config) -> dict[str, BotConfig]:
    """Return the configured sessions and whose they are."""
    return {bot.session: bot for bot in config.bots.values() if bot.session is not None}


def open_manager(config: Config, session_id: str) -> "SessionManager":
    """Return the manager for one session, with what its bot's table says."""
    from supervisor.session.opened import manager_of  # noqa: PLC0415 - the help needs none

    return manager_of(config, _bots(config).get(session_id))


def known(config: Config) -> list[str]:
    """List the sessions: the configured ones first, then what else left something behind."""
    configured = list(_bots(config))
    manager = open_manager(config, "")
    found = manager.ids()
    if torn := manager.torn_state():
        click.echo(
            f"{torn} can't be read: what it said of the sessions comes from their snapshots, and "
            f"the next change keeps it aside, as {torn.name}.unreadable-...",
            err=True,
        )
    if not config.path.is_file():
        # Without a config the only bot is a name that we made up.
        return found
    return configured + [name for name in found if name not in configured]


def identify(config: Config, given: str | None) -> str:
    """Return the session that is meant: an id, a bot's name, or the only one there is.

    Raises: ConfigError if it is not clear, or there is none of that name.
    """
    all_known = known(config)
    if given is None:
        configured = list(_bots(config)) if config.path.is_file() else all_known
        if len(configured) == 1:
            return configured[0]
        raise ConfigError(
            ("which session? there are several" if all_known else "there is no session",),
            f"one of: {', '.join(all_known)}" if all_known else "",
        )
    bare = given.removeprefix("session-")
    for name in (given, bare):
        if name in all_known:
            return name
        bot = config.bots.get(name)
        if bot is not None and bot.session is not None:
            return bot.session
    raise ConfigError(
        (f"there is no session {given!r}",),
        f"one of: {', '.join(all_known)}" if all_known else "stillhere session list",
    )
