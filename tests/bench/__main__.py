"""`make bench`: ours and the others on the same bots and sessions, and what is promised of ours."""

import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from tests.bench import database, peers, session
from tests.bench.large import FILES, QUICK_FILES, Large
from tests.bench.many import picture
from tests.bench.many import question as many
from tests.bench.ours import ROOT
from tests.bench.plot import draw
from tests.bench.report import Report, columns, say
from tests.bench.restart import picture as restart_picture
from tests.bench.restart import question as restart
from tests.bench.restart.tools import Places
from tests.bench.session import Rounds
from tests.bench.snapshots import measure_starts

QUESTIONS = (
    "session",
    "restore",
    "database",
    "large",
    "curves",
    "memory",
    "loop",
    "many",
    "restart",
)
# Where `install-peers` puts what restarts are compared with, and matplotlib.
PEERS = ROOT / "build" / "bench" / "peers"
FULL = Rounds(first=5, next=7, restore=5)
QUICK = Rounds(first=2, next=3, restore=2)
_FREE_BYTES = 15 << 30


@click.command()
@click.option("--only", type=click.Choice(QUESTIONS), multiple=True, help="Just this; may repeat.")
@click.option("--quick", is_flag=True, help="Fewer rounds, 0.2 GB instead of 1: rough numbers.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / "build" / "bench",
    show_default="build/bench",
    help="Where results go, and the scratch folder: its filesystem is what is measured.",
)
def main(*, only: tuple[str, ...], quick: bool, out: Path) -> None:
    """Compare our restarts and our session store with other tools; hold them to their bars."""
    signal.signal(signal.SIGTERM, _end)
    out.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(out).free < _FREE_BYTES:
        raise click.UsageError(f"{out} needs 15 GB of room: name another place with --out")
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=out) as scratch:
        report = _run(Path(scratch), set(only or QUESTIONS), quick=quick)
    report.facts["took_s"] = round(time.monotonic() - begin, 1)
    report.facts["machine"]["load_after"] = os.getloadavg()[0]
    result = out / "store.json"
    report.finish(result)
    sys.path += Places(PEERS).site_packages()  # at the end: matplotlib only, if we have none
    pictures = [*draw(report, out), *picture.draw(report, out), *restart_picture.draw(report, out)]
    say("", *pictures, f"results: {result}")
    load = max(report.facts["machine"]["load_before"], 0.0)
    if load > 0.5:
        say(f"the machine was not idle before (load {load:.1f}): the numbers are rough")
    for bar in report.missed:
        click.echo(f"missed: {bar.question}: {bar.name}", err=True)
    sys.exit(1 if report.missed else 0)


def _run(scratch: Path, only: set[str], *, quick: bool) -> Report:
    load = os.getloadavg()[0]
    rounds = QUICK if quick else FULL
    starts, versions = measure_starts(scratch, 3 if quick else 5)
    absent = peers.missing()
    report = Report(
        {
            "quick": quick,
            "machine": _machine(scratch) | {"load_before": load},
            "versions": versions,
            "missing": absent,
        }
    )
    _head(report, absent)
    if only & {"session", "restore"}:
        session.run(scratch, report, rounds, starts, only)
    if "database" in only:
        database.run(scratch, report)
    if only & {"large", "curves", "memory", "loop"}:
        large = Large(scratch, report, starts, QUICK_FILES if quick else FILES)
        if "large" in only:
            large.race(2 if quick else 3)
        if "curves" in only:
            large.curves(1 if quick else 3)
        if "memory" in only:
            large.memory()
        if "loop" in only:
            large.loop(1 if quick else 3)
    if "many" in only:
        many.run(scratch, report, quick=quick)
    if "restart" in only:
        restart.run(scratch, report, Places(PEERS), quick=quick)
    return report


def _head(report: Report, absent: dict[str, str]) -> None:
    machine = report.facts["machine"]
    say(
        f"{machine['cpus']} cores, {machine['filesystem']}, Linux {machine['kernel']},"
        f" Python {machine['python']}. Medians (least-most); the page cache is warm.",
        "The others are whole commands, so their program's start is in their figures; ours runs in"
        " the supervisor,",
        "which is there already. For a fair look ours is shown once more with a start, and as a"
        " whole command.",
        "'plain': until the command ended. 'synced': and what it wrote is on the disk.",
        "Ours is always synced and read back.",
        *columns([[name, version] for name, version in report.facts["versions"].items()]),
        *(f"  {name}: not installed ({what} is not found)" for name, what in absent.items()),
    )


def _machine(place: Path) -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "filesystem": _filesystem(place),
    }


def _filesystem(place: Path) -> str:
    """Return the type of the filesystem: that of the deepest mount point above (proc(5))."""
    best = ("", "?")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _device, point, kind, *_rest = line.split()
        if place.resolve().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best[1]


def _end(_number: int, _frame: object) -> None:
    sys.exit(143)


if __name__ == "__main__":
    main()
