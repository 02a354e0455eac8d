"""One real supervisor with many bots, from its start to its end; nothing of it is left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self

from supervisor.control.client import Client
from tests.bench import clock
from tests.bench.many import proc
from tests.bench.many.project import Project
from tests.bench.many.traces import Traces
from tests.bench.ours import environment

START_S = 120.0
STOP_S = 60.0
_POLL_S = 0.005
# So busy a supervisor is at rest, or twice as busy as it was found to be at rest.
_QUIET_SHARE, _QUIET_TIMES = 0.05, 2.0
_QUIET_MOST_S = 60.0
# Where readings are taken by turns, what a restart leaves to be done afterwards is done by then.
SETTLE_S = 1.5


class Started(NamedTuple):
    """Seconds until the last bot came online, and how many never did."""

    last_s: float
    missing: int


class Fleet:
    """A supervisor that runs, and its bots as their traces show them. `mode`: `dev` or `run`."""

    def __init__(self, project: Project, mode: str, env: Mapping[str, str] | None = None) -> None:
        self.project = project
        self.traces = Traces(project.traces, project.names)
        self._quiet_share = _QUIET_SHARE
        self.begin_ns = time.monotonic_ns()
        with (project.root / f"console-{self.begin_ns}.log").open("wb") as out:
            self.log = Path(out.name)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "supervisor", mode],
                cwd=project.root,
                env={**environment(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @classmethod
    @contextmanager
    def running(
        cls, project: Project, mode: str, env: Mapping[str, str] | None = None
    ) -> Iterator[Self]:
        """Run one for the block."""
        fleet = cls(project, mode, env)
        try:
            yield fleet
        finally:
            fleet.end()

    def started(self) -> Started:
        """Wait until all bots are online, at most `START_S`."""
        names = self.project.names
        self._await_each(dict.fromkeys(names, self.begin_ns), None, START_S)
        first_ns = [
            next(online, 0)
            for online in (
                (life.online for life in self.traces.lives(name) if life.online >= self.begin_ns)
                for name in names
            )
        ]
        return Started((max(first_ns) - self.begin_ns) / 1e9, first_ns.count(0))

    def await_saved(self, value: int, saved_ns: Mapping[str, int], within_s: float) -> bool:
        """Wait until the saved code is online; say whether it is for all within that time."""
        return self._await_each(saved_ns, value, within_s)

    def settle(self) -> None:
        """Wait until the supervisor has done what it does afterwards; at most a minute."""
        clock.wait(SETTLE_S)
        bots = self.traces.pids()
        until_s = time.monotonic() + _QUIET_MOST_S
        while time.monotonic() < until_s:
            with suppress(OSError):  # a helper that ended meanwhile: it was not quiet yet
                if proc.idle_share(self.process.pid, bots, 1.0) < self._quiet_share:
                    return

    def wait(self, wanted: Callable[[], bool], within_s: float) -> bool:
        """Wait until something is so; return whether it was within that time."""
        until_s = time.monotonic() + within_s
        while not wanted():
            if time.monotonic() > until_s or self.process.poll() is not None:
                return False
            clock.wait(_POLL_S)
        return True

    def records(self) -> dict[str, dict[str, Any]]:
        """Return the supervisor's own record of each bot's last restart."""
        bots = Client.for_config(self.project.config).call("status")["bots"]
        return {name: bot["last_restart"] for name, bot in bots.items() if bot["last_restart"]}

    def idle_share(self, window_s: float) -> float:
        """Return which share of a core the supervisor and its helpers take now."""
        share = proc.idle_share(self.process.pid, self.traces.pids(), window_s)
        self._quiet_share = max(_QUIET_SHARE, _QUIET_TIMES * share)
        return share

    def reading(self) -> proc.Reading:
        """Return what the kernel says of the supervisor now."""
        return proc.Reading.of(self.process.pid, self.traces.pids())

    def end(self) -> None:
        """Stop it in good order, else by force; its bots with it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S)
        for pid in self.traces.pids():
            # Only one that still stands in our folder is a bot of ours, not another's pid.
            with suppress(OSError):
                if Path(f"/proc/{pid}/cwd").readlink() == self.project.root:
                    os.kill(pid, signal.SIGKILL)

    def _await_each(self, since_ns: Mapping[str, int], value: int | None, within_s: float) -> bool:
        """Wait for bots in turn, so that one trace is read at a time, however many there are."""
        until_s = time.monotonic() + within_s
        return all(
            self.wait(partial(self.traces.online, name, ns, value), until_s - time.monotonic())
            for name, ns in since_ns.items()
        )
