"""`stillhere alert`: what is set, and whether a message arrives; no supervisor is needed."""

import json
from pathlib import Path

import pytest

from supervisor.cli.main import execute
from tests.unit.service.hookkit import TOKEN, hooks

BOT = '[bot.echo]\ncommand = ["true"]\n'
HOOK = ["/bin/sh", "-c", f"echo $STILLHERE_ALERT: {TOKEN}"]
Out = pytest.CaptureFixture[str]


def configured(monkeypatch: pytest.MonkeyPatch, folder: Path, alerts: str) -> None:
    """Make a folder with a config, which is the current one."""
    (folder / "config.toml").write_text(f"[alerts]\n{alerts}\n{BOT}")
    monkeypatch.chdir(folder)


def test_what_is_set_is_shown_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """Of the command the program alone, as the rest may hold a token; of the URL nothing."""
    text = f'command = {json.dumps(HOOK)}\nwebhook = "https://hooks.example/{TOKEN}"'
    configured(monkeypatch, tmp_path, text)
    assert execute(["alert"]) == 0
    assert capsys.readouterr().out == "command: /bin/sh\nwebhook: a URL that is not shown\n"
    assert execute(["alert", "--json"]) == 0
    assert TOKEN not in capsys.readouterr().out


def test_a_test_alert_is_sent_by_each_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """What came of it is said; one that does not arrive is exit code 1, and names no URL."""
    with hooks() as server:
        configured(monkeypatch, tmp_path, f'command = ["true"]\nwebhook = "{server.url}"')
        assert execute(["alert", "--test"]) == 0
        assert capsys.readouterr().out == "command: sent\nwebhook: sent\n"
        told = server.wait("test", "open")
        assert (told["bot"], told["severity"]) == ("stillhere", "info")
    assert execute(["alert", "--test"]) == 1  # nobody listens there any more
    out = capsys.readouterr().out
    why = "it could not be reached: Connection refused"
    assert out == f"command: sent\nwebhook: not sent: {why}\n"
    assert execute(["alert", "--test", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["webhook"] == {"ok": False, "why": why, "said": ""}


def test_what_the_command_says_is_shown_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """Whoever tries it out wants to know; a terminal is not to be played with."""
    script = ["/bin/sh", "-c", "printf 'no \\033[31mway'; exit 1"]
    configured(monkeypatch, tmp_path, f"command = {json.dumps(script)}")
    assert execute(["alert", "--test"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("command: not sent: it ended with exit status 1\n  it said: no ")
    assert "\033" not in out


def test_the_masks_hold_here_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """What the config calls a secret is blotted out of what a command says."""
    configured(monkeypatch, tmp_path, f"command = {json.dumps(HOOK)}")
    with (tmp_path / "config.toml").open("a") as config:
        config.write('[logs]\nmask = ["t0p-\\\\w+"]\n')
    assert execute(["alert", "--test"]) == 0
    assert capsys.readouterr().out == "command: sent\n  it said: test: [masked]\n"


def test_without_anybody_to_tell_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """And a test that tells nobody has failed."""
    configured(monkeypatch, tmp_path, "")
    assert execute(["alert"]) == 0
    assert capsys.readouterr().out == "nobody is told: set `command` or `webhook` in [alerts]\n"
    assert execute(["alert", "--test"]) == 1
