"""Many changes at once, slow ones, quick ones, and many files: how often the bot is restarted."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import clock
from tests.bench.restart import procs
from tests.bench.restart.lives import outcome, overlaps
from tests.bench.restart.project import Project
from tests.bench.restart.race import FIRST_SETTLE_S, START_S, wait
from tests.bench.restart.tools import Tool

BURST_FILES, BRANCH_FILES, MANY_FILES = 1000, 500, 10_000
QUICK_BACK_S = 5.0
# Nothing began for so long after a restart: it is over. And it is not waited for longer than this.
# Long enough for nodemon, which asks `ps` once for each file before it does anything.
_QUIET_S, MOST_S = 3.0, 40.0
_BRANCHES = ("first", "second")


@dataclass(frozen=True, slots=True)
class Crowd:
    """What came of one change of many files, or of a slow one. `back`: the bot ended up online.

    `starts`: processes that began; `restarts`: those that came online; `torn`: 1 if the first of
    them did not have the whole of what was written; `back_s`: from the end of the change to the
    last of them online. None came online: the change was not followed, or not within `MOST_S`.
    """

    starts: int
    restarts: int
    torn: int
    back_s: float | None
    back: bool
    overlaps: int


def measure(tool: Tool) -> dict[str, Any]:
    """Return one row: 1,000 files written at once, another branch checked out, a slow save.

    The tool is started anew for each, so that none has to bear with the one before.
    """
    project = tool.project
    burst = _crowd(tool, lambda: _burst(project))
    branch = _crowd(tool, lambda: _git(project.root, "checkout", "-q", _BRANCHES[1]))
    slow = _crowd(tool, project.save_slowly)
    each = (burst, branch, slow)
    return {
        "": tool.name,
        "burst": burst.restarts or None,
        "back s": burst.back_s,
        "branch": branch.restarts or None,
        "slow save": slow.restarts or None,
        "slow: torn": slow.torn,
        "failed starts": sum(crowd.starts - crowd.restarts for crowd in each),
        "two at once": sum(crowd.overlaps for crowd in each),
        "not followed": sum(not crowd.restarts for crowd in each),
        "offline at the end": sum(not crowd.back for crowd in each),
        "ours": tool.ours,
    }


def prepare(project: Project) -> None:
    """Put the files there that will change: 1,000, and 500 with two branches in git."""
    (project.app / "burst").mkdir()
    _burst(project)
    tree = project.app / "tree"
    tree.mkdir()
    _git(project.root, "init", "-q")
    for branch in _BRANCHES:
        for number in range(BRANCH_FILES):
            (tree / f"file_{number:03}.py").write_text(f"BRANCH = {branch!r}\nNUMBER = {number}\n")
        _git(project.root, "checkout", "-q", "-b", branch)
        _git(project.root, "add", "app/tree")
        _git(project.root, *_AUTHOR, "commit", "-q", "-m", branch)
    _git(project.root, "checkout", "-q", _BRANCHES[0])


def quick_saves(tool: Tool, saves: int) -> dict[str, Any]:
    """Save again as soon as the bot is back, always as many bytes: most within the same second."""
    missed = extra = stale = 0
    begin_s = time.monotonic()
    with tool.running():
        wait(lambda: tool.trace.online(0) is not None, START_S)
        clock.wait(FIRST_SETTLE_S)
        saved: list[tuple[int, int]] = []
        begin_s = time.monotonic()
        for _ in range(saves):
            saved_ns = tool.project.save()
            saved.append((saved_ns, tool.project.value))
            wait(lambda: tool.trace.online(*saved[-1]) is not None, QUICK_BACK_S)
        took_s = time.monotonic() - begin_s
        clock.wait(_QUIET_S)
        lives = tool.trace.read()
    for number, (saved_ns, value) in enumerate(saved):
        until_ns = saved[number + 1][0] if number + 1 < len(saved) else time.monotonic_ns()
        found = outcome([life for life in lives if life.online < until_ns], saved_ns, value)
        missed += found.missed
        extra += found.extra
        stale += found.stale
    return {
        "": tool.name,
        "saves": saves,
        "s": took_s,
        "two at once": overlaps(lives, waits=tool.project.contract),
        "missed": missed,
        "extra": extra,
        "stale": stale,
    }


def many_files(tool: Tool, idle_s: float, settle_s: float) -> dict[str, Any]:
    """Look at a tool that watches 10,000 files, at rest for `settle_s` already."""
    for number in range(MANY_FILES):
        folder = tool.project.app / f"many_{number // 100:03}"
        folder.mkdir(exist_ok=True)
        (folder / f"file_{number:05}.py").write_text(f"NUMBER = {number}\n")
    with tool.running():
        wait(lambda: tool.trace.online(0) is not None, START_S)
        clock.wait(settle_s)
        pids = procs.tree(tool.pid, {life.pid for life in tool.trace.read()})
        share = procs.idle_share(pids, idle_s)
        return {
            "": tool.name,
            "files": MANY_FILES,
            "idle %": share * 100,
            "PSS MB": procs.pss_bytes(pids) / 1e6,
            "processes": len(pids),
        }


def _crowd(tool: Tool, change: Callable[[], object]) -> Crowd:
    begin_ns = time.monotonic_ns()
    with tool.running():
        if not wait(lambda: tool.trace.online(begin_ns) is not None, START_S):
            return Crowd(0, 0, 0, None, back=False, overlaps=0)
        clock.wait(FIRST_SETTLE_S)
        tool.prepared()
        since_ns = time.monotonic_ns()
        before = len(tool.trace.read())
        change()
        changed_ns = time.monotonic_ns()
        _await_quiet(tool, since_ns)
        lives = tool.trace.read()[before - 1 :]
        last = tool.trace.current()
        back = last is not None and Path(f"/proc/{last.pid}").exists()
    online = [life for life in lives[1:] if life.online]
    return Crowd(
        starts=len(lives) - 1,
        restarts=len(online),
        torn=int(bool(online) and online[0].value != tool.project.value),
        back_s=(online[-1].online - changed_ns) / 1e9 if online else None,
        back=back,
        overlaps=overlaps(lives, waits=tool.project.contract),
    )


def _await_quiet(tool: Tool, since_ns: int) -> None:
    """Wait until one came online since then and is, and no process has begun for a while."""
    begin_s = changed_s = time.monotonic()
    count = len(tool.trace.read())
    while time.monotonic() - begin_s < MOST_S:
        clock.wait(0.05)
        if len(tool.trace.read()) != count:
            count, changed_s = len(tool.trace.lives), time.monotonic()
        followed = tool.trace.online(since_ns) is not None and tool.trace.current() is not None
        if followed and time.monotonic() - changed_s > _QUIET_S:
            return


def _burst(project: Project) -> None:
    stamp = time.monotonic_ns()
    for number in range(BURST_FILES):
        (project.app / "burst" / f"file_{number:04}.py").write_text(f"STAMP = {stamp}\n")


_AUTHOR = ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=no")


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
