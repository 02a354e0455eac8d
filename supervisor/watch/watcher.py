"""Says when the watched files changed: soon, once per burst, and never not at all.

The fingerprint map is the truth. Events of the kernel only wake it up, a timer wakes it up too,
and whoever is about to start a bot compares for himself (`check`). Nothing here decides what a
change leads to.
"""

import asyncio
import contextlib
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from supervisor.watch.fingerprints import Diff, Known, Scan, Tree, compare
from supervisor.watch.kernel import (
    ADDED,
    DELETED,
    Blind,
    Events,
    Kernel,
    Notify,
    remote_roots,
    rust_notify,
)

LOOK_EVERY_S = 2.0
POLL_EVERY_S = 0.5
REARM_EVERY_S = 60.0
# A look may cost at most this part of one core's time, however large the tree is.
LOOK_SHARE = 0.05
SLOW_LOOK_S = 1.0
PLAUSIBLE_S = 5.0
# Few enough to ask each for its time when they come; of a burst the last event's arrival counts.
FEW_EVENTS = 8
JUST_S = 0.05
NS = 1_000_000_000

Look = Callable[[float], Awaitable[Diff | float | None]]


@dataclass(frozen=True, slots=True)
class Change:
    """Files whose content changed, were added or deleted; times of the monotonic clock.

    `paths`: relative to the watcher's base, sorted. `saved_at`: the newest of them was written,
    `detected_at`: the last of it was noticed, `quiet_at`: it was found to have settled.
    """

    paths: tuple[str, ...]
    saved_at: float
    detected_at: float
    quiet_at: float


class Watcher:
    """Watches `roots`; `run` it as a task, and `check` right before a start.

    `never`: the session's files, wherever they lie. `quiet_s`: how long nothing must move before
    a change is told, at most `quiet_cap_s` after it began. `on_problem` is told what makes
    watching worse, once each, in the thread of `run`.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        base: Path,
        ignore: Sequence[str] = (),
        never: Sequence[Path] = (),
        quiet_s: float = 0.06,
        quiet_cap_s: float = 3.0,
        on_problem: Callable[[str], None] = lambda _: None,
        notify: Callable[[Sequence[str]], Notify] = rust_notify,
    ) -> None:
        self.ready = asyncio.Event()
        self._tree = Tree(roots, base=base, ignore=ignore, never=never)
        self._quiet_s = quiet_s
        self._quiet_cap_s = quiet_cap_s
        self._on_problem = on_problem
        self._notify = notify
        self._told: set[str] = set()
        # While `run` runs, what its worker thread has to say is said in the loop's thread.
        self._home = 0
        self._tell_from_thread: Callable[..., object] | None = None
        # The map, and the lock of whoever compares: `check` may come from any thread.
        self._lock = threading.Lock()
        self._known: dict[str, Known] | None = None
        self._scan = Scan()
        self._look_s = 0.0
        # What the events said. Only the loop's thread writes these.
        self._woken = asyncio.Event()
        self._heard = False
        self._detected_at = 0.0
        self._moved_at = 0.0
        # The folders that the kernel tells of; none: the watch must be made, or made anew.
        self._armed: frozenset[str] = frozenset()
        self._blind_since: float | None = None
        self._remote = False

    def check(self) -> Change | None:
        """Compare now, without waiting for quiet. What is returned is told nobody else.

        The first look of all takes the baseline. It reads the tree in the caller's thread: 3 ms
        per 1,000 files. If the tree can't be read, that is told as a problem, and nothing counts
        as seen.
        """
        now = time.monotonic()
        try:
            diff = self._look(threading.Event(), quiet_s=0.0)
        except OSError as error:
            self._cant_read(error)
            return None
        return self._change(diff, now) if isinstance(diff, Diff) and diff.changed else None

    def sources(self) -> list[Path]:
        """Return the files that were there at the last look: what a bot may be made of."""
        with self._lock:
            return [Path(path) for path in self._known or ()]

    async def run(self, emit: Callable[[Change], None]) -> None:
        """Call `emit` with each change until cancelled. What is different already comes first."""
        loop = asyncio.get_running_loop()
        self._home, self._tell_from_thread = threading.get_ident(), loop.call_soon_threadsafe
        stopping = threading.Event()
        # Of its own: a look must not wait behind other people's work in the shared threads.
        pool = ThreadPoolExecutor(1, thread_name_prefix="watch")

        def wake(events: Events | None) -> None:
            # The loop may be closed by the time the thread has something to say.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._on_events, events)

        async def look(quiet_s: float) -> Diff | float | None:
            try:
                return await loop.run_in_executor(pool, self._look, stopping, quiet_s)
            except OSError as error:
                self._cant_read(error)
                return None

        kernel = Kernel(wake, self._notify)
        self._armed = frozenset()
        try:
            # Takes the baseline if there is none; otherwise nothing counts as seen yet.
            await look(math.inf)
            self._look_for_remote_roots()
            await loop.run_in_executor(pool, self._arm, kernel)
            self.ready.set()
            while True:
                if diff := await self._settle(look):
                    emit(self._change(diff, self._detected_at))
                if self._armed != self._scan.folders:
                    await loop.run_in_executor(pool, self._arm, kernel)
                    continue  # look again: what came before the new watch was in place
                await self._wait()
        finally:
            stopping.set()
            kernel.close()
            pool.shutdown(wait=False, cancel_futures=True)

    async def _settle(self, look: Look) -> Diff | None:
        """Look until nothing moves any more; return what changed, if anything did."""
        cap_at: float | None = None
        self._detected_at = max(self._detected_at, time.monotonic())
        while True:
            now = time.monotonic()
            quiet_at = self._moved_at + self._quiet_s
            if now < quiet_at:
                # Something moves: from here on the wait is bounded.
                cap_at = cap_at or now + self._quiet_cap_s
            if now < min(quiet_at, cap_at or now):
                await asyncio.sleep(min(quiet_at, cap_at or now) - now)
                continue
            self._woken.clear()
            found = await look(0.0 if cap_at and now >= cap_at else self._quiet_s)
            if isinstance(found, float):
                self._moved_at = max(found, self._moved_at)
                cap_at = cap_at or now + self._quiet_cap_s
                continue
            if found is None or not found.changed:
                return None
            if not self._heard:
                self._armed = frozenset()  # the events are not to be relied on
            self._heard = self._woken.is_set()
            return found

    async def _wait(self) -> None:
        """Return when something may have changed: an event came, or it is time for a look."""
        poll = self._remote or self._blind_since is not None
        every_s = max(POLL_EVERY_S if poll else LOOK_EVERY_S, self._look_s / LOOK_SHARE)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await self._woken.wait()
        if self._blind_since and time.monotonic() - self._blind_since > REARM_EVERY_S:
            self._armed = frozenset()

    def _look(self, stopping: threading.Event, quiet_s: float) -> Diff | float:
        """Walk and compare. What is found is known from now on, so it is told once.

        Unless something moved within `quiet_s`: then nothing counts as seen, and the answer is
        when it moved last.
        """
        with self._lock:
            began = time.monotonic()
            scan = self._tree.scan(stopping)
            first = self._known is None
            diff = compare(self._known or {}, scan.files, stopping)
            self._scan = scan
            self._look_s = time.monotonic() - began
            if self._look_s > SLOW_LOOK_S:
                self._problem(
                    f"looking through {len(scan.files)} watched files took {self._look_s:.1f} s: "
                    "watch fewer folders, or ignore what the bot does not run"
                )
            if first:
                self._known = diff.known
                return replace(diff, changed=())
            if diff.changed and quiet_s:
                if diff.torn:
                    return time.monotonic()
                age_s = (time.time_ns() - diff.newest_ns) / NS
                if 0 <= age_s < quiet_s:
                    return time.monotonic() - age_s
            self._known = diff.known
            return diff

    def _arm(self, kernel: Kernel) -> None:
        """Have the kernel tell of the folders that the last look found, or go on without."""
        folders = frozenset(self._scan.folders)
        self._blind_since = None
        for last_try in (False, True):
            self._armed = folders  # before: a watch that dies at once takes this back
            try:
                kernel.watch(folders)
            except (FileNotFoundError, PermissionError):
                # Not what it was at the look; another look finds other folders.
                self._scan = self._tree.scan()
                folders = frozenset(self._scan.folders)
            except Blind as blind:
                if not last_try:
                    kernel.release()  # its own old watches may be what fills the limit
                    continue
                self._problem(str(blind))
            else:
                break
        else:
            self._blind_since = time.monotonic()
            self._armed = folders

    def _on_events(self, events: Events | None) -> None:
        now = time.monotonic()
        if events is None:
            self._problem("the kernel's file events ended: watching anew")
            self._armed = frozenset()
            self._woken.set()
            return
        armed, aliases = self._armed, self._scan.aliases
        paths = [path for _, path in events if path in aliases or self._tree.interesting(path)]
        if any(kind in {ADDED, DELETED} and path in armed for kind, path in events):
            # A watched folder was replaced: its watch hangs on the old one.
            self._armed = frozenset()
        if paths:
            self._heard = True
            self._detected_at = now
            self._moved_at = max(self._moved_at, now - _age_s(paths))
            self._woken.set()

    def _look_for_remote_roots(self) -> None:
        with contextlib.suppress(OSError):
            mounts = Path("/proc/self/mountinfo").read_text(errors="replace")
            for root, kind in remote_roots(self._tree.roots, mounts).items():
                self._remote = True
                self._problem(
                    f"{root} is on a {kind} filesystem, which does not tell of all changes: "
                    f"looking every {POLL_EVERY_S} s"
                )

    def _change(self, diff: Diff, detected_at: float) -> Change:
        now = time.monotonic()
        saved_at = now - (time.time_ns() - diff.saved_ns) / NS
        if not now - PLAUSIBLE_S <= saved_at <= now:
            saved_at = detected_at
        paths = sorted(os.path.relpath(path, self._tree.base) for path in diff.changed)
        return Change(tuple(paths), saved_at, max(saved_at, detected_at), now)

    def _cant_read(self, error: OSError) -> None:
        self._problem(f"the watched files can't be read: {error}; trying again")

    def _problem(self, text: str) -> None:
        if text in self._told:
            return
        self._told.add(text)
        if self._tell_from_thread is None or threading.get_ident() == self._home:
            self._on_problem(text)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                self._tell_from_thread(self._on_problem, text)


def _age_s(paths: Sequence[str]) -> float:
    """Return how long ago the newest of a few paths changed: an event is up to 10 ms late."""
    ages = [JUST_S]
    if len(paths) <= FEW_EVENTS:
        for path in paths:
            try:
                ages.append((time.time_ns() - os.lstat(path).st_ctime_ns) / NS)
            except OSError:
                return 0.0  # deleted: nobody knows when
    return max(0.0, min(ages)) if len(ages) > 1 and min(ages) < JUST_S else 0.0
