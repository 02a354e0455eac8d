"""The doctor in a real systemd: what that says of our unit, and what helps."""

import json
from typing import Any

import pytest

from tests.systemd.conftest import Service

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("systemd")]  # one boot for all of them


def _unit(service: Service) -> list[dict[str, Any]]:
    """Return what the doctor has to say of the unit."""
    told = json.loads(service.python("supervisor", "doctor", "--json", check=False))
    return [each for each in told["findings"] if each["check"] == "unit" and each["commands"]]


def _typed(service: Service, command: str) -> None:
    service.manager.run("sh", "-ec", command.replace("sudo ", ""))


def test_a_unit_that_systemd_has_not_read(service: Service) -> None:
    """Enabled, changed, read again: each time the doctor says what is still to be done."""
    service.install()
    (found,) = _unit(service)
    assert (found["severity"], "does not start with the machine" in found["seen"]) == ("note", True)
    _typed(service, found["commands"][0])
    assert _unit(service) == []

    config = (service.folder / "config.toml").read_text()
    service.write("config.toml", f"{config}stop_timeout_s = 33\n")
    (found,) = _unit(service)
    assert "the config has changed since" in found["seen"]
    service.python("supervisor", "systemd", "install", "--name", service.name)
    (found,) = _unit(service)
    assert "systemd has not read it" in found["seen"]
    _typed(service, found["commands"][0])
    assert _unit(service) == []
