"""Let the calls of an operation fail, one after the other, and look what is left. A program.

`python -m tests.faults.errors [--points N] [--kind KIND] [--strict] SCENARIO...`:

    EIO ENOSPC EDQUOT EINTR   strace gives the error in the call's place (strace(1), "Tampering")
    short                     reads, writes and copies do less than was asked, from the Nth on;
                              patched in `os`, since strace can't carry out half a call

Each operation then either does what it should, or says in words what is wrong and what to do;
nothing is lost, and the next try works. A failed fsync is not tried again on the same file.
`--strict`: a read that fails once must not make a snapshot less than good either.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import traced
from tests.faults.invariants import recovered
from tests.faults.scenarios import (
    SAMPLED,
    SCENARIOS,
    UNMOUNTED,
    Scenario,
    Templates,
    without_validator,
)

_PROBLEMS_MAX = 8
# Which calls may fail how, by their man pages.
_WRITES = ("openat", "write", "pwrite64", "copy_file_range", "mkdir", "mkdirat", "rename")
_READS = ("openat", "read", "pread64", "preadv", "getdents64", "newfstatat", "fstat", "statx")
_MAY = {
    "ENOSPC": (*_WRITES, "fsync", "ftruncate", "symlink", "symlinkat", "renameat", "renameat2"),
    "EDQUOT": _WRITES,
    # Not openat: on a file it is never interrupted, and libc's opendir could not go on.
    "EINTR": ("write", "pwrite64", "read", "pread64", "preadv", "fsync", "flock"),
    "EIO": (
        *(*_WRITES, "fsync", "ftruncate", *_READS[1:], "unlink", "unlinkat"),
        *("rmdir", "chmod", "fchmod", "fchmodat", "utimensat", "symlink", "lseek"),
    ),
}
_FULL = ("ENOSPC", "EDQUOT")
_KINDS = sorted({kind for kinds in _MAY.values() for kind in kinds})
_FSYNC = re.compile(r"(?:fsync|fdatasync)\(\d+<([^>]*)>")


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`th call of that kind, in the operation of a scenario, and what it does."""

    scenario: Scenario
    error: str
    kind: str
    number: int

    def __str__(self) -> str:
        """Return how a problem names it."""
        return f"{self.scenario.name} {self.error} {self.kind} {self.number}"


def points_of(scenario: Scenario, templates: Templates) -> list[Point]:
    """Return every call that may fail, with each error that it may fail with."""
    place, _before = templates.copied(scenario)
    manager = scenario.manager(place)
    made = traced.calls(lambda: scenario.act(manager, place), (*traced.KINDS, *_KINDS))
    counted = Counter[str]()
    found: list[Point] = []
    for kind, line in made:
        counted[kind] += 1
        for error, kinds in _MAY.items():
            if kind in kinds and not (error in _FULL and kind == "openat" and "CREAT" not in line):
                found.append(Point(scenario, error, kind, counted[kind]))
    return found + [
        Point(scenario, "short", kind, number) for kind in SHORT for number in range(1, 4)
    ]


def strike(point: Point, templates: Templates, *, strict: bool) -> str:
    """Let that call fail, and look. Returns how the operation ended."""
    scenario = point.scenario
    place, before = templates.copied(scenario)
    manager = scenario.manager(place)
    log = templates.folder / "log"
    log.unlink(missing_ok=True)

    def act() -> object:
        return scenario.act(manager, place)

    elsewhere = False
    if point.error == "short":
        outcome = traced.forked(lambda: _short(act, point.kind, point.number, Counter()))
        assert outcome.how == "done", f"a short {point.kind} is no error: {outcome}"
    else:
        outcome = traced.traced(
            act,
            *("-y", "-e", f"trace={point.kind},fsync,fdatasync"),
            *("-e", f"inject={point.kind}:error={point.error}:when={point.number}"),
            log=log,
        )
        _not_synced_again(log.read_text())
        elsewhere = _elsewhere(point, log.read_text())
    assert outcome.how in ("done", "refused"), outcome.message
    if outcome.how == "refused":
        assert point.error != "EINTR", f"an interrupted call is only to be made again: {outcome}"
        assert outcome.message, "an error that says nothing"
        assert outcome.hint, f"an error with no next step: {outcome.message}"
    doubtful = elsewhere or (point.error == "EIO" and point.kind in _READS and not strict)
    recovered(scenario, place, before, finished=outcome.how == "done", doubtful=doubtful)
    return outcome.how


def _elsewhere(point: Point, log: str) -> bool:
    """Return whether a call was hit that the error never comes from: an open that makes no file.

    Threads share the work, each time in another way: the n-th call is not the same one each time.
    """
    hit = (line for line in log.splitlines() if "(INJECTED)" in line)
    return (point.error in _FULL and point.kind == "openat") and any("CREAT" not in x for x in hit)


def _not_synced_again(log: str) -> None:
    """After a failed fsync of a file the kernel may have dropped its pages: it is discarded."""
    failed: set[str] = set()
    for line in log.splitlines():
        match = _FSYNC.search(line)
        if not match or Path(match[1]).is_dir():
            continue
        assert match[1] not in failed, f"fsync of {match[1]} was tried again"
        # After EINTR nothing was done yet, and PEP 475 makes the call again.
        if "INJECTED" in line and "EINTR" not in line:
            failed.add(match[1])


# --- calls that do less than was asked -----------------------------------------------------------


def _half(count: int) -> int:
    return max(1, count // 2)


def _short_read(really: Callable[..., Any], fd: int, count: int, *rest: Any) -> Any:
    return really(fd, _half(count), *rest)


def _short_write(really: Callable[..., Any], fd: int, data: Any, *rest: Any) -> Any:
    return really(fd, memoryview(data)[: _half(len(data))], *rest) if len(data) else 0


def _short_preadv(really: Callable[..., Any], fd: int, buffers: Any, *rest: Any) -> Any:
    first = memoryview(buffers[0])
    return really(fd, [first[: _half(len(first))]], *rest)


def _short_copy(really: Callable[..., Any], source: int, target: int, count: int, *r: Any) -> Any:
    return really(source, target, _half(count), *r)


SHORT: dict[str, Callable[..., Any]] = {
    "read": _short_read,
    "pread": _short_read,
    "preadv": _short_preadv,
    "write": _short_write,
    "pwrite": _short_write,
    "copy_file_range": _short_copy,
}


def _short(act: Callable[[], object], kind: str, begin: int, done: Counter[str]) -> object:
    """Do `act`, with all calls of that kind from the `begin`th on doing half of the work."""
    for name, less in SHORT.items():
        really = getattr(os, name)

        def call(*args: Any, really: Any = really, less: Any = less, name: str = name) -> Any:
            done[name] += 1
            if name == kind and done[name] >= begin:
                return less(really, *args)
            return really(*args)

        setattr(os, name, call)
    return act()


def main() -> None:
    """Visit the points that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("--kind", default="")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("scenarios", nargs="*", default=[])
    args = parser.parse_args()
    without_validator()
    ended = Counter[str]()
    problems: list[str] = []
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - only for speed
    names = [name for name in args.scenarios or SAMPLED if name in UNMOUNTED]
    with tempfile.TemporaryDirectory(dir=base) as folder:
        templates = Templates(Path(folder))
        points = [p for name in names for p in points_of(SCENARIOS[name], templates)]
        points = [p for p in points if args.kind in (p.error, p.kind, "")]
        if args.points:
            wanted = min(args.points, len(points))
            points = [points[number * len(points) // wanted] for number in range(wanted)]
        for point in points:
            try:
                ended[strike(point, templates, strict=args.strict)] += 1
            except Exception:  # noqa: BLE001 - each point is reported, whatever it did
                problems.append(f"{point}: {traceback.format_exc()[-1800:]}")
                if len(problems) > _PROBLEMS_MAX:
                    break
    json.dump({"tried": len(points), "ended": ended, "problems": problems}, sys.stdout)


if __name__ == "__main__":
    main()
