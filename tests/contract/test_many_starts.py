"""Many bots that are started at once come up few at a time, and none waits for one that hangs."""

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor import config
from supervisor.core import events as ev
from supervisor.core.state import Phase, State
from supervisor.loop import startup
from supervisor.loop.charge import Charge
from supervisor.loop.desk import all_reach
from supervisor.loop.session_work import SessionWork
from supervisor.runner import Supervisor

pytestmark = pytest.mark.usefixtures("adopting")

BOTS = 10
PATIENCE_S = 30.0
ON_THEIR_WAY = {"claiming", "sweeping", "evicting", "checking session", "restoring", "starting"}
READY = """
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    signal.pause()
"""


@asynccontextmanager
async def running(
    folder: Path, until: Callable[[dict[str, Charge]], list[Charge]]
) -> AsyncIterator[Supervisor]:
    """Run a supervisor until those bots of it are up, then the block; stop it after that."""
    (folder / "bot.py").write_text(READY)
    command = [sys.executable, "-I", "-S", "bot.py"]
    (folder / "config.toml").write_text(
        "\n".join(
            f'[bot.b{number}]\ncommand = {command}\nsession = "b{number}"\n'
            "ready = 'notify'\nwatch = []\n"
            for number in range(BOTS)
        )
    )
    supervisor = Supervisor(config.load(folder / "config.toml"), dev=False)
    whole = asyncio.create_task(supervisor.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not supervisor.charges:
                await asyncio.to_thread(os.sched_yield)
            await all_reach(until(supervisor.charges), lambda state: state.phase is Phase.UP)
        yield supervisor
    finally:
        supervisor.request_stop(hurry=True)
        async with asyncio.timeout(PATIENCE_S):
            assert await whole == 0


def test_few_come_up_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next begins when one's process runs; all are up in the end."""
    phases: dict[Charge, State] = {}
    most = Counter[str]()
    really = Charge.post

    def posted(charge: Charge, event: ev.Event) -> None:
        really(charge, event)
        phases[charge] = charge.state
        now = sum(state.phase.value in ON_THEIR_WAY for state in phases.values())
        most["now"] = max(most["now"], now)

    monkeypatch.setattr(Charge, "post", posted)

    async def run() -> None:
        async with running(tmp_path, lambda charges: list(charges.values())):
            assert most["now"] == startup.STARTS_MOST

    asyncio.run(run())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Start one at a time, and let the first one's disk hang until this is set."""
    answers = threading.Event()
    really = SessionWork.claim

    def claim(work: SessionWork, ticket: int) -> Any:
        if work.id == "b0":
            answers.wait(PATIENCE_S)
        return really(work, ticket)

    monkeypatch.setattr(SessionWork, "claim", claim)
    monkeypatch.setattr(startup, "STARTS_MOST", 1)
    return answers


def test_one_that_hangs_does_not_keep_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: threading.Event
) -> None:
    """A disk that does not answer is one bot's trouble, also where one is started at a time."""
    monkeypatch.setattr(startup, "START_WITHIN_S", 0.01)

    def others(charges: dict[str, Charge]) -> list[Charge]:
        return [charge for name, charge in charges.items() if name != "b0"]

    async def run() -> None:
        async with running(tmp_path, others) as supervisor:
            assert supervisor.charges["b0"].state.phase is Phase.CLAIMING
            answers.set()

    asyncio.run(run())


def test_who_was_stopped_before_its_turn_stays_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: threading.Event
) -> None:
    """A person's word is later than the start of all, and is not forgotten for it."""
    monkeypatch.setattr(startup, "START_WITHIN_S", PATIENCE_S)

    async def run() -> None:
        async with running(tmp_path, lambda _: []) as supervisor:
            stopped = supervisor.charges["b1"]
            stopped.post(ev.StopRequested())
            answers.set()
            others = [charge for charge in supervisor.charges.values() if charge is not stopped]
            async with asyncio.timeout(PATIENCE_S):
                await all_reach(others, lambda state: state.phase is Phase.UP)
            assert stopped.state.phase is Phase.DOWN

    asyncio.run(run())
