"""A session that is written all the time, and what takes hot snapshots of it."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from supervisor.config import default_config
from supervisor.loop.jobs import Jobs
from supervisor.loop.session_work import SessionWork
from supervisor.process import tree
from supervisor.session.manager import SessionManager
from tests.system.bots import writers

ROOT = Path(__file__).resolve().parents[2]
MARK = "hot.1.x"
ID = "hot"
PATIENCE_S = 30.0


class AtOnce(Jobs):
    """Runs what a thread would hand to the loop."""

    def __init__(self) -> None:
        """There is no loop."""

    def soon(self, call: Callable[..., None], *args: Any, **fields: Any) -> None:
        """Do it here and now."""
        call(*args, **fields)


@dataclass
class Hot:
    """A session that somebody is writing, and what takes snapshots of it."""

    root: Path
    manager: SessionManager
    work: SessionWork
    kinds: tuple[str, ...]
    frozen_s: list[float] = field(default_factory=list)
    reason: str = "manual"  # or "stop": then it is held still at once, and for all of the copy

    @property
    def live(self) -> Path:
        """The session's folder."""
        return self.manager.folder(ID)

    def snapshot(self) -> dict[str, Any]:
        """Take one, hot, and validate it."""
        if self.reason == "manual":
            return self.work.backup(1)
        self.work._copied_bytes = 0
        return self.work._hot(self.reason, 1, validate=True)

    def why(self, snapshot: dict[str, Any]) -> str:
        """Return what the verdict rests on."""
        return self.manager.store.find(ID, snapshot["id"]).why

    def torn(self, snapshot: dict[str, Any], kinds: tuple[str, ...] | None = None) -> list[str]:
        """Return what the writers themselves find wrong with a copy."""
        copy = self.manager.export(ID, self.root / "copy", snapshot["id"])
        try:
            return writers.check(copy, self.kinds if kinds is None else kinds)
        finally:
            shutil.rmtree(copy)

    def many(self, count: int) -> Counter[str]:
        """Take as many, look into each good one, and count the verdicts."""
        verdicts: Counter[str] = Counter()
        for _ in range(count):
            snapshot = self.snapshot()
            verdicts[snapshot["verdict"]] += 1
            if snapshot["verdict"] == "good":
                assert self.torn(snapshot) == []
        return verdicts


@contextmanager
def written(root: Path, *kinds: str) -> Iterator[Hot]:
    """Let the writers write, in three processes, until the end of the block."""
    config = default_config(root, ["true"])
    (bot,) = (replace(bot, session=ID) for bot in config.bots.values())
    manager = SessionManager(
        root / "sessions", root / ".session-cache", root / "state.json", owned=True
    )
    live = manager.folder(ID)
    live.mkdir(parents=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT), tree.TOKEN: MARK}
    command = [sys.executable, writers.__file__, "0", str(live), *kinds]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, start_new_session=True
    ) as bot_process:
        assert bot_process.stdin
        assert bot_process.stdout
        pid = bot_process.pid
        try:
            ready = {bot_process.stdout.readline().decode() for _ in kinds}
            assert ready == {f"ready {kind}\n" for kind in kinds}
            frozen_s: list[float] = []

            def report(event: str, **fields: Any) -> None:
                assert event == "snapshot_taken"
                frozen_s.append(fields["frozen_s"])

            work = SessionWork(
                config,
                bot,
                manager,
                control="",
                jobs=AtOnce(),
                report=report,
                members=lambda _generation: tree.members(pid, MARK),
            )
            manager.note_linked(ID, None)
            yield Hot(root, manager, work, kinds, frozen_s)
        finally:
            bot_process.stdin.close()
            bot_process.wait(PATIENCE_S)
