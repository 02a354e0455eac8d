"""What is asked of a session whose bot is down: only while nobody else has it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import default_config
from supervisor.core.errors import SessionBusy
from supervisor.loop.jobs import Jobs
from supervisor.loop.session_work import SessionWork
from supervisor.session.manager import SessionManager

ASKED: dict[str, Callable[[SessionWork], Any]] = {
    "backup": lambda work: work.backup(None),
    "prune": SessionWork.prune,
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
def test_a_session_that_another_process_has_is_left_alone(
    tmp_path: Path, ask: Callable[[SessionWork], Any]
) -> None:
    """The other one may be restoring it: what it builds is not swept away under its hands."""
    config = default_config(tmp_path, ["x"])
    (bot,) = config.bots.values()
    folder = config.session_dir(bot)
    folder.mkdir(parents=True)
    (folder / "key").write_text("key")
    building = folder.with_name(f".{folder.name}.new")
    manager = SessionManager(config.sessions, config.snapshots, config.state, owned=True)

    async def use() -> None:
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
        with manager.lock_for(str(bot.session)):
            building.mkdir()
            with pytest.raises(SessionBusy):
                ask(work)
            assert building.is_dir()
        ask(work)
        assert not work.lock.held
        await jobs.close()

    asyncio.run(use())
