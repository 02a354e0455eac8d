"""The machine's faults, planted for real where that harms nobody: seen, told, mended as told."""

import json
import time
from pathlib import Path

import pytest

from tests.unit.doctor.kit import ID, Project, in_namespaces, lacks_namespaces

DOCTOR = '"$PYTHON" -m supervisor doctor --json'


def test_a_healthy_project_is_well(project: Project) -> None:
    """Nothing is found where nothing is wrong."""
    project.well()


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 14, 0)])
def test_another_python(project: Project, version: tuple[int, ...]) -> None:
    """One that it was not made for, and what to install."""
    found = project.problem("python", project.world(python=version))
    assert found.seen == f"it runs on Python {'.'.join(map(str, version))}"
    project.well(project.world(python=(3, 12, 1)))


def test_the_limits_of_inotify(project: Project) -> None:
    """Limits that are too low, in a namespace of the test's own; then the commands as told."""
    flags = ("--user", "--map-root-user")
    if why := lacks_namespaces(*flags):
        pytest.skip(why)
    script = f"""
        echo 1 > /proc/sys/user/max_inotify_watches
        echo 1 > /proc/sys/user/max_inotify_instances
        {DOCTOR} > before.json || true
        "$PYTHON" -c 'import json
for found in json.load(open("before.json"))["findings"]:
    for command in found["commands"]:
        print(command.removeprefix("sudo "))' > todo
        sh -e todo > /dev/null
        {DOCTOR} > after.json
    """
    done = in_namespaces(flags, script, project.root)
    assert done.returncode == 0, done.stderr
    before, after = (_problems(project.root / f"{name}.json") for name in ("before", "after"))
    assert before == ["inotify-watches", "inotify-instances"]
    assert after == []


def _problems(path: Path) -> list[str]:
    findings = json.loads(path.read_text())["findings"]
    return [each["check"] for each in findings if each["severity"] in ("problem", "unknown")]


def test_a_full_disk(project: Project) -> None:
    """The store lies on a small disk of its own, which is full; then somebody makes room."""
    if why := lacks_namespaces("-m"):
        pytest.skip(why)
    script = f"""
        mkdir .session-cache/old; mount -t tmpfs -o size=80m,mode=700 none .session-cache
        head -c 40m /dev/zero > .session-cache/large
        {DOCTOR} > before.json || true
        rm .session-cache/large
        {DOCTOR} > after.json || true
    """
    done = in_namespaces(("-m",), script, project.root)
    assert done.returncode == 0, done.stderr
    found = json.loads((project.root / "before.json").read_text())["findings"]
    (disk,) = (each for each in found if each["check"] == "disk")
    assert disk["severity"] == "problem"
    assert f"stillhere session prune {ID}" in disk["commands"]
    assert "disk" not in _problems(project.root / "after.json")


def test_a_clock_that_was_never_set(project: Project) -> None:
    """A machine without a battery starts in 1970."""
    found = project.asked(project.world(now=lambda: 86_400.0)).of("problem")
    assert {each.check for each in found} == {"clock"}
    assert "1970-01-02" in found[0].seen


def test_a_snapshot_from_the_future(project: Project) -> None:
    """The clock was a day ahead when it was taken: the next one has the right time."""
    manager = project.manager()
    manager._clock = lambda: time.time() + 86_400
    (project.live / "creds.json").write_text('{"me": "d1", "n": 1}')
    manager.backup(ID)
    found = project.problem("clock")
    assert ID in found.commands[-1]
    (project.live / "creds.json").write_text('{"me": "d1", "n": 2}')  # the bot goes on
    project.type(found.commands[-1])
    project.well()
