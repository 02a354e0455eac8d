"""Waits for the end of processes that are not our children: by their pidfds, else by looking."""

import asyncio
import os
from collections.abc import Callable, Iterable

_LOOK_S = 0.02
_LOOK_MAX_S = 1.0


class TreeWatch:
    """Calls `look` when one of those that are watched ends. In a running loop."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._pidfds: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._look_s = _LOOK_S

    def watch(self, pids: Iterable[int]) -> None:
        """Watch these, and no others any more."""
        self.close()
        unwatched = 0
        for pid in pids:
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:  # it has ended, or there is no descriptor left
                unwatched += 1
                continue
            self._pidfds.append(pidfd)
            self._loop.add_reader(pidfd, self._look)
        if unwatched or not self._pidfds:
            # Nobody tells when a process ends that we may not look at; so look, ever more rarely.
            self._timer = self._loop.call_later(self._look_s, self._look)
            self._look_s = min(self._look_s * 2, _LOOK_MAX_S)

    def close(self) -> None:
        """Watch nobody any more."""
        for pidfd in self._pidfds:
            self._loop.remove_reader(pidfd)
            os.close(pidfd)
        self._pidfds.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
