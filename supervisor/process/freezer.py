"""Trees that must stand still while their session is copied.

SIGSTOP from the top down, again and again until nobody new comes; SIGCONT from the bottom up. All
are asked at once, since each must get its turn on a CPU before it stands still. What was stopped
already, by a debugger say, is left alone.

A parent in vfork(2) is stopped by no signal as long as its child has not gone on to its own
program (`D` in proc_pid_stat(5)). So such a child is let go until its parent stands still.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from supervisor.process.signals import send
from supervisor.process.thawer import Thawer
from supervisor.process.tree import children

_POLL_S = 0.0002
# Who is thawed goes back into the call that it was stopped in. A signal in that very moment runs
# its handler, and then the call goes on all the same: a bot in pause(2) would sleep through it.
_SETTLE_S = 0.05
# The thaw begins before the deadline, so that it is over when that comes.
_MARGIN = 0.95
_DEAD = {"Z", "X"}
_STILL = {"T", "t", *_DEAD}


class Freeze:
    """How it went. Read `whole` in the block, and once more after it: it may have become false.

    `whole`: every thread of every member stood still, until the last look right before the thaw.
    `why`: why it is not. `frozen_s`: from the first SIGSTOP to the last SIGCONT.
    """

    def __init__(self, deadline_s: float) -> None:
        self.whole = False
        self.why = ""
        self.frozen_s = 0.0
        self.stopped: list[int] = []
        self._known: set[int] = set()
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._began: float | None = None
        self._over = threading.Event()

    def hold(self, members: Callable[[], Sequence[int]], thawer: Thawer) -> None:
        """Stop all members, and see to it that the deadline is kept whatever we do meanwhile.

        Raises: OSError, RuntimeError when that can't be had; nobody is stopped then.
        """
        todo = list(members())
        limit_s = self._deadline_s * _MARGIN
        threading.Thread(target=self._watch, args=(limit_s,), name="thaw", daemon=True).start()
        until = time.monotonic() + limit_s
        while fresh := [pid for pid in dict.fromkeys(todo) if pid not in self._known]:
            self._known.update(fresh)
            if not all(self._stop(pid, thawer) for pid in fresh):
                return
            if not _poll(partial(self._come_to_rest, fresh), until):
                self._fail("it did not stand still in time")
                return
            # Who hangs below them is all there can be. Who lost its parent hangs below us.
            todo = [*todo, *(child for pid in fresh for child in children(pid))]
            if self._known.issuperset(todo):
                todo = list(members())
        with self._lock:
            self.whole = not self._over.is_set()

    def _stop(self, pid: int, thawer: Thawer) -> bool:
        states = set(task_states(pid))
        if states & {"T", "t"} or states <= _DEAD:
            return True
        with self._lock:
            if self._over.is_set():
                return False
            thawer.add(pid)
            self._began = self._began or time.monotonic()
            if send(pid, signal.SIGSTOP):
                self.stopped.append(pid)
                return True
        if set(task_states(pid)) <= _DEAD:
            return True
        self._fail(f"process {pid} can't be stopped")
        return False

    def _come_to_rest(self, pids: Sequence[int]) -> bool:
        moving = [pid for pid in pids if pid in self._known and not _still([pid])]
        for pid in moving:
            if "D" in task_states(pid):
                for child in children(pid):
                    self._let_go(child)
        return not moving

    def _let_go(self, child: int) -> None:
        """Have it stopped anew in the next round, after its parent."""
        with self._lock:
            if child in self.stopped and not self._over.is_set():
                self.stopped.remove(child)
                self._known.discard(child)
                send(child, signal.SIGCONT)

    def _watch(self, limit_s: float) -> None:
        if not self._over.wait(limit_s):
            self.thaw(f"it was thawed after {self._deadline_s * 1000:.0f} ms, before the end")

    def thaw(self, why: str = "") -> None:
        """Let all go on; the first call counts. `why`: what makes the freeze worth nothing."""
        with self._lock:
            if self._over.is_set():
                return
            if not why and self.whole and not _still(self._known):
                why = "it was woken before the end"
            for pid in reversed(self.stopped):
                send(pid, signal.SIGCONT)
            if self._began is not None:
                self.frozen_s = time.monotonic() - self._began
            if why:
                self._fail(why)
            self._over.set()

    def _fail(self, why: str) -> None:
        self.whole = False
        self.why = self.why or why

    def settle(self) -> None:
        """Wait until all are back where they were; who is busy instead is given a moment."""
        _poll(lambda: not any(map(_runs, self.stopped)), time.monotonic() + _SETTLE_S)


@contextmanager
def frozen(members: Callable[[], Sequence[int]], deadline_s: float) -> Iterator[Freeze]:
    """Stop every thread of the tree for the block; thaw it at the deadline, or on any way out.

    `members`: lists the live processes of the tree, those of other groups too; it is asked until
    nobody new comes. Afterwards all are back where they were, so that a signal finds them
    waiting. A helper thaws them if we die. Where there can be none, nobody is stopped.
    """
    freeze = Freeze(deadline_s)
    with ExitStack() as stack:
        stack.callback(freeze.settle)
        try:
            thawer = stack.enter_context(Thawer())
            stack.callback(freeze.thaw)
            freeze.hold(members, thawer)
        except (OSError, RuntimeError) as error:
            freeze.thaw(f"nothing could be stopped safely ({error})")
        if not freeze.whole:
            freeze.thaw(freeze.why)
        yield freeze


def task_states(pid: int) -> list[str]:
    """Return the state of each thread, as proc_pid_stat(5) has it; none when it is gone."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [state for task in tasks if (state := _state(f"/proc/{pid}/task/{task}/stat"))]


def _state(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        data = os.read(fd, 512)
    except ProcessLookupError:  # it ended since it was opened
        return ""
    finally:
        os.close(fd)
    return chr(data[data.rindex(b")") + 2])


def _still(pids: Iterable[int]) -> bool:
    return all(state in _STILL for pid in pids for state in task_states(pid))


def _runs(pid: int) -> bool:
    """Return whether the main thread, which Python's handlers need, is not yet asleep again."""
    return _state(f"/proc/{pid}/stat") == "R"


def _poll(settled: Callable[[], bool], until: float) -> bool:
    while not settled():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True
