"""What lies on the disk of a session, read as `stillhere session info` reads it. Writes nothing."""

import asyncio
from pathlib import Path
from typing import Any

from supervisor.config import Config
from supervisor.core.errors import SupervisorError
from supervisor.presets.choose import default_config, load
from supervisor.session.opened import manager_of
from supervisor.web import views


class Sessions:
    """The sessions of one config, which may be written anew at any time."""

    def __init__(self, config: Path) -> None:
        self._path = config
        self._read: tuple[tuple[int, ...], Config] | None = None

    async def info(self, session_id: str) -> dict[str, Any]:
        """Return all that is known of a session. Raises: SupervisorError."""
        try:
            return views.session(await asyncio.to_thread(self._info, session_id))
        except OSError as error:
            raise SupervisorError(f"the session can't be read: {error}") from error

    async def shown(self, session_id: str) -> dict[str, Any]:
        """Return the same; where it can't be read, `why` that is."""
        try:
            return {**await self.info(session_id), "why": ""}
        except SupervisorError as error:
            return {"id": session_id, "snapshots": [], "quarantine": [], "why": error.message}

    def _info(self, session_id: str) -> dict[str, Any]:
        config = self._config()
        bots = (bot for bot in config.bots.values() if bot.session == session_id)
        return manager_of(config, next(bots, None)).info(session_id)

    def _config(self) -> Config:
        """Return the config as it is now; to read it is to look at the bots' sources as well."""
        try:
            found = self._path.stat()
            mark: tuple[int, ...] = (found.st_mtime_ns, found.st_size, found.st_ino)
        except FileNotFoundError:
            mark = ()
        if self._read is None or self._read[0] != mark:
            new = load(self._path) if mark else default_config(self._path.parent, ["python"])
            self._read = mark, new
        return self._read[1]
