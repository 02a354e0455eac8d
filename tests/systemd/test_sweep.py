"""However the service ends, its bots are asked, get their time, and nothing of them is left."""

import shutil
from pathlib import Path

import pytest

from tests.systemd.conftest import PYTHON, USER, Service
from tests.systemd.manager import until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("systemd")]

# How a bot ends, and who runs it beside the supervisor.
WAYS = (("", ""), ("deaf", ""), ("daemon", ""), ("daemon deaf", ""), ("daemon deaf", USER))


def started(
    service: Service, ways: str, stop_timeout_s: float, drop_in: str = "", user: str = ""
) -> None:
    """Start it with a bot of these ways."""
    service.write("notes.txt", "")
    if user:
        service.manager.run("chown", user, f"{service.here}/notes.txt")
    shutil.copy(Path(__file__).with_name("bots") / "stubborn.py", service.folder)
    words = ", ".join(f'"{word}"' for word in ("python", "stubborn.py", *ways.split()))
    config = f'[bot.one]\ncommand = [{words}]\nsession = false\nready = {{ log = "here" }}\n'
    timeout = f"stop_timeout_s = {stop_timeout_s}\n"
    service.write("config.toml", f'{config}{timeout}user = "{user}"\n')
    service.install(drop_in)
    service.start()
    service.happens("verified", bot="one")


def notes(service: Service) -> list[tuple[str, int]]:
    """Return what the bots have written down, and who."""
    lines = (service.folder / "notes.txt").read_text().splitlines()
    return [(what, int(pid)) for what, pid in (line.split() for line in lines)]


def steps(service: Service, *, ways: str = "") -> list[str]:
    """Return what the bots have written down; of a daemon's word, nobody knows when it comes."""
    found = [what for what, _ in notes(service)]
    assert ("daemon" in found) == ("daemon" in ways)
    return [what for what in found if what != "daemon"]


def sweeping(service: Service) -> bool:
    """Return whether somebody waits for the bots to end: by their pidfds, so the sweep."""
    fds = [f"/proc/{pid}/fd" for pid in service.manager.processes(service.unit)]
    return "pidfd" in service.manager.run("find", *fds, "-printf", "%l\n", check=False).stdout


@pytest.mark.parametrize(("ways", "user"), WAYS)
def test_a_stop_leaves_nothing(service: Service, ways: str, user: str) -> None:
    """Nobody who is deaf, and nobody who has left his parents."""
    started(service, ways, stop_timeout_s=0.5, user=user)
    service.stop()
    assert steps(service, ways=ways)[:2] == ["started", "asked"]
    assert service.fact("Result") == "success"
    assert "swept" not in service.said()


@pytest.mark.parametrize(("ways", "user"), WAYS)
def test_after_a_kill_nobody_of_before_is_there(service: Service, ways: str, user: str) -> None:
    """A new supervisor starts, and meets nobody: the sweep came before it, whosoever they are."""
    started(service, ways, stop_timeout_s=0.5, drop_in="RestartSec=100ms\n", user=user)
    before = service.manager.processes(service.unit)
    service.kill("KILL")
    service.happens("verified", 2, bot="one")
    assert not set(before) & set(service.manager.processes(service.unit))
    assert not service.events("evicted")
    assert steps(service, ways=ways)[:2] == ["started", "asked"]
    service.stop()


def test_after_a_kill_a_bot_has_its_time_to_end(service: Service) -> None:
    """It is asked once and nobody presses it; the next one starts when it is gone."""
    started(service, "late", stop_timeout_s=60, drop_in="RestartSec=100ms\n")
    service.kill("KILL")
    until(lambda: steps(service) == ["started", "asked"], "asked")
    until(lambda: service.state == "deactivating", "deactivating")
    until(lambda: sweeping(service), "swept")
    (service.folder / "go").touch()
    service.happens("verified", 2, bot="one")
    assert steps(service) == ["started", "asked", "ended", "started"]
    service.stop()


def test_a_stop_of_a_supervisor_that_hangs_leaves_nothing(service: Service) -> None:
    """Systemd kills it when its time is over; its bots are asked by the kernel, and then swept."""
    program = f"{PYTHON} -m tests.systemd.bots.hanging --config {service.here}/config.toml run"
    lines = f"TimeoutStopSec=3\nExecStart=\nExecStart={program}\n"
    started(service, "daemon", stop_timeout_s=0.5, drop_in=lines)
    service.kill("USR2")
    service.stop("failed")
    assert steps(service, ways="daemon") == ["started", "asked", "ended"]


def test_a_bot_that_is_slow_to_start_and_to_end_is_waited_for(service: Service) -> None:
    """The bot's own timeouts hold: the manager's are put off for as long as the loop turns."""
    lines = "TimeoutStartSec=3\nTimeoutStopSec=3\n"
    started(service, "slow", stop_timeout_s=60, drop_in=lines)
    service.stop()
    assert steps(service) == ["started", "asked", "ended"]
    assert service.fact("Result") == "success"
    assert service.fact("NRestarts") == "0"


def test_without_the_sweep_somebody_would_be_left(service: Service) -> None:
    """What it is for (and that these tests would see it)."""
    lines = "ExecStopPost=\nRestart=no\n"
    started(service, "daemon deaf", stop_timeout_s=0.5, drop_in=lines)
    service.kill("KILL")
    until(lambda: service.state == "failed", "failed")
    left = service.manager.processes(service.unit)
    assert {pid for what, pid in notes(service) if what != "asked"} <= set(left)
    service.manager.run("kill", "-KILL", *map(str, left))
    until(lambda: not service.manager.processes(service.unit), "gone")
