"""The command that stands in for the phone: whatever it does, the code stays a secret."""

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from supervisor.config import BotConfig, Config
from supervisor.core.errors import SupervisorError
from supervisor.presets.choose import load
from supervisor.verify import pairing
from supervisor.verify.watched import Watched

PAYLOAD = "2@" + "".join(f"{number:04x}" for number in range(100)) + ",key=="
CONFIG = """
[bot.one]
command = ["python", "bot.py"]
session = "1"
[bot.one.verify]
isolated = true
pair = [{python!r}, "phone.py"]
"""


class _Asked:
    """A supervisor that has a code to be scanned."""

    client: "_Asked"

    def __init__(self) -> None:
        self.client = self

    def stream(self, _what: str, **_with: object) -> Iterator[dict[str, Any]]:
        yield {"qr": PAYLOAD}


def phone(folder: Path, program: str) -> pairing.ByCommand:
    """Return the pairing by a program that has the code in `payload`."""
    text = f"import subprocess, sys\npayload = sys.stdin.read()\n{program}\n"
    (folder / "phone.py").write_text(text)
    (folder / "config.toml").write_text(CONFIG.format(python=sys.executable))
    config: Config = load(folder / "config.toml")
    one: BotConfig = config.bots["one"]
    return pairing.ByCommand(config, one)


def scan(by: pairing.ByCommand) -> None:
    """Have it scan."""
    by.scan(cast("Watched", _Asked()), "one")


@pytest.mark.parametrize(
    "said",
    ["payload", "'no: ' + payload[:150]", "'x ' * 90 + payload"],
)
def test_its_last_words_hold_no_code(tmp_path: Path, said: str) -> None:
    """Whole, quoted or in part, however long: nobody can scan it from an error."""
    with pytest.raises(SupervisorError) as caught:
        scan(phone(tmp_path, f"sys.exit({said})"))
    told = f"{caught.value.message} {caught.value.hint}"
    assert "failed with status 1" in told
    assert not any(PAYLOAD[at : at + 8] in told for at in range(len(PAYLOAD) - 7))


def test_its_last_words_are_told(tmp_path: Path) -> None:
    """They are the reason."""
    with pytest.raises(SupervisorError, match="failed with status 1: no phone is connected"):
        scan(phone(tmp_path, "sys.exit('no phone is connected')"))


def test_without_a_code_it_is_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bot may ask for a number, and show no code at all: that stream says nothing, for ever."""
    monkeypatch.setattr(pairing, "CODE_S", 0.05)
    end = threading.Event()

    def stream(_self: _Asked, _what: str, **_with: object) -> Iterator[dict[str, Any]]:
        end.wait(30)
        yield {}

    monkeypatch.setattr(_Asked, "stream", stream)
    try:
        with pytest.raises(SupervisorError, match="failed with status 1: asked by ''"):
            scan(phone(tmp_path, "sys.exit(f'asked by {payload!r}')"))
    finally:
        end.set()


def test_what_it_leaves_running_does_not_keep_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that goes on holds all that it inherited open; the command itself has ended."""
    monkeypatch.setattr(pairing, "COMMAND_S", 5.0)
    os.mkfifo(tmp_path / "goes-on")
    end = os.open(tmp_path / "goes-on", os.O_RDWR)
    try:
        helper = "[sys.executable, '-c', 'open(\"goes-on\").read()']"
        scan(phone(tmp_path, f"subprocess.Popen({helper}); import os; os._exit(0)"))
    finally:
        os.close(end)


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of its group, also where one of them holds its output open."""
    monkeypatch.setattr(pairing, "COMMAND_S", 0.3)
    waits = "[sys.executable, '-c', 'import signal; signal.pause()']"
    hangs = f"left = subprocess.Popen({waits}); open('pids', 'w').write(str(left.pid)); left.wait()"
    with pytest.raises(SupervisorError, match="did not end within"):
        scan(phone(tmp_path, hangs))
    pids = tmp_path / "pids"  # on a loaded machine it is ended before it has written that
    if pids.exists() and (pid := pids.read_text()):
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(int(pid))
            assert select.select([pidfd], [], [], 10)[0], "it was not ended"
            os.close(pidfd)
