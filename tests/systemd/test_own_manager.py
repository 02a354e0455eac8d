"""The unit for a person's own systemd: no root, no namespaces, and the same promises."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.conftest import CODE, PYTHON, USER, Service
from tests.systemd.manager import Manager

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("systemd")]


class Person:
    """A user inside, with a systemd of their own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.manager: Manager = service.manager
        uid = self.manager.run("id", "-u", USER).stdout.strip()
        self.place = f"/run/user/{uid}"
        self.home = f"{service.here}/home"
        (service.folder / "home").mkdir()
        service.give()
        self.manager.run("install", "-d", "-m", "700", "-o", USER, self.place)
        # The Python that runs the tests may lie in a home, which is closed to others.
        for folder in Path(sys.base_prefix).resolve().parents:
            self.manager.run("chmod", "o+x", str(folder))
        words = ["--unit", f"{service.name}-own", "--uid", USER, "--property", "Delegate=yes"]
        env = [f"--setenv={pair}" for pair in self.variables()]
        program = ["/lib/systemd/systemd", "--user"]
        self.manager.run("systemd-run", "--property", "Type=notify", *words, *env, *program)

    def variables(self) -> list[str]:
        """Return what a login would have set."""
        return [f"XDG_RUNTIME_DIR={self.place}", f"HOME={self.home}", f"PYTHONPATH={CODE}"]

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command as this person, in the project."""
        who = ["setpriv", "--reuid", USER, "--regid", USER, "--init-groups"]
        words = (*who, "env", *self.variables(), *words)
        return self.manager.run(*words, here=self.service.here, check=check).stdout


@pytest.fixture
def person(service: Service) -> Iterator[Person]:
    """Return one, whose systemd ends with the test."""
    yield Person(service)
    service.manager.run("systemctl", "stop", f"{service.name}-own")


def test_it_runs_under_a_person_s_own_systemd(service: Service, person: Person) -> None:
    """Installed, ready at the QR code, linked; a kill brings it back, a stop leaves nothing."""
    install = ["supervisor", "systemd", "install", "--user", "--name", service.name]
    person.run(str(PYTHON), "-m", *install)
    person.run("systemctl", "--user", "daemon-reload")
    person.run("systemctl", "--user", "start", service.unit)
    assert service.events("pairing", bot="echo")
    person.run(str(PYTHON), "-m", "bot.phone", "scan")
    service.happens("snapshot_taken", bot="echo")
    before = service.device()
    person.run("systemctl", "--user", "kill", "--kill-who=main", "--signal=KILL", service.unit)
    service.happens("supervisor_started", 2)
    assert service.happens("restarted", 2, bot="echo")["record"]["proof"] == "roundtrip"
    assert service.device() == before
    asked = ["show", "--property=ControlGroup", "--value", service.unit]
    group = person.run("systemctl", "--user", *asked).strip()
    assert service.name in group
    procs = f"/sys/fs/cgroup{group}/cgroup.procs"
    assert service.manager.run("cat", procs).stdout
    person.run("systemctl", "--user", "stop", service.unit)
    assert not service.manager.run("cat", procs, check=False).stdout
    state = person.run("systemctl", "--user", "is-active", service.unit, check=False)
    assert state.strip() == "inactive"
