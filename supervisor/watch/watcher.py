"""Says when the watched files of one bot changed: soon, once per burst, and never not at all.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from supervisor.watch.fingerprints import Diff, Known, Scan, Tree, compare, glance
from supervisor.watch.kernel import (
    ADDED,
    DELETED,
    Blind,
    Events,
    Notify,
    remote_roots,
    rust_notify,
)
from supervisor.watch.quiet import Quiet, written
from supervisor.watch.shared import Watch

POLL_EVERY_S = 0.5
REARM_EVERY_S = 60.0
SLOW_LOOK_S = 1.0
PLAUSIBLE_S = 5.0
# Few enough to ask each for its time when they come; of a burst the last event's arrival counts.
FEW_EVENTS = 8
JUST_S = 0.05
# A file that stays open for writing is waited for so long: it may be open for ever.
WRITTEN_CAP_S = 0.3
WRITTEN_AGAIN_S = 0.01
# So many named files are compared at once, in the loop's thread; else everything is looked at.
GLANCE_FILES = 16
# A look that took longer is not had again in the loop's thread.
BRIEF_LOOK_S = 0.003
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """Files whose content changed, were added or deleted; times of the monotonic clock.

    `paths`: relative to the watcher's base, sorted. `saved_at`: the newest of them was written,
    `detected_at`: the last of it was noticed, `quiet_at`: it was found to have settled; None: it
    may still be going on.
    """

    paths: tuple[str, ...]
    saved_at: float
    detected_at: float
    quiet_at: float | None


class Watcher:
    """Watches `roots`; `run` it as a task, and `check` right before a start.

    `never`: the session's files, wherever they lie. `quiet_s`: how long nothing must move before
    a change is told, at most `quiet_cap_s` after it began; see `Quiet`. `on_problem` is told what
    makes watching worse, once each, in the thread of `run`. `watch` may be shared with others.
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
        watch: Watch | None = None,
    ) -> None:
        self.ready = asyncio.Event()
        self._watch = watch or Watch(notify)
        self._tree = Tree(roots, base=base, ignore=ignore, never=never)
        self._quiet = Quiet(quiet_s)
        self._quiet_s = quiet_s
        self._quiet_cap_s = quiet_cap_s
        self._on_problem = on_problem
        self._told: set[str] = set()
        # While `run` runs, what its worker thread has to say is said in the loop's thread.
        self._home = 0
        self._tell_from_thread: Callable[..., object] | None = None
        self._stopping = threading.Event()
        # The map, and the lock of whoever compares: `check` may come from any thread.
        self._lock = threading.Lock()
        self._known: dict[str, Known] | None = None
        self._scan = Scan()
        self._look_s = 0.0
        # What the events said. Only the loop's thread writes these.
        self._woken = asyncio.Event()
        self._heard = False
        self._named: set[str] | None = set()  # None: they may have said more than we know
        self._detected_at = 0.0
        self._moved_at = 0.0
        # Who is told: of each change, and that the last one has settled.
        self._emit: Callable[[Change], None] | None = None
        self._settled: Callable[[float], None] | None = None
        self._unsettled = False
        # The folders that the kernel tells of; none: the watch must be made, or made anew.
        self._armed: frozenset[str] = frozenset()
        self._blind_since: float | None = None
        self._remote = False

    def check(self) -> Change | None:
        """Compare now, without waiting for quiet. What is returned is told nobody else.

        The first look of all takes the baseline. It reads the tree in the caller's thread, 3 ms per
        1,000 files; of a large tree, only what the events have named so far: of the rest they will
        tell. If the tree can't be read, that is told as a problem, and nothing counts as seen.
        """
        now = time.monotonic()
        try:
            brief = self._look_s < BRIEF_LOOK_S or self._blind_since is not None or not self._armed
            diff = None if brief else self._glance(0.0)
            if diff is None:
                diff = self._look(threading.Event(), 0.0)
        except OSError as error:
            self._cant_read(error)
            return None
        return self._change(diff, now) if isinstance(diff, Diff) and diff.changed else None

    def sources(self) -> list[Path]:
        """Return the files that were there at the last look: what a bot may be made of."""
        with self._lock:
            return [Path(path) for path in self._known or ()]

    async def run(
        self, emit: Callable[[Change], None], settled: Callable[[float], None] | None = None
    ) -> None:
        """Call `emit` with each change until cancelled. What is different already comes first.

        With `settled`, a change of one file that is whole, as far as can be seen, is told before
        it is known to have settled. Then `settled` is called once nothing moved any more, with
        that instant; or `emit`, with what was saved on top of it.
        """
        loop = asyncio.get_running_loop()
        self._home, self._tell_from_thread = threading.get_ident(), loop.call_soon_threadsafe
        self._emit, self._settled = emit, settled
        self._stopping = threading.Event()
        self._armed = frozenset()
        self._watch.join(self)
        try:
            # Takes the baseline if there is none; otherwise nothing counts as seen yet.
            await self._look_later(math.inf)
            self._look_for_remote_roots()
            await self._watch.arm()
            self.ready.set()
            while True:
                diff = await self._settle()
                if diff is not None:
                    self._unsettled = False
                    self._tell(self._change(diff, self._detected_at))
                elif self._unsettled and self._settled is not None:
                    self._unsettled = False
                    self._settled(time.monotonic())
                if self._armed != self._scan.folders:
                    await self._watch.arm()
                    self._named = None
                    continue  # look again: what came before the new watch was in place
                await self._wait()
        finally:
            self._stopping.set()
            self._emit = self._settled = None
            self._watch.leave(self)

    def _tell(self, change: Change) -> None:
        self._quiet.told(time.monotonic())
        if self._emit is not None:
            self._emit(change)

    async def _settle(self) -> Diff | None:
        """Look until nothing moves any more; return what changed, if anything did."""
        cap_at: float | None = None
        written_cap_at: float | None = None
        self._detected_at = max(self._detected_at, time.monotonic())
        while True:
            now = time.monotonic()
            quiet_s = self._quiet.window_s(now, alone=self._unsettled)
            quiet_at = self._moved_at + quiet_s
            if now < quiet_at:
                # Something moves: from here on the wait is bounded.
                cap_at = cap_at or now + self._quiet_cap_s
            if now < min(quiet_at, cap_at or now):
                await asyncio.sleep(min(quiet_at, cap_at or now) - now)
                continue
            written_cap_at = written_cap_at or now + WRITTEN_CAP_S
            if now < written_cap_at and self._is_written():
                await asyncio.sleep(WRITTEN_AGAIN_S)
                continue
            self._woken.clear()
            within_s = 0.0 if cap_at and now >= cap_at else quiet_s
            found = self._glance(within_s) or await self._look_later(within_s)
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

    def _is_written(self) -> bool:
        named = self._named or ()
        return len(named) <= FEW_EVENTS and any(written(path) for path in named)

    async def _wait(self) -> None:
        """Return when something may have changed: an event came, or a look found something."""
        poll = self._remote or self._blind_since is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(POLL_EVERY_S, self._look_s) if poll else None):
                await self._woken.wait()
        if poll and not self._woken.is_set():
            self._named = None
        if self._blind_since and time.monotonic() - self._blind_since > REARM_EVERY_S:
            self._armed = frozenset()

    # Looking.

    async def _look_later(self, quiet_s: float) -> Diff | float | None:
        self._named = set()
        try:
            return await self._watch.run(partial(self._look, self._stopping, quiet_s))
        except OSError as error:
            self._named = None
            self._cant_read(error)
            return None

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
            return self._taken(diff, quiet_s)

    def _glance(self, quiet_s: float) -> Diff | float | None:
        """Compare only the files that events have named; None: everything has to be looked at."""
        named = self._named
        if not named or len(named) > GLANCE_FILES or not self._lock.acquire(blocking=False):
            return None
        try:
            diff = self._glanced(named)
            if diff is None:
                return None
            found = self._taken(diff, quiet_s)
            if isinstance(found, Diff):
                self._named = set()
            return found
        finally:
            self._lock.release()

    def _glanced(self, named: set[str]) -> Diff | None:
        aliases = self._scan.aliases
        if aliases and any(os.path.realpath(path) in aliases for path in named):
            return None  # it is also the file behind a link, by another name
        return glance(self._known or {}, named)

    def _taken(self, diff: Diff, quiet_s: float) -> Diff | float:
        if diff.changed and quiet_s:
            if diff.torn:
                return time.monotonic()
            age_s = (time.time_ns() - diff.newest_ns) / NS
            if 0 <= age_s < quiet_s:
                return time.monotonic() - age_s
        self._known = diff.known
        return diff

    def _tell_early(self) -> None:
        """Tell of one file that is whole, as far as can be seen, before it is known to be all."""
        now = time.monotonic()
        named = self._named
        if self._settled is None or self._unsettled or not named or len(named) > FEW_EVENTS:
            return
        if self._quiet.wary(now) or self._quiet.window_s(now, alone=True) > self._quiet_s:
            return
        if not self._lock.acquire(blocking=False):
            return
        try:
            diff = self._glanced(named)
            if diff is None or len(diff.changed) != 1 or diff.torn:
                return
            if written(diff.changed[0]) is not False:
                return
            self._known = diff.known
        finally:
            self._lock.release()
        self._unsettled = True
        self._tell(replace(self._change(diff, self._detected_at), quiet_at=None))

    # What the shared watch wants to know, and tells.

    def to_watch(self) -> frozenset[str]:
        """Return the folders of which the kernel is to tell."""
        return frozenset(self._scan.folders)

    def rescan(self) -> None:
        """Walk again: a folder is not what it was."""
        with contextlib.suppress(OSError):
            self._scan = self._tree.scan()

    def differs(self) -> bool:
        """Look whether anything is different; nothing counts as seen."""
        try:
            return isinstance(self._look(self._stopping, math.inf), float)
        except OSError as error:
            self._cant_read(error)
            return False

    def armed(self, folders: frozenset[str], blind: Blind | None) -> None:
        """Learn that these folders are watched from now on, or why they are not."""
        self._armed = folders
        self._blind_since = None if blind is None else time.monotonic()
        if blind is not None and str(blind):
            self._problem(str(blind))

    def wake(self) -> None:
        """Look soon, at everything."""
        self._named = None
        self._woken.set()

    def take(self, events: Events | None) -> None:
        """Take what the kernel told."""
        self._on_events(events)

    def _on_events(self, events: Events | None) -> None:
        now = time.monotonic()
        if events is None:
            self._problem("the kernel's file events ended: watching anew")
            self._armed = frozenset()
            self.wake()
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
            if self._named is not None:
                self._named.update(paths)
            self._woken.set()
            self._tell_early()

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
