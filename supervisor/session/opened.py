"""The SessionManager as a config has it: the same for the supervisor and for all who only look."""

from supervisor.config.model import BotConfig, Config
from supervisor.session.belonging import belonging_of
from supervisor.session.manager import SessionManager


def manager_of(config: Config, bot: BotConfig | None, *, owned: bool = False) -> SessionManager:
    """Return the manager of a bot's session; of others it knows where they lie, and no more.

    `bot` None: for a session that no bot has. `owned`: see SessionManager.
    Raises: SupervisorError if the bot's user is not there.
    """
    return SessionManager(
        config.sessions,
        config.snapshots,
        config.state,
        paths=config.sessions_elsewhere(),
        parts=config.session_parts(),
        keep=None if bot is None else bot.snapshots.keep,
        older="ask" if bot is None else bot.snapshots.older,
        belongs=None if bot is None else belonging_of(bot.user),
        owned=owned,
    )
