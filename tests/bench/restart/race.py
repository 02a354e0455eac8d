"""One tool and one bot: saved again and again, each time when all is at rest."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.bench import clock
from tests.bench.clock import Samples
from tests.bench.restart import procs
from tests.bench.restart.lives import Life, Outcome, Trace, outcome, overlaps
from tests.bench.restart.project import Project
from tests.bench.restart.stillhere import Stillhere
from tests.bench.restart.tools import Tool

START_S, BACK_S = 30.0, 10.0
# The same for all: what a tool does after a restart is done by then, and one too many is seen.
SETTLE_S = 1.5
# So long after a restart the session is changed anew, as a bot does that works.
_DIRTY_AFTER_S = 1.0
# What only comes with the start (ours: the first snapshot) is over by then too.
FIRST_SETTLE_S = 4.0
_POLL_S = 0.004
TIMES = ("told", "stop", "dead", "gap", "ready")


@dataclass(slots=True)
class Row:
    """What was measured of one tool with one bot.

    `unprepared`: saves that came before what the tool makes ready for them (ours: the spare).
    `wrong`: why there is nothing, if so.
    """

    tool: str
    bot: str
    ours: bool = False
    times: dict[str, Samples] = field(default_factory=lambda: {name: Samples() for name in TIMES})
    saves: int = 0
    missed: int = 0
    extra: int = 0
    stale: int = 0
    overlaps: int = 0
    both_open: int = 0
    unprepared: int = 0
    idle_share: float | None = None
    pss_bytes: int | None = None
    spare_bytes: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    wrong: str = ""

    def add(self, found: Outcome) -> None:
        """Add what came of one save."""
        self.saves += 1
        self.missed += found.missed
        self.extra += found.extra
        self.stale += found.stale
        for name, samples in self.times.items():
            value: float | None = getattr(found, f"{name}_s")
            if value is not None:
                samples.add(value)

    @property
    def safe(self) -> bool:
        """Whether it followed each save, and never ran two at once."""
        return bool(self.times["ready"].values) and not self.overlaps and not self.missed

    def as_row(self) -> dict[str, Any]:
        """Return the row of the table: times in seconds, which it shows in ms."""
        own = None if self.pss_bytes is None else (self.pss_bytes - self.spare_bytes) / 1e6
        return {
            "": self.tool,
            "bot": self.bot,
            "n": self.saves,
            **{
                f"{name} ms": samples.as_json() if samples.values else None
                for name, samples in self.times.items()
            },
            "two at once": self.overlaps,
            "both open": self.both_open,
            "missed": self.missed,
            "extra": self.extra,
            "stale": self.stale,
            "unprepared": self.unprepared,
            "idle %": None if self.idle_share is None else self.idle_share * 100,
            "PSS MB": own,
            "spare MB": self.spare_bytes / 1e6 or None,
            "ours": self.ours,
            "wrong": self.wrong,
        }


def measure(tool: Tool, saves: int, idle_s: float) -> Row:
    """Run the tool, save so many times, then look at it at rest. Bounded; ends what it started."""
    row = Row(tool.name, tool.project.kind.name, tool.ours)
    with tool.running():
        if not wait(lambda: tool.trace.online(0) is not None, START_S):
            row.wrong = "the bot never came online"
            return row
        clock.wait(FIRST_SETTLE_S)
        _settle(tool)
        for _ in range(saves):
            _save(tool, row)
        # At rest again: with what the restarts have left behind.
        clock.wait(FIRST_SETTLE_S)
        tool.prepared()
        _look(tool, row, idle_s)
        lives = tool.trace.read()
        row.overlaps = overlaps(lives, waits=tool.project.contract)
        row.both_open = overlaps(lives, waits=True)
    return row


def alone(project: Project, times: int) -> tuple[Samples, Samples]:
    """Start and stop the bot without any tool.

    Returns the seconds from its SIGTERM to its last line, and to its end.
    """
    stop, dead = Samples(), Samples()
    trace = Trace(project.trace)
    for _ in range(times):
        since_ns = time.monotonic_ns()
        with project.log.open("ab") as out:
            process = subprocess.Popen(
                project.command, cwd=project.root, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        try:
            wait(lambda: trace.online(since_ns) is not None, START_S)  # noqa: B023 - called at once
            clock.wait(0.3)
            process.send_signal(signal.SIGTERM)
            process.wait(BACK_S)
            end_ns = time.monotonic_ns()
        finally:
            process.kill()
            process.wait()
        life = trace.read()[-1]
        stop.add((life.offline - life.term) / 1e9)
        dead.add((end_ns - life.term) / 1e9)
    return stop, dead


def wait(wanted: Callable[[], bool], within_s: float) -> bool:
    """Wait until something is so; return whether it was within that time."""
    until_s = time.monotonic() + within_s
    while not wanted():
        if time.monotonic() > until_s:
            return False
        clock.wait(_POLL_S)
    return True


def _look(tool: Tool, row: Row, idle_s: float) -> None:
    pids = procs.tree(tool.pid, {life.pid for life in tool.trace.read()})
    row.pss_bytes = procs.pss_bytes(pids)
    if isinstance(tool, Stillhere):
        row.spare_bytes = int((tool.status().get("spare") or {}).get("pss_bytes", 0))
    if idle_s:
        row.idle_share = procs.idle_share(pids, idle_s)


def _settle(tool: Tool) -> None:
    clock.wait(_DIRTY_AFTER_S)
    tool.project.dirty()
    clock.wait(SETTLE_S - _DIRTY_AFTER_S)


def _save(tool: Tool, row: Row) -> None:
    row.unprepared += not tool.prepared()
    old = tool.trace.current()
    fd = _watch(old)
    try:
        saved_ns = tool.project.save()
        tool.saved()
        _await_back(tool, saved_ns, old, fd)
    finally:
        if fd >= 0:
            os.close(fd)
    _settle(tool)
    tool.settled()
    row.add(outcome(tool.trace.read(), saved_ns, tool.project.value))
    if isinstance(tool, Stillhere):
        row.records.append(tool.status().get("last_restart") or {})


def _watch(old: Life | None) -> int:
    with suppress(OSError):
        return -1 if old is None else os.pidfd_open(old.pid)
    return -1


def _await_back(tool: Tool, saved_ns: int, old: Life | None, fd: int) -> None:
    """Wait until the saved code is online, and see the old process end meanwhile."""
    ends = select.poll()
    if fd >= 0:
        ends.register(fd, select.POLLIN)
    until_s = time.monotonic() + BACK_S
    while time.monotonic() < until_s:
        if old is None or old.dead or fd < 0:
            clock.wait(_POLL_S)
        elif ends.poll(_POLL_S * 1000):
            old.dead = time.monotonic_ns()
        back = tool.trace.online(saved_ns, tool.project.value)
        if back is not None and (old is None or old.dead or fd < 0):
            return
