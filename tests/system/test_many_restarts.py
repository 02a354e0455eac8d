"""Five hundred restarts in a row, by saves: nothing that the supervisor holds grows with them."""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import pytest

from tests.bench.many.fleet import Fleet
from tests.bench.many.project import Project
from tests.bench.many.traces import outcome, overlaps

WARM, RESTARTS, EVERY = 50, 500, 25
# The journal keeps its last 1,000 records in memory; it is full well before this.
MEMORY_FROM = 200
# What a snapshot leaves in the cache is kept by count: the last 5, and some hours and days.
KEPT_MOST = 12
BACK_S = 20.0
# A restart may not cost more than this for ever: 500 of them, 1 MB.
GROWTH_BYTES = 2000
FOLDERS = {"XDG_RUNTIME_DIR": "run", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache"}

Reading = dict[str, int]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short path, for a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        for name in FOLDERS.values():
            (Path(folder) / name).mkdir(mode=0o700)
        yield Path(folder)


def files(folder: Path) -> list[Path]:
    """Return all that lies below a folder, folders too."""
    return sorted(folder.rglob("*"))


def kept(project: Project) -> list[Path]:
    """Return the files of the snapshots that are kept: manifests and packs."""
    cache = project.root / ".session-cache"
    return [path for path in files(cache) if path.name.startswith("session-")]


def read(fleet: Fleet, home: Path) -> Reading:
    """Return all that must not grow; taken when the supervisor is at rest."""
    fleet.settle()
    found: Reading = asdict(fleet.reading())
    # A share of shared pages follows how many other programs run, whatever the supervisor does.
    del found["pss_bytes"], found["helpers_pss_bytes"]
    counted = {name: len(files(home / name)) for name in FOLDERS.values()}
    cache = len(files(fleet.project.root / ".session-cache")) - len(kept(fleet.project))
    others = len(files(fleet.project.root / "sessions"))
    return {**found, **counted, "session cache": cache, "sessions": others}


def slope(points: Sequence[tuple[int, int]]) -> float:
    """Return the growth per restart: the median of all pairs' (Theil and Sen), deaf to one peak."""
    return statistics.median(
        (y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2)
    )


def grown(readings: Sequence[tuple[int, Reading]]) -> list[str]:
    """Return what grew over the run, each with its values."""
    wrong: list[str] = []
    for key in readings[0][1]:
        memory = key.endswith("_bytes")
        points = [(at, found[key]) for at, found in readings if not memory or at >= MEMORY_FROM]
        steady = slope(points) * (points[-1][0] - points[0][0])
        most = GROWTH_BYTES * (points[-1][0] - points[0][0]) if memory else 0.5
        if steady > most:
            wrong.append(f"{key}: {[value for _, value in points]}")
    return wrong


def test_growth_is_seen_and_a_peak_is_none() -> None:
    """One more thread every hundred restarts is growth; a process that happened to run is not."""
    steps = range(WARM, WARM + RESTARTS + 1, EVERY)
    base: list[tuple[int, Reading]] = [(at, {"fds": 9, "rss_bytes": 30_000_000}) for at in steps]
    assert grown(base) == []
    peak = [(at, {**found, "fds": 9 + 5 * (at == 300)}) for at, found in base]
    assert grown(peak) == []
    fds = [(at, {**found, "fds": 9 + at // 100}) for at, found in base]
    assert [line.partition(":")[0] for line in grown(fds)] == ["fds"]
    leak = [(at, {**found, "rss_bytes": 30_000_000 + 3000 * at}) for at, found in base]
    assert [line.partition(":")[0] for line in grown(leak)] == ["rss_bytes"]
    filling = [(at, {**found, "rss_bytes": min(at, MEMORY_FROM) * 5000}) for at, found in base]
    assert grown(filling) == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_500_restarts_leave_nothing_behind(home: Path) -> None:
    """Each save is one restart with the saved code, and none costs memory, files or processes."""
    project = Project(home / "project", 1)
    (name,) = project.names
    env = {key: str(home / folder) for key, folder in FOLDERS.items()}
    readings: list[tuple[int, Reading]] = []
    with Fleet.running(project, "dev", env) as fleet:
        assert fleet.started().missing == 0
        for number in range(1, WARM + RESTARTS + 1):
            value, saved_ns = project.save(name)
            assert fleet.await_saved(value, saved_ns, BACK_S), (
                f"save {number} never came online:\n{fleet.log.read_text(errors='replace')[-4000:]}"
            )
            found = outcome(fleet.traces.lives(name), saved_ns[name], value)
            assert (found.extra, found.stale) == (0, 0), f"save {number}"
            if number >= WARM and number % EVERY == 0:
                readings.append((number, read(fleet, home)))
        lives = [life for life in fleet.traces.lives(name) if life.online]
        assert len(lives) == 1 + WARM + RESTARTS
        assert overlaps(lives) == 0
        assert len(kept(project)) <= 2 * KEPT_MOST
    growth = grown(readings)
    assert not growth, "\n".join(growth)
    assert {found["zombies"] for _, found in readings} == {0}
