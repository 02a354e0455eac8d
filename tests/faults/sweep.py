"""Kill an operation at each of its system calls, and look what is left. A program of its own.

`python -m tests.faults.sweep [--points N] SCENARIO...`: kill -9 by strace's injection at every
call that changes something (without --points), or at N of them, evenly spaced over all. It says
on stdout, as JSON, how many points it visited, and each problem. It should run in a mount
namespace of its own, so that no mount of it outlives it.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults import traced
from tests.faults.invariants import recovered
from tests.faults.scenarios import (
    SAMPLED,
    SCENARIOS,
    Before,
    Scenario,
    Templates,
    without_validator,
)
from tests.unit.session.sessionkit import Place

_PROBLEMS_MAX = 6
# Between two runs the order of a few calls may differ; past the last one nothing is killed.
_MORE = 1


@dataclass(frozen=True, slots=True)
class Point:
    """The `number`th call of that kind in the operation of a scenario."""

    scenario: Scenario
    kind: str
    number: int

    def __str__(self) -> str:
        """Return how a problem names it."""
        return f"{self.scenario.name} {self.kind} {self.number}"


@contextmanager
def copied(templates: Templates, scenario: Scenario) -> Iterator[tuple[Place, Before]]:
    """Yield a copy; the session is a mount point where the scenario says so."""
    place, before = templates.copied(scenario)
    try:
        if scenario.mounted:
            place.live.mkdir(exist_ok=True)
            run("mount", "--bind", str(place.live), str(place.live))
        try:
            yield place, before
        finally:
            if scenario.mounted:
                run("umount", "--lazy", str(place.live))
    finally:
        shutil.rmtree(place.root)


def run(*command: str) -> None:
    """Run a command. Raises: OSError, CalledProcessError."""
    subprocess.run(command, check=True, capture_output=True)


def may_mount(folder: Path) -> bool:
    """Return whether this process may bind a folder."""
    try:
        run("mount", "--bind", str(folder), str(folder))
    except (OSError, subprocess.CalledProcessError):
        return False
    run("umount", "--lazy", str(folder))
    return True


def points_of(scenario: Scenario, templates: Templates) -> list[Point]:
    """Return every call of the operation, which also has to do what it should if nothing comes."""
    with copied(templates, scenario) as (place, before):
        manager = scenario.manager(place)
        made = traced.calls(lambda: scenario.act(manager, place))
        counted = Counter(kind for kind, _line in made)
        recovered(scenario, place, before, finished=True)
    return [
        Point(scenario, kind, number)
        for kind, count in sorted(counted.items())
        for number in range(1, count + 1 + _MORE)
    ]


def strike(point: Point, templates: Templates) -> bool:
    """Kill the operation there, recover, and compare. Returns whether it was killed."""
    scenario = point.scenario
    with copied(templates, scenario) as (place, before):
        manager = scenario.manager(place)
        outcome = traced.traced(
            lambda: scenario.act(manager, place),
            *("-e", f"trace={point.kind}"),
            *("-e", f"inject={point.kind}:signal=KILL:when={point.number}"),
        )
        assert outcome.how in ("done", "killed"), outcome.message
        recovered(scenario, place, before, finished=outcome.how == "done")
        return outcome.how == "killed"


def main() -> None:
    """Visit the points that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=0)
    parser.add_argument("scenarios", nargs="*", default=[])
    args = parser.parse_args()
    without_validator()
    chosen = [SCENARIOS[name] for name in args.scenarios or SAMPLED]
    killed: dict[str, int] = {}
    problems: list[str] = []
    base = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - only for speed
    with tempfile.TemporaryDirectory(dir=base) as folder:
        templates = Templates(Path(folder))
        if not may_mount(Path(folder)):
            chosen = [scenario for scenario in chosen if not scenario.mounted]
        points: list[Point] = []
        for scenario in chosen:
            try:
                points += points_of(scenario, templates)
            except Exception:  # noqa: BLE001 - each scenario is reported, whatever it did
                problems.append(f"{scenario.name}: {traceback.format_exc()[-1500:]}")
        if args.points:
            wanted = min(args.points, len(points))
            points = [points[number * len(points) // wanted] for number in range(wanted)]
        for point in points:
            try:
                if strike(point, templates):
                    name = point.scenario.name
                    killed[name] = killed.get(name, 0) + 1
            except Exception:  # noqa: BLE001 - each point is reported, whatever it did
                problems.append(f"{point}: {traceback.format_exc()[-1500:]}")
                if len(problems) > _PROBLEMS_MAX:
                    break
    json.dump({"killed": killed, "tried": len(points), "problems": problems}, sys.stdout)


if __name__ == "__main__":
    main()
