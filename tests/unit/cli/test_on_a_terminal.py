"""Commands that talk with a person, on a real terminal: the QR code, consent, Ctrl-C."""

import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.control import paths
from supervisor.session.manager import SessionManager
from tests.unit.cli.terminal import BASH, Terminal
from tests.unit.control.fake_runner import running

pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash, for job control")
CONFIG = '[bot.echo]\ncommand = ["python", "bot.py"]\n'


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return a short runtime directory; the folder has a config."""
    (tmp_path / "config.toml").write_text(CONFIG)
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield short


def stillhere(command: str) -> str:
    """Return the line that runs a command and shows its exit code."""
    return f"{shlex.quote(sys.executable)} -m supervisor {command}; echo code=$?\n"


@pytest.mark.parametrize("colours", [True, False])
def test_link_draws_until_it_is_scanned(
    colours: bool,  # noqa: FBT001 - a parametrized fact
    tmp_path: Path,
    runtime: str,
) -> None:
    """Each code replaces the one before; the payload is never shown as text."""
    environ = {"XDG_RUNTIME_DIR": runtime} | ({} if colours else {"NO_COLOR": "1"})
    with running(paths.socket_path(tmp_path / "config.toml"), alive_s=0.05) as server:
        codes: list[dict[str, Any]] = [{"qr": "SECRET-1", "ttl_s": 20}, {"qr": "SECRET-2"}]
        server.fake.items["link"] = [*codes, {"linked": "d1"}]
        with Terminal(tmp_path, **environ) as terminal:
            terminal.send(stillhere("link"))
            terminal.wait("(valid for 20 s)")
            came = terminal.wait("linked: device d1")
            # Up over the first code and its note, which are wiped.
            assert "\x1b[16A\r\x1b[J" in came
            terminal.wait("code=0")
            assert ("\x1b[97;40m" in terminal.seen) is colours
            assert "SECRET" not in terminal.seen


def test_clear_asks_on_a_terminal(tmp_path: Path, runtime: str) -> None:
    """No (also by default) changes nothing, exit code 1; yes does it."""
    live = tmp_path / "sessions" / "session-echo"
    live.mkdir(parents=True)
    (live / "creds.json").write_text("{}")
    state = tmp_path / "session-state.json"
    SessionManager(tmp_path / "sessions", tmp_path / ".session-cache", state).backup("echo")
    with Terminal(tmp_path, XDG_RUNTIME_DIR=runtime) as terminal:
        terminal.send(stillhere("session clear"))
        terminal.wait("[y/N]")
        terminal.send("\n")
        terminal.wait("nothing was changed")
        terminal.wait("code=1")
        assert live.exists()
        terminal.send(stillhere("session clear"))
        terminal.wait("[y/N]")
        terminal.send("y\n")
        terminal.wait("session echo cleared")
        terminal.wait("code=0")
        assert not live.exists()


def test_ctrl_c_ends_a_follower_quietly(tmp_path: Path, runtime: str) -> None:
    """`logs -f` and Ctrl-C: exit code 130 and no traceback; the supervisor learns of it."""
    with (
        running(paths.socket_path(tmp_path / "config.toml"), alive_s=0.05) as server,
        Terminal(tmp_path, XDG_RUNTIME_DIR=runtime) as terminal,
    ):
        terminal.send(stillhere("logs -f --json"))
        terminal.wait('{"n": 1}')
        terminal.send("\x03")
        terminal.wait("code=130")
        assert "Traceback" not in terminal.seen
        assert server.fake.closed.wait(5)
