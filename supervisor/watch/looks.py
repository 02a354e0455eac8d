"""What one bot's files were like when they were last looked at, and what is different now.

Whoever finds a change has it: it is known from then on, and found by nobody else. What moved too
recently does not count as seen. When to look, and whom to tell, is decided elsewhere.
"""

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path

from supervisor.watch.fingerprints import Diff, Known, Scan, Tree, compare, glance
from supervisor.watch.quiet import written

SLOW_LOOK_S = 1.0
# So many named files are compared at once, in the loop's thread; else everything is looked at.
GLANCE_FILES = 16
# A change of so many names at most may be told before it is known to be all.
FEW_EVENTS = 8
NS = 1_000_000_000

# The paths that events named; None: they may have said more than is known.
Named = AbstractSet[str] | None


class Looks:
    """The map of one bot's files. Any thread may look; one at a time does."""

    def __init__(self, tree: Tree, on_problem: Callable[[str], None]) -> None:
        self._tree = tree
        self._on_problem = on_problem
        self._lock = threading.Lock()
        self._known: dict[str, Known] | None = None
        self.took_s = 0.0  # the last look of all files
        # Where events would tell of changes, and the files known by the name of a link to them. Of
        # a walk no more is kept: what is known of the files says it again.
        self.folders: frozenset[str] = frozenset()
        self.aliases: frozenset[str] = frozenset()

    def hide(self, never: Sequence[Path], among: Sequence[tuple[Path, tuple[str, ...]]]) -> None:
        """Forget what is hidden from now on: see Tree."""
        with self._lock:
            self._tree.hide(never, among)
            if self._known is not None:
                seen = self._known.items()
                self._known = {path: at for path, at in seen if self._tree.interesting(path)}

    def sources(self) -> list[Path]:
        """Return the files that were there."""
        with self._lock:
            return [Path(path) for path in self._known or ()]

    def carry(self) -> dict[str, Known] | None:
        """Return the map, for the program that follows ours; None: there was no look yet."""
        return self._known

    def adopt(self, known: dict[str, Known]) -> None:
        """Go on with such a map: what differs from it is a change."""
        self._known = known

    def look(self, stopping: threading.Event, within_s: float) -> Diff | float:
        """Look at all files, and take what differs; the first time nothing does.

        Unless something moved within `within_s` seconds: then the answer is when it did last.
        Raises: as `Tree.scan` does.
        """
        with self._lock:
            began = time.monotonic()
            scan = self._tree.scan(stopping)
            first = self._known is None
            diff = compare(self._known or {}, scan.files, stopping)
            self._found(scan)
            self.took_s = time.monotonic() - began
            if self.took_s > SLOW_LOOK_S:
                self._on_problem(
                    f"looking through {len(scan.files)} watched files took {self.took_s:.1f} s: "
                    "watch fewer folders, or ignore what the bot does not run"
                )
            if first:
                self._known = diff.known
                return replace(diff, changed=())
            return self._taken(diff, within_s)

    def glance(self, named: Named, within_s: float) -> Diff | float | None:
        """Look only at these few files, as `look` does; None: that does not tell enough.

        Raises: as `Tree.scan` does.
        """
        with self._at_once(named, GLANCE_FILES) as diff:
            return None if diff is None else self._taken(diff, within_s)

    def take_whole(self, named: Named) -> Diff | None:
        """Take a change of one file, if it is whole as far as can be seen, and all that differs.

        Raises: as `Tree.scan` does.
        """
        with self._at_once(named, FEW_EVENTS) as diff:
            if diff is None or len(diff.changed) != 1 or diff.torn:
                return None
            if written(diff.changed[0]) is not False:
                return None
            self._known = diff.known
            return diff

    def rescan(self) -> None:
        """Find the folders again, and nothing else."""
        with contextlib.suppress(OSError):
            self._found(self._tree.scan())

    def _found(self, scan: Scan) -> None:
        # The same as before stay the same objects: others hold them too.
        if self.folders != scan.folders:
            self.folders = frozenset(scan.folders)
        if self.aliases != scan.aliases:
            self.aliases = frozenset(scan.aliases)

    @contextlib.contextmanager
    def _at_once(self, named: Named, most: int) -> Iterator[Diff | None]:
        """Compare the named files, if they are few and nobody else looks at the moment."""
        few = named is not None and len(named) <= most and self._known is not None
        if not few or not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self._compared(named or frozenset())
        finally:
            self._lock.release()

    def _compared(self, named: AbstractSet[str]) -> Diff | None:
        aliases = self.aliases
        if self.folders & named:
            return None  # what is in it came or went with it
        if aliases and any(os.path.realpath(path) in aliases for path in named):
            return None  # it is also the file behind a link, by another name
        return glance(self._known or {}, named)

    def _taken(self, diff: Diff, within_s: float) -> Diff | float:
        if diff.changed and time.monotonic() - (at := moved_at(diff)) < within_s:
            return at
        self._known = diff.known
        return diff


def moved_at(diff: Diff) -> float:
    """Return when what changed moved last, by the monotonic clock; -inf where no time is to be had.

    A torn file moves now.
    """
    now = time.monotonic()
    if diff.torn:
        return now
    age_s = (time.time_ns() - diff.newest_ns) / NS
    return now - age_s if age_s >= 0 else -math.inf
