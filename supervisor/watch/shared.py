"""One kernel watch, one thread for looks and one clock for all watchers of a process.

Two hundred bots would otherwise cost two hundred threads that wake up every few milliseconds. What
a change is, each watcher says for itself; here it is only found out whose it may be.
"""

import asyncio
import contextlib
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from supervisor.watch.kernel import Blind, Events, Kernel, Notify, rust_notify

Found = TypeVar("Found")
LOOK_EVERY_S = 2.0
# All looks together may cost this part of one core's time: events are the usual way, and ten
# thousand files take 60 ms to look through.
LOOK_SHARE = 0.0015


class Member(Protocol):
    """A watcher, as its shared watch sees it."""

    def to_watch(self) -> frozenset[str]:
        """Return the folders of which the kernel is to tell."""

    def rescan(self) -> None:
        """Walk again, in the worker thread: a folder is not what it was."""

    def differs(self) -> bool:
        """Look, in the worker thread, whether anything is different; nothing counts as seen."""

    def armed(self, folders: frozenset[str], blind: Blind | None) -> None:
        """Learn, in the worker thread, that these are watched from now on, or that none is."""

    def take(self, events: Events | None) -> None:
        """Take what the kernel told, in the loop's thread; None: it tells nothing any more."""

    def wake(self) -> None:
        """Look for yourself, soon."""


class Watch:
    """Shared by the watchers of one loop. Begins with the first that joins, ends with the last."""

    def __init__(self, notify: Callable[[Sequence[str]], Notify] = rust_notify) -> None:
        self._notify = notify
        self._members: dict[Member, None] = {}  # in the order they came
        self._by_folder: dict[str, list[Member]] = {}
        self._kernel: Kernel | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._clock: asyncio.Task[None] | None = None
        self._arming: asyncio.Task[None] | None = None
        self._again = False
        self._at_work = 0
        self._rearmed = asyncio.Event()
        # Of processor time. The cheaper one counts: young files are read once more, and not again.
        self._spent_s: deque[float] = deque(maxlen=2)

    def join(self, member: Member) -> None:
        """Watch for one more."""
        if not self._members:
            loop = asyncio.get_running_loop()

            def wake(events: Events | None) -> None:
                # The loop may be closed by the time the thread has something to say.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._heard, events)

            self._kernel = Kernel(wake, self._notify)
            # Of its own: a look must not wait behind other people's work in the shared threads.
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="watch")
            self._clock = loop.create_task(self._look_at_times())
        self._members[member] = None

    def leave(self, member: Member) -> None:
        """Watch for one less; the others' watch goes on as it is."""
        del self._members[member]
        if self._members:
            return
        for task in (self._clock, self._arming):
            if task is not None:
                task.cancel()
        self._arming = None
        assert self._kernel is not None  # noqa: S101 - somebody had joined
        assert self._pool is not None  # noqa: S101 - the same
        self._kernel.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[[], Found]) -> Found:
        """Do work that reads the disk, one at a time, in the worker thread."""
        assert self._pool is not None  # noqa: S101 - only who has joined asks
        self._at_work += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._at_work -= 1

    @property
    def idle(self) -> bool:
        """Whether nothing is looked at now whose outcome is still to be told."""
        return not self._at_work

    async def arm(self) -> None:
        """Have the kernel tell of the folders that the members' last looks found."""
        self._again = True
        if self._arming is None or self._arming.done():
            self._arming = asyncio.get_running_loop().create_task(self._arm_all())
        await asyncio.shield(self._arming)

    async def _arm_all(self) -> None:
        while self._again:
            # One turn later: of those that start together, all are there.
            await asyncio.sleep(0)
            self._again = False
            await self.run(self._arm_now)
            # They are watched by another queue now, and the old one may have lost something: its
            # last events are handed over, but a busy machine can be late.
            self._rearmed.set()

    def _arm_now(self) -> None:
        members = list(self._members)
        blind: Blind | None = None
        assert self._kernel is not None  # noqa: S101 - somebody has joined
        for last_try in (False, True):
            wanted = {member: member.to_watch() for member in members}
            for member, folders in wanted.items():
                member.armed(folders, None)  # before: a watch that dies at once takes this back
            self._by_folder = _by_folder(wanted)  # before: else its first events would be nobody's
            try:
                self._kernel.watch(frozenset().union(*wanted.values()))
            except (FileNotFoundError, PermissionError):
                # Not what it was at the look; another look finds other folders.
                for member in members:
                    member.rescan()
            except Blind as why:
                blind = why
                if not last_try:
                    self._kernel.release()  # its own old watches may be what fills the limit
            else:
                blind = None
                break
        else:
            blind = blind or Blind("")
        if blind is not None:
            for member, folders in wanted.items():
                member.armed(folders, blind)

    def _heard(self, events: Events | None) -> None:
        if events is None:
            for member in list(self._members):
                member.take(None)
            return
        theirs: dict[Member, Events] = defaultdict(set)
        by_folder = self._by_folder
        for event in events:
            folder = event[1].rpartition("/")[0] or "/"
            for member in (*by_folder.get(folder, ()), *by_folder.get(event[1], ())):
                theirs[member].add(event)
        for member, own in theirs.items():
            if member in self._members:
                member.take(own)

    async def _look_at_times(self) -> None:
        """Look at everything from time to time: for what the kernel does not tell."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s() - LOOK_EVERY_S):
                    await self._rearmed.wait()
            self._rearmed.clear()
            for member in await self.run(self._different):
                member.wake()

    def _different(self) -> list[Member]:
        began = time.thread_time()
        found = [member for member in list(self._members) if member.differs()]
        self._spent_s.append(time.thread_time() - began)
        return found

    def _pause_s(self) -> float:
        known = len(self._spent_s) == self._spent_s.maxlen
        return min(self._spent_s) / LOOK_SHARE if known else 0.0


def _by_folder(wanted: Mapping[Member, frozenset[str]]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = defaultdict(list)
    for member, folders in wanted.items():
        for folder in folders:
            found[folder].append(member)
    return dict(found)
