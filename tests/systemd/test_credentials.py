"""A secret reaches the bot that needs it by systemd's LoadCredential=, and nobody else."""

import shutil
from pathlib import Path

import pytest

from tests.systemd.conftest import USER, Service

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("systemd")]

WORDS = "12345:ofsomebody"
CONFIG = """
[systemd]
credentials = { token = "/etc/NAME.token" }

[bot.one]
command = ["python", "secret.py"]
session = false
ready = { log = "has " }
"""


def given(service: Service, rest: str = "") -> str:
    """Make it a project of the bot that reads a secret; return where that will be inside."""
    secret = f"/etc/{service.name}.token"
    write = 'umask 077; printf %s "$1" > "$2"'
    service.manager.run("sh", "-c", write, "sh", WORDS, secret)
    service.write("config.toml", CONFIG.replace("NAME", service.name) + rest)
    shutil.copy(Path(__file__).with_name("bots") / "secret.py", service.folder)
    return f"/run/credentials/{service.unit}/token"


def test_a_bot_reads_its_credential_and_nobody_else_does(service: Service) -> None:
    """The file is root's; the bot has it in a place that is its alone, and nothing tells it."""
    place = given(service)
    service.give()
    service.install("", "--as", USER)
    service.start()
    service.happens("verified", bot="one")
    assert f"has {len(WORDS)} letters of {place} -r--" in service.said("one")

    for who, may in ((USER, True), ("nobody", False)):
        words = ["setpriv", "--reuid", who, "--clear-groups", "cat", place]
        assert (service.manager.run(*words, check=False).stdout == WORDS) == may
    everything = [
        service.manager.run("systemctl", "cat", service.unit).stdout,
        service.manager.run("systemctl", "show", service.unit).stdout,
        service.manager.run("journalctl", "-o", "json").stdout,
        service.python("supervisor", "status", "--json"),
    ]
    assert not any(WORDS in text for text in everything)
    service.stop()
    assert service.manager.run("test", "-e", place, check=False).returncode


def test_a_bot_with_a_user_of_its_own_reads_none(service: Service) -> None:
    """Credentials are for the service's user: such a bot is not to be trusted with them."""
    given(service, f'user = "{USER}"\n[bot.one.restart]\nintensity = [1, 60]\n')
    service.install()
    service.start()
    service.happens("failed", bot="one")
    assert "PermissionError" in service.said("one")
