"""What is asked of a session whose bot is down: only while nobody else has it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import default_config
from supervisor.core.errors import SessionBusy
from supervisor.core.events import Operation
from supervisor.loop.jobs import Jobs
from supervisor.loop.session_work import SessionWork
from supervisor.session.manager import SessionManager
from supervisor.session.model import Restored
from tests.unit.session.workkit import worked

ASKED: dict[str, Callable[[SessionWork], Any]] = {
    "backup": lambda work: work.backup(None),
    "prune": SessionWork.prune,
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED.keys())
def test_a_session_that_another_process_has_is_left_alone(
    tmp_path: Path, ask: Callable[[SessionWork], Any]
) -> None:
    """The other one may be restoring it: what it builds is not swept away under its hands."""

    def use(work: SessionWork, manager: SessionManager) -> None:
        building = work.folder.with_name(f".{work.folder.name}.new")
        with manager.lock_for(work.id):
            building.mkdir()
            with pytest.raises(SessionBusy):
                ask(work)
            assert building.is_dir()
        ask(work)
        assert not work.lock.held

    worked(tmp_path, use)


def test_a_flaw_that_is_lived_with_is_reported_whoever_asked(tmp_path: Path) -> None:
    """A start or a person: it is never told as a session that passed its check."""
    config = default_config(tmp_path, ["x"])
    (bot,) = config.bots.values()
    told: list[str] = []
    kept = Restored(action="kept", flaw="odd.db: row 3 is odd")

    class Manager(SessionManager):
        def restore(self, *_args: Any, **_more: Any) -> Restored:
            return kept

    async def use() -> None:
        jobs = Jobs(bot.name, lambda _: None, lambda *_: None)
        work = SessionWork(
            config,
            bot,
            Manager(config.sessions, config.snapshots, config.state, owned=True),
            control="",
            jobs=jobs,
            report=lambda event, **_fields: told.append(event),
            members=lambda _: [],
        )
        await jobs.result(lambda: work.restore(1, because="damaged"))
        await jobs.result(lambda: work.operate(2, operation=Operation("restore", 1, None)))
        await jobs.close()

    asyncio.run(use())
    assert told == ["session_flawed"] * 2
