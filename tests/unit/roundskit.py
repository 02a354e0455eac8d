"""A session, and a supervisor's rounds over it, for the tests of the rounds."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.config import default_config
from supervisor.core.state import Phase
from supervisor.loop.jobs import Jobs
from supervisor.loop.rounds import Rounds, Times
from supervisor.loop.session_work import SessionWork
from supervisor.session.manager import SessionManager

DAY_S = 86_400.0
NOW = 1_795_557_600.0
SOON = Times(check_s=0.0, drill_s=10**9, look_s=0.001)


@dataclass
class Bench:
    """A session with a good snapshot, and who looks after it. `healed`: a snapshot was wanted."""

    root: Path
    phase: Phase = Phase.UP
    now: float = NOW
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    healed: int = 0
    retaken: int = 0

    def __post_init__(self) -> None:
        """Fill the folder."""
        self.config = default_config(self.root, ["x"])
        (self.bot,) = self.config.bots.values()
        self.id = str(self.bot.session)
        folder = self.config.session_dir(self.bot)
        folder.mkdir(parents=True)
        (folder / "key").write_text("key")
        manager = self.manager(owned=False)
        manager.note_linked(self.id, None)
        assert manager.backup(self.id).verdict == "good"

    def manager(self, *, owned: bool = True) -> SessionManager:
        """Return a manager, as another process would make one."""
        config = self.config
        return SessionManager(
            config.sessions, config.snapshots, config.state, owned=owned, clock=lambda: self.now
        )

    @property
    def pack(self) -> Path:
        """The bytes of the only snapshot."""
        (pack,) = (self.config.snapshots / "packs").iterdir()
        return pack

    def run(self, use: Callable[["Service"], Awaitable[None]], times: Times = SOON) -> None:
        """Run `use` beside the rounds of a supervisor."""

        async def service() -> None:
            async with asyncio.timeout(20):
                serving = Service(self, times)
                try:
                    await use(serving)
                finally:
                    await serving.rounds.close()
                    await serving.jobs.close()

        asyncio.run(service())


class Service:
    """The rounds, and what they stand on."""

    def __init__(self, bench: Bench, times: Times) -> None:
        self.bench = bench
        self.heard = asyncio.Event()
        self.changed = asyncio.Event()
        self.jobs = Jobs("x", lambda _: None, self.report)
        manager = bench.manager()
        self.manager = manager
        work = SessionWork(
            bench.config,
            bench.bot,
            manager,
            control="",
            jobs=self.jobs,
            report=self.report,
            members=lambda _: [],
        )
        self.rounds = Rounds(
            manager,
            work,
            self.jobs,
            phase=lambda: bench.phase,
            changed=self.changed,
            turn=asyncio.Lock(),
            report=self.report,
            heal=self.heal,
            retake=self.retake,
            times=times,
            clock=lambda: bench.now,
        )

    def heal(self) -> None:
        """Count a snapshot that is wanted at once."""
        self.bench.healed += 1

    def retake(self) -> None:
        """Count a snapshot that is taken again."""
        self.bench.retaken += 1
        self.heard.set()

    def report(self, event: str, **fields: Any) -> None:
        """Take an event."""
        self.bench.told.append((event, fields))
        self.heard.set()

    def enter(self, phase: Phase) -> None:
        """Let the bot be in another phase."""
        self.bench.phase = phase
        self.changed.set()

    async def event(self, kind: str) -> dict[str, Any]:
        """Wait for an event."""
        while True:
            for name, fields in self.bench.told:
                if name == kind:
                    return fields
            self.heard.clear()
            await self.heard.wait()

    async def recorded(self, key: str, value: str) -> None:
        """Wait until the record says this."""
        while getattr(self.manager.record(self.bench.id), key) != value:
            await self.jobs.result(lambda: None)
