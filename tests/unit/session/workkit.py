"""The work on one bot's session, without the bot."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import default_config
from supervisor.loop.jobs import Jobs
from supervisor.loop.session_work import SessionWork
from supervisor.session.copying.capture import Copies
from supervisor.session.manager import SessionManager


def worked(tmp_path: Path, use: Callable[[SessionWork, SessionManager], None]) -> None:
    """Use the work on a session that has one file: `key`."""
    config = default_config(tmp_path, ["x"])
    (bot,) = config.bots.values()
    folder = config.session_dir(bot)
    folder.mkdir(parents=True)
    (folder / "key").write_text("key")
    manager = SessionManager(config.sessions, config.snapshots, config.state, owned=True)

    async def run() -> None:
        jobs = Jobs(bot.name, lambda _: None, lambda *_: None)
        work = SessionWork(
            config,
            bot,
            manager,
            control="",
            jobs=jobs,
            report=lambda *_args, **_fields: None,
            members=lambda _: [],
        )
        use(work, manager)
        await jobs.close()

    asyncio.run(run())


def heads(manager: SessionManager, monkeypatch: pytest.MonkeyPatch) -> list[Copies]:
    """Return what will hold each head start that is made from now on."""
    made: list[Copies] = []
    really = manager.precapture

    def noted(*given: Any, haste: bool = True) -> Copies:
        made.append(really(given[0], haste=haste))
        return made[-1]

    monkeypatch.setattr(manager, "precapture", noted)
    return made
