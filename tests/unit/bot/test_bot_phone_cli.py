"""The phone on the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.unit.bot.botkit import PATIENCE_S, World, world


@pytest.fixture
def here() -> Iterator[World]:
    """Make a world with nothing running."""
    with world() as made:
        yield made


def phone(here: World, *args: str, say: str = "") -> tuple[int, str, str]:
    """Run a command of the phone; return status, output, errors."""
    done = subprocess.run(
        [sys.executable, "-m", "bot.phone", *args],
        cwd=here.folder,
        env=here.env(),
        input=say,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_without_a_server_it_says_what_to_do(here: World) -> None:
    """No server: one line what, one line what to do, exit status 1, no traceback."""
    status, _, errors = phone(here, "send", "!ping")
    assert (status, errors) == (1, "the chat server is not running\nstart it: make dev\n")


def test_a_whole_story(here: World) -> None:
    """Scan from the screen, send, chat, list, remove: as the README tells it."""
    here.server()
    assert "no bot is linked" in phone(here, "send", "!ping")[2]
    assert "no bot is linked" in phone(here, "devices")[1]
    bot = here.bot()
    status, output, _ = phone(here, "scan")
    assert status == 0
    assert "linked: 971505760056.1" in output
    assert phone(here, "send", "!ping")[:2] == (0, "pong\n")
    answer = json.loads(phone(here, "send", "--json", "!ping")[1])
    assert answer["answer"] == "pong"
    assert "bot> pong" in phone(here, "chat", say="!ping\n")[1]
    [device] = json.loads(phone(here, "devices", "--json")[1])
    assert (device["id"], device["online"]) == ("971505760056.1", True)
    assert device["linked_at"].endswith("Z")
    assert bot.stop() == 0
    assert "offline, last seen" in phone(here, "devices")[1]
    status, output, _ = phone(here, "send", "--wait", "0.1", "!ping")
    assert (status, output.startswith("sent; no answer within 0.1 s")) == (1, True)
    assert phone(here, "send", "--wait", "0", "!ping")[:2] == (0, "sent\n")
    assert phone(here, "remove")[1] == "removed: 971505760056.1\n"
    assert "no bot is linked" in phone(here, "remove")[2]


def test_what_nobody_asked_for_waits_for_the_chat(here: World) -> None:
    """`send` takes its own answer only: a reminder that comes meanwhile is left for `chat`."""
    here.server()
    here.linked()[0].close()
    assert phone(here, "send", "!remind 0s tea")[:2] == (0, "I will remind you in 0 s.\n")
    assert "bot> Reminder: tea" in phone(here, "chat", say="!ping\n")[1]


def test_a_strange_code_and_another_number_are_refused(here: World) -> None:
    """A text that is no code, and a number that is not this phone's: said in one line."""
    here.server()
    here.bot()
    assert "not the QR code" in phone(here, "scan", "nonsense")[2]
    assert "this phone has the number 971505760056" in phone(here, "devices", "--number", "1")[2]
