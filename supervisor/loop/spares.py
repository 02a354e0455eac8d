"""The warm spare of one bot: an interpreter of its own command that waits before the first line.

It is worth its memory to a person who saves often; whoever starts a generation takes it if it
stands for a cold start in every respect, and starts cold otherwise.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor.config import BotConfig
from supervisor.core.errors import SupervisorError
from supervisor.loop.jobs import Jobs, in_words
from supervisor.loop.starts import Starts
from supervisor.process import memory, spare
from supervisor.process.child import Child
from supervisor.process.plan import Ahead

if TYPE_CHECKING:  # what it needs is 1 MB, and a service makes no spares
    from supervisor.watch import preloading

# The bot that has just come up needs the cores more than the next one.
AFTER_S = 0.3
# Nobody has saved for so long: the memory is worth more.
IDLE_S = 1800.0
GONE_S = 2.0
# So long a look holds: libraries are not replaced in between. What it has loaded of the project is
# looked at each time.
FIT_S = 1.0
# After so many that spoiled one, it is not worth the next try.
REFUSED_MAX = 5
# Who edits a file edits it again: so many of the last ones are not loaded ahead.
EDITED_MAX = 50


class Spares:
    """Keeps at most one spare. Only in the loop's thread.

    `sources`: the files that are watched. `wanted`: whether there is to be one at all.
    """

    def __init__(
        self,
        starts: Starts,
        bot: BotConfig,
        jobs: Jobs,
        *,
        wanted: bool,
        sources: Callable[[], Sequence[Path]],
        report: Callable[..., None],
    ) -> None:
        self._starts = starts
        self._bot = bot
        self._jobs = jobs
        self._wanted = wanted
        self._sources = sources
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._child: Child | None = None
        self._lock_fd = -1
        self._waits = False
        self._fit_at = -math.inf  # when it was last seen to be fit
        self._preload: preloading.Preload | None = None
        self._dying: list[Child] = []
        self._making: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._forget_own: tuple[str, ...] = ()  # what it has loaded that is another by now
        self._edited: dict[Path, None] = {}  # the files that were saved, the last one last
        self._refused: dict[str, str] = {}  # the modules that spoiled one, and how
        self._own = True  # whether the project's modules are loaded too
        self._alone = False  # others did: the next one loads nothing
        self._why_not = ""

    # What others may look at.

    @property
    def pids(self) -> list[int]:
        """The processes that somebody waits for."""
        self._dying = [child for child in self._dying if not child.gone]
        mine = [] if self._child is None else [self._child]
        return [child.pid for child in (*mine, *self._dying)]

    def status(self) -> dict[str, Any] | None:
        """Return what `status --json` says of it: its pid, what it loaded, its memory."""
        if self._child is None or not self._waits:
            return None
        pid = self._child.pid
        return {"pid": pid, "modules": self._child.loaded, "pss_bytes": memory.pss_bytes(pid)}

    # Making one.

    def expect(self) -> None:
        """The bot is up: have a spare soon, and for a while."""
        if not self._wanted:
            return
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._loop.call_later(IDLE_S, self.drop, "nothing was saved for long")
        if self._child is None and self._making is None:
            self._making = self._loop.call_later(AFTER_S, self._begin)

    def _begin(self) -> None:
        self._jobs.task(self._make())

    async def _make(self) -> None:
        mine = self._making
        env, command = self._starts.environment(), self._starts.command
        sources = list(self._sources())
        edited = tuple(self._edited) if self._own else tuple(sources)
        look = partial(self._look, command, env, sources, edited)
        found = await asyncio.to_thread(look)
        if self._making is not mine or mine is None:
            return  # dropped meanwhile
        self._making = None
        if isinstance(found, str):
            self._refuse(found)
            return
        self._preload = found
        modules = () if self._alone else found.modules
        lock_fd = self._starts.lock.spare_fd()
        try:
            ahead = Ahead(modules, found.own_names, tuple(found.own), found.first)
            self._child = self._starts.start_spare(lock_fd, ahead, self._said)
        except (SupervisorError, OSError) as error:
            os.close(lock_fd)
            self._refuse(in_words(error))
            return
        self._lock_fd = lock_fd

    def _refuse(self, why: str) -> None:
        if why != self._why_not:  # else it was said, at an earlier restart
            self._why_not = why
            self._report("spare_refused", why=why)

    def _look(
        self,
        command: Sequence[str],
        env: dict[str, str],
        sources: Sequence[Path],
        edited: Sequence[Path],
    ) -> "preloading.Preload | str":
        from supervisor.watch import preloading  # noqa: PLC0415 - as above
        from supervisor.watch.imports.entry import entry_of  # noqa: PLC0415 - the same

        cwd = self._bot.cwd
        entry = entry_of(command, cwd=cwd, env=env)
        if isinstance(entry, str):
            return entry
        if why := spare.pauses(
            entry.python, entry.options, cwd=cwd, env=env, prefix=self._starts.prefix
        ):
            return why
        return preloading.plan(
            command,
            cwd=cwd,
            env=env,
            sources=sources,
            refused=self._refused,
            edited=edited,
        )

    def _said(self, why: str) -> None:
        child = self._child
        if child is None:
            return
        if not why and not self._is_as_planned():
            # It may have loaded what was never looked at.
            self.drop("the project was changed while it loaded")
            self.expect()
            return
        if not why:
            self._waits = True
            stopped = "" if self._preload is None else self._preload.stopped
            self._report("spare_ready", pid=child.pid, modules=child.loaded, stopped=stopped)
            return
        loading, ahead = not self._waits, self._preload
        self.drop(why)
        if not loading or self._alone:
            return
        module, _, how = why.partition(": ")
        if ahead is not None and module in ahead.modules and len(self._refused) < REFUSED_MAX:
            self._refused[module] = how
        elif ahead is not None and ahead.own and self._own:
            self._own = False
        else:
            self._alone = True
        self.expect()

    def _is_as_planned(self) -> bool:
        from supervisor.watch import preloading  # noqa: PLC0415 - as above

        assert self._preload is not None  # noqa: S101 - there is no spare without
        return preloading.is_as_planned(self._preload, self._forget_own)

    # Taking it, and letting it go.

    def take(self, generation: int, *, session_dir: Path | None) -> Child | None:
        """Return the spare as this generation; None: there is none that would do."""
        child = self._child
        if child is None or not self._waits:
            return None
        if self.look() is None:
            return None
        try:
            self._starts.lock.give(self._lock_fd, generation)
            child.release(generation, session_dir, self._forget_own)
        except (SupervisorError, OSError) as error:
            self.drop(in_words(error))
            return None
        self._forget()
        return child

    def doubt(self, paths: Iterable[Path]) -> None:
        """These files have changed: whether it is fit has to be seen anew."""
        self._fit_at = -math.inf
        for path in paths:
            self._edited.pop(path, None)
            self._edited[path] = None
        for path in list(self._edited)[:-EDITED_MAX]:
            del self._edited[path]

    def look(self) -> Child | None:
        """Drop a spare that does not stand for a cold start any more; return it if it does.

        Takes some ms: whoever will want it soon may ask before, for a second.
        """
        child = self._child
        if child is None or not self._waits:
            return None
        now = time.monotonic()
        if now - self._fit_at > FIT_S or not self._is_as_planned():
            if why := self._unfit(child):
                self.drop(why)
                return None
            self._fit_at = time.monotonic()
        return child

    def _unfit(self, child: Child) -> str:
        assert self._preload is not None  # noqa: S101 - there is no spare without
        try:
            here, there = os.stat(f"/proc/{child.pid}/cwd"), self._bot.cwd.stat()  # noqa: PTH116 - a link to follow
        except OSError as error:
            return in_words(error)
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            return f"{self._bot.cwd} is another folder"
        from supervisor.watch import preloading  # noqa: PLC0415 - as above

        standing = preloading.standing(
            self._preload, env=self._starts.environment(), edited=self._edited
        )
        self._forget_own = standing.own
        return standing.why

    def drop(self, why: str = "") -> None:
        """Have none any more; `why` is said, unless it is the bot's own end."""
        if self._making is not None:
            self._making.cancel()
            self._making = None
        child = self._child
        if child is None:
            return
        if why:
            self._report("spare_dropped", pid=child.pid, why=why)
        child.kill()
        self._dying.append(child)
        self._forget()

    def _forget(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
        self._child, self._lock_fd, self._waits = None, -1, False
        self._fit_at, self._forget_own = -math.inf, ()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    async def close(self) -> None:
        """Let it go, and see it gone."""
        self._wanted = False
        self.drop()
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_S):
                while self.pids:  # noqa: ASYNC110 - a spare's end is told nobody, and comes at once
                    await asyncio.sleep(0.005)
