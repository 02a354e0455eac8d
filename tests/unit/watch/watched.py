"""A watcher at work on real files, with what it tells kept in order."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from supervisor.watch.kernel import Events, Notify, rust_notify
from supervisor.watch.watcher import Change, Watcher

BOUND_S = 10.0


class Watched(Watcher):
    """Keeps what is told, and lets a test wait for an event instead of for time."""

    def __init__(self, roots: Sequence[Path], **options: Any) -> None:
        self.problems: list[str] = []
        self.changes: asyncio.Queue[Change] = asyncio.Queue()
        self.folders: list[tuple[str, ...]] = []
        self.settled: asyncio.Queue[float] = asyncio.Queue()
        self._event_came = asyncio.Event()
        self.idle = asyncio.Event()  # all that was to be looked at is
        self._make = options.pop("notify", rust_notify)
        options.setdefault("on_problem", self.problems.append)
        super().__init__(roots, notify=self._noting, **options)

    def _noting(self, folders: Sequence[str]) -> Notify:
        self.folders.append(tuple(folders))
        made: Notify = self._make(folders)
        return made

    def _on_events(self, events: Events | None) -> None:
        before = self._detected_at
        super()._on_events(events)
        if self._detected_at != before:
            self._event_came.set()

    async def _wait(self) -> None:
        if not self._woken.is_set():
            self.idle.set()
        await super()._wait()
        self.idle.clear()

    async def heard(self) -> None:
        """Return when an event of a watched file came since the last call."""
        await self._event_came.wait()
        self._event_came.clear()

    async def change(self) -> Change:
        """Return the next change that is told."""
        return await self.changes.get()

    async def paths(self) -> tuple[str, ...]:
        """Return the paths of the next change that is told."""
        return (await self.changes.get()).paths


@contextlib.asynccontextmanager
async def watching(*roots: Path, **options: Any) -> AsyncIterator[Watched]:
    """Run a watcher that is in place, and end it; all within a bound.

    `early`: it tells of one file before that has settled.
    """
    async with asyncio.timeout(BOUND_S):
        watched = options.pop("watched", None)
        early = options.pop("early", False)
        emit = options.pop("emit", None)
        watched = watched or Watched(roots, **{"base": roots[0], **options})
        settled = watched.settled.put_nowait if early else None
        task = asyncio.create_task(watched.run(emit or watched.changes.put_nowait, settled))
        ready = asyncio.create_task(watched.ready.wait())
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if early:
                await watched.idle.wait()
            yield watched
        finally:
            ready.cancel()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def deaf(_: Sequence[str]) -> Notify:
    """Make a watch that hears nothing: what is found then, no event led to."""
    return rust_notify([])


def atomic(path: Path, text: str) -> None:
    """Save like most editors: a new file takes the old one's place."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


async def armed(watched: Watched, folder: Path) -> None:
    """Return when a folder is watched (a change of it would otherwise wait for a look)."""
    while str(folder) not in watched.folders[-1]:
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)


async def looked(watched: Watched) -> None:
    """Return when the watcher waits for events again: all that it heard of is looked at."""
    while watched._moved_at + watched._quiet_s > time.monotonic() or watched._woken.is_set():
        await asyncio.get_running_loop().run_in_executor(None, lambda: None)
