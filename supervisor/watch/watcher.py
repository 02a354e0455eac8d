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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from supervisor.watch.fingerprints import Diff, Known, Tree
from supervisor.watch.kernel import (
    ADDED,
    DELETED,
    Blind,
    Events,
    Notify,
    remote_roots,
    rust_notify,
)
from supervisor.watch.looks import FEW_EVENTS, NS, Looks, moved_at
from supervisor.watch.quiet import Quiet, written
from supervisor.watch.shared import Watch

POLL_EVERY_S = 0.5
REARM_EVERY_S = 60.0
PLAUSIBLE_S = 5.0
# What is said to have changed longer ago than this is not what the event is about.
JUST_S = 0.05
# A file that stays open for writing is waited for so long: it may be open for ever.
WRITTEN_CAP_S = 0.3
WRITTEN_AGAIN_S = 0.01
# A look that took longer is not had in the loop's thread again.
BRIEF_LOOK_S = 0.003


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

    `only`: patterns of the names that count; () is all.
    `never`: the session's files, wherever they lie; `among`: those that lie among others, as a
    folder and the patterns of their names in it. `quiet_s`: how long nothing must move before
    a change is told, at most `quiet_cap_s` after it began; see `Quiet`. `on_problem` is told what
    makes watching worse, once each, in the thread of `run`. `watch` may be shared with others.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        base: Path,
        ignore: Sequence[str] = (),
        only: Sequence[str] = (),
        never: Sequence[Path] = (),
        among: Sequence[tuple[Path, tuple[str, ...]]] = (),
        quiet_s: float = 0.06,
        quiet_cap_s: float = 3.0,
        on_problem: Callable[[str], None] = lambda _: None,
        notify: Callable[[Sequence[str]], Notify] = rust_notify,
        watch: Watch | None = None,
    ) -> None:
        self.ready = asyncio.Event()
        self._watch = watch or Watch(notify)
        self._tree = Tree(roots, base=base, ignore=ignore, never=never, among=among, only=only)
        self._looks = Looks(self._tree, self._problem)
        self._quiet = Quiet(quiet_s)
        self._quiet_s = quiet_s
        self._quiet_cap_s = quiet_cap_s
        self._on_problem = on_problem
        self._told: set[str] = set()
        # While `run` runs, what another thread has to say is said in the loop's thread.
        self._home = 0
        self._in_loop: Callable[..., object] | None = None
        self._stopping = threading.Event()
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
        self._alone = False  # and it was one whole file
        # The folders that the kernel tells of; none: the watch must be made, or made anew.
        self._armed: frozenset[str] = frozenset()
        self._blind_since: float | None = None
        self._remote = False
        self._unread = False

    def check(self) -> Change | None:
        """Compare now, in the loop's thread. What is returned is told nobody else.

        The first look of all takes the baseline. A tree that takes longer than 3 ms (some 1,000
        files) is not walked: what events have named is compared, and `run` tells of the rest.
        `quiet_at` is None, as in `run`, if the change may still be going on.
        If the tree can't be read, that is told as a problem, and nothing counts as seen.
        """
        now = time.monotonic()
        try:
            if self._looks.took_s > BRIEF_LOOK_S and self._armed and self._blind_since is None:
                found = self._glance(0.0)
            else:
                found = self._looks.look(threading.Event(), 0.0)
        except OSError as error:
            self._cant_read(error)
            return None
        if not isinstance(found, Diff) or not found.changed:
            return None
        change = self._change(found, now)
        self._unsettled, self._alone = (
            self._settled is not None and self._goes_on(found, now),
            False,
        )
        self._quiet.told(now)
        if self._unsettled:
            self._woken.set()
            return replace(change, quiet_at=None)
        return change

    def _goes_on(self, diff: Diff, now: float) -> bool:
        young = now - moved_at(diff) < self._quiet.window_s(now, alone=False)
        return young or self._is_written(diff.changed)

    def carry(self) -> dict[str, Known] | None:
        """Return what is known of the files: whoever adopts it finds all that comes after."""
        return self._looks.carry()

    def adopt(self, known: dict[str, Known]) -> None:
        """Begin with what another one knew; before `run`."""
        self._looks.adopt(known)

    def hide(self, never: Sequence[Path], among: Sequence[tuple[Path, tuple[str, ...]]]) -> None:
        """Look at these no more, either; that they are seen no more is no change."""
        self._looks.hide(never, among)

    def sources(self) -> list[Path]:
        """Return the files that were there at the last look: what a bot may be made of."""
        return self._looks.sources()

    async def run(
        self, emit: Callable[[Change], None], settled: Callable[[float], None] | None = None
    ) -> None:
        """Call `emit` with each change until cancelled. What is different already comes first.

        With `settled`, a change of one file that is whole, as far as can be seen, is told before
        it is known to have settled (`quiet_at` None). Then, within the cap and as long as the files
        can be read, `settled` is called with the instant when nothing moved any more; or `emit`,
        with what was saved on top of it.
        """
        loop = asyncio.get_running_loop()
        self._home, self._in_loop = threading.get_ident(), loop.call_soon_threadsafe
        self._emit, self._settled = emit, settled
        self._stopping = threading.Event()
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
                    self._unsettled = self._alone = False
                    self._tell(self._change(diff, self._detected_at))
                elif self._unsettled and self._settled is not None and not self._unread:
                    self._unsettled = self._alone = False
                    self._settled(time.monotonic())
                if self._armed != self._looks.folders:
                    await self._watch.arm()  # it wakes us: what came before it was in place
                await self._wait()
        finally:
            self._stopping.set()
            self._emit = self._settled = None
            self._unsettled = self._alone = False
            self._armed = frozenset()
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
            quiet_at = self._moved_at + self._quiet.window_s(now, alone=self._alone)
            if now < quiet_at:
                # Something moves: from here on the wait is bounded.
                cap_at = cap_at or now + self._quiet_cap_s
            if now < min(quiet_at, cap_at or now):
                await asyncio.sleep(min(quiet_at, cap_at or now) - now)
                continue
            written_cap_at = written_cap_at or now + WRITTEN_CAP_S
            if now < written_cap_at and self._is_written(self._named or ()):
                await asyncio.sleep(WRITTEN_AGAIN_S)
                continue
            capped = cap_at is not None and now >= cap_at
            within_s = 0.0 if capped else self._quiet.window_s(now, alone=False)
            self._woken.clear()
            found = self._glance(within_s) or await self._look_later(within_s)
            if isinstance(found, float):
                # If one file was told already, it was not all.
                self._moved_at, self._alone = max(found, self._moved_at), False
                cap_at = cap_at or now + self._quiet_cap_s
                continue
            if found is not None and found.changed and not self._heard:
                self._armed = frozenset()  # the events are not to be relied on
            self._heard = self._woken.is_set()
            if found is not None and found.changed:
                return found
            if capped or not self._woken.is_set():
                return None

    def _is_written(self, paths: Collection[str]) -> bool:
        # Of others' files the kernel knows no lease: a network share answers as if in use.
        few = len(paths) <= FEW_EVENTS and not self._remote
        return few and any(written(path) for path in paths)

    async def _wait(self) -> None:
        """Return when something may have changed: an event came, or a look found something."""
        poll = self._remote or self._unread or self._blind_since is not None
        wait_s = max(POLL_EVERY_S, self._looks.took_s) if poll else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        if poll and not self._woken.is_set():
            self._named = None
        if self._blind_since and time.monotonic() - self._blind_since > REARM_EVERY_S:
            self._armed = frozenset()

    # Looking.

    async def _look_later(self, within_s: float) -> Diff | float | None:
        self._named = set()
        try:
            found = await self._watch.run(partial(self._looks.look, self._stopping, within_s))
        except OSError as error:
            self._cant_read(error)
            return None
        self._unread = False
        if isinstance(found, float):
            self._named = None  # it is still to be seen
        return found

    def _glance(self, within_s: float) -> Diff | float | None:
        """Look at the named files only, if that is enough."""
        found = self._looks.glance(self._named, within_s)
        if isinstance(found, Diff):
            self._named = set()
        return found

    def _tell_early(self) -> None:
        """Tell of one file that is whole, as far as can be seen, before it is known to be all."""
        if self._settled is None or self._unsettled or self._quiet.patient(time.monotonic()):
            return
        try:
            diff = self._looks.take_whole(self._named)
        except OSError:
            return  # the look that follows meets it again
        if diff is not None:
            self._unsettled = self._alone = True
            self._tell(replace(self._change(diff, self._detected_at), quiet_at=None))

    # What the shared watch wants to know, and tells.

    def to_watch(self) -> frozenset[str]:
        """Return the folders of which the kernel is to tell."""
        return self._looks.folders

    def rescan(self) -> None:
        """Walk again: a folder is not what it was."""
        self._looks.rescan()

    def differs(self) -> bool:
        """Look whether anything is different; nothing counts as seen."""
        try:
            return isinstance(self._looks.look(self._stopping, math.inf), float)
        except OSError as error:
            self._cant_read(error)
            return False

    def armed(self, folders: frozenset[str], blind: Blind | None) -> None:
        """Learn that these folders are watched from now on, or why they are not."""
        news = folders != self._armed
        self._armed = folders
        self._blind_since = None if blind is None else time.monotonic()
        if blind is not None and str(blind):
            self._problem(str(blind))
        if news and (in_loop := self._in_loop) is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                in_loop(self.wake)  # what came before this is still to be found

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
        armed, aliases = self._armed, self._looks.aliases
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
        # Not seen yet, whatever it was; `run` tries again.
        self._unread, self._named = True, None
        self._problem(f"the watched files can't be read: {error}; trying again")

    def _problem(self, text: str) -> None:
        if text in self._told:
            return
        self._told.add(text)
        if (in_loop := self._in_loop) is None or threading.get_ident() == self._home:
            self._on_problem(text)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                in_loop(self._on_problem, text)


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
