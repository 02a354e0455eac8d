"""The bots as a service of a real systemd, in the sandbox that their unit has."""

import json

import pytest

from tests.systemd.conftest import Service
from tests.systemd.manager import until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("systemd")]  # one boot for all of them


def test_a_killed_supervisor_loses_nothing_and_a_stop_leaves_nothing(service: Service) -> None:
    """SIGKILL: the bots get their SIGTERM, and the same device is back; a stop ends all."""
    before = service.link("RestartSec=100ms\n")
    killed = service.main_pid
    service.kill("KILL")
    service.happens("supervisor_started", 2)
    assert service.happens("restarted", 2, bot="echo")["record"]["proof"] == "roundtrip"
    assert service.answer() == "pong"
    assert service.device() == before
    assert service.main_pid not in (0, killed)
    assert not service.events("session_restored", action="restored")
    until(lambda: service.state == "active", "active again")
    service.stop()


def test_a_supervisor_that_hangs_is_ended_and_started_again(service: Service) -> None:
    """The watchdog's pings stop with the loop; what follows is as after a kill."""
    before = service.link("RestartSec=100ms\nWatchdogSec=2\n")
    service.kill("STOP")
    service.happens("supervisor_started", 2)
    service.happens("restarted", 2, bot="echo")
    assert service.answer() == "pong"
    assert service.device() == before


def test_a_reload_and_an_upgrade_are_none_of_the_bots_business(service: Service) -> None:
    """Both by systemd's own means; the unit stays active, and the bots keep their processes."""
    service.link()
    before, main = service.bot_pid(), service.main_pid
    service.manager.run("systemctl", "reload", service.unit)
    service.happens("reloaded")
    service.python("supervisor", "upgrade")
    service.happens("upgraded")
    until(lambda: service.state == "active", "active")
    assert (service.main_pid, service.bot_pid()) == (main, before)
    assert service.answer() == "pong"
    assert service.fact("NRestarts") == "0"

    # The journal has it with its fields, and each time once.
    unit = f"_SYSTEMD_UNIT={service.unit}"
    said = service.manager.run("journalctl", "-o", "json", unit, "STILLHERE_EVENT=upgraded").stdout
    (entry,) = [json.loads(line) for line in said.splitlines()]
    assert (entry["SYSLOG_IDENTIFIER"], entry["PRIORITY"]) == ("stillhere", "6")
    assert not entry["MESSAGE"][:4].isdigit()
    said = service.manager.run("journalctl", "-o", "json", unit, "STILLHERE_BOT=echo").stdout
    assert any("STILLHERE_STREAM" in json.loads(line) for line in said.splitlines())


def test_a_config_that_is_wrong_is_not_tried_again(service: Service) -> None:
    """No new try would help: systemd leaves it at that."""
    service.install()
    (service.folder / "config.toml").write_text("[bot.x\n")
    assert service.manager.run("systemctl", "start", service.unit, check=False).returncode
    assert service.fact("ExecMainStatus") == "2"
    assert service.fact("NRestarts") == "0"
