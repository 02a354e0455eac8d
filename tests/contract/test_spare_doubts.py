"""A spare is released only with what its files say at that moment."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor.loop import spares
from supervisor.process.plan import Ahead
from tests.contract.pausekit import PATIENCE_S, plain_environment


class Child(SimpleNamespace):
    """A spare that only notes what is asked of it."""

    def release(self, generation: int, session_dir: Path | None, forget: tuple[str, ...]) -> None:
        """Note what is to be forgotten."""
        self.released = (generation, session_dir, set(forget))

    def kill(self) -> None:
        """Be gone."""
        self.gone = True


class Starts(SimpleNamespace):
    """Stands in for what starts processes; the way is free to say that one waits."""

    def __init__(self) -> None:
        super().__init__(command=[sys.executable, "x.py"], prefix=(), lock=self)
        self.made: asyncio.Queue[Callable[[str], None]] = asyncio.Queue()

    def environment(self) -> dict[str, str]:
        """Return that of the bot."""
        return plain_environment()

    def spare_fd(self) -> int:
        """Return a descriptor that may be closed."""
        return os.open("/dev/null", os.O_RDONLY)

    def give(self, *_: int) -> None:
        """Nobody else is there."""

    def start_spare(self, _: int, ahead: Ahead, told: Callable[[str], None]) -> Child:
        """Pretend to load."""
        self.made.put_nowait(told)
        return Child(pid=os.getpid(), loaded=len(ahead.modules), gone=False, released=None)


class Tasks:
    """What runs beside the loop."""

    def __init__(self) -> None:
        self.running: set[asyncio.Task[None]] = set()

    def task(self, work: Any) -> None:
        """Run it."""
        self.running.add(asyncio.ensure_future(work))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with two modules that are loaded ahead."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spares, "AFTER_S", 0.0)
    (tmp_path / "x.py").write_text("import one, two\n")
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("X = 1\n")
    return tmp_path


def run(project: Path, then: Callable[[spares.Spares, Starts, list[str]], Any]) -> None:
    """Make a spare that has just begun to load."""

    async def main() -> None:
        starts, said, tasks = Starts(), [], Tasks()
        kept = spares.Spares(
            starts,  # type: ignore[arg-type] # as much of each as it asks for
            SimpleNamespace(cwd=project),  # type: ignore[arg-type]
            tasks,  # type: ignore[arg-type]
            wanted=True,
            sources=tuple,
            report=lambda event, **_: said.append(event),
        )
        async with asyncio.timeout(PATIENCE_S):
            kept.expect()
            await then(kept, starts, said)
            await kept.close()

    asyncio.run(main())


def test_a_save_while_it_loads_has_it_made_anew(project: Path) -> None:
    """It may have loaded what nobody has looked at."""

    async def then(kept: spares.Spares, starts: Starts, said: list[str]) -> None:
        told = await starts.made.get()
        (project / "one.py").write_text("import os\nos.environ['X'] = '1'\n")
        told("")
        assert said == ["spare_dropped"]
        (await starts.made.get())("")
        assert said == ["spare_dropped", "spare_ready"]
        child = kept.take(1, session_dir=None)
        assert isinstance(child, Child)
        assert child.released == (1, None, set())

    run(project, then)


def test_a_save_after_the_look_counts(project: Path) -> None:
    """Even if nobody watches that file."""

    async def then(kept: spares.Spares, starts: Starts, said: list[str]) -> None:
        (await starts.made.get())("")
        assert kept.look() is not None
        (project / "one.py").write_text("X = 2\n")
        child = kept.take(1, session_dir=None)
        assert isinstance(child, Child)
        assert child.released == (1, None, {"one"})
        assert said == ["spare_ready"]

    run(project, then)
