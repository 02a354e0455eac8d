"""`stillhere start` and `restart` wait for what comes of it, and their exit code says it."""

import json
import os
import pty
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli.main import execute
from supervisor.control import paths
from supervisor.core.limits import NO_SNAPSHOT
from tests.unit.control.fake_runner import Running, running

CONFIG = '[bot.echo]\ncommand = ["python", "bot.py"]\nsession = "971505760056"\n'
RECORD = {"save_to_ready_s": 0.31, "gap_s": 0.07, "proof": "roundtrip"}
READY = {"result": "ready", "why": "", "phase": "up", "record": RECORD}
Out = pytest.CaptureFixture[str]
both = pytest.mark.parametrize(
    ("command", "done"), [("start", "started"), ("restart", "restarted")]
)


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """Return a supervisor that runs for the config in the current folder."""
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        with running(paths.socket_path(tmp_path / "config.toml"), alive_s=0.05) as found:
            yield found


def ends(result: str, why: str = "", phase: str = "x") -> dict[str, Any]:
    """Return what a supervisor says of a bot that did not come up."""
    return {"result": result, "why": why, "phase": phase, "record": None}


@both
def test_it_waits_and_says_what_was_reached(
    command: str, done: str, server: Running, capsys: Out
) -> None:
    """How long it took, how long it was offline, and what is proved; as JSON the phases."""
    server.fake.results[command] = {"echo": READY}
    assert execute([command, "echo"]) == 0
    assert capsys.readouterr().out == f"{done}: echo: in 0.31 s, offline 0.07 s, roundtrip\n"
    assert execute([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"echo": "up"}
    asked = [{"bot": "echo", "wait": True}, {"bot": None, "wait": True}]
    assert server.fake.asked == [(command, args) for args in asked]


@both
def test_with_no_wait_it_promises_nothing(
    command: str, done: str, server: Running, capsys: Out
) -> None:
    """It was ordered: that it is done is not said."""
    server.fake.results[command] = {"echo": "preflight"}
    assert execute([command, "--no-wait"]) == 0
    out = capsys.readouterr().out
    assert out == f"{done.removesuffix('ed')}ing: all bots\n"
    assert execute([command, "--no-wait", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"echo": "preflight"}
    assert server.fake.asked == [(command, {"bot": None})] * 2


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ("failed", 3),
        *((each, 1) for each in ("pairing", "held", "offline", "backoff", "refused", "down")),
    ],
)
def test_what_is_not_reached_is_no_success(
    result: str, code: int, server: Running, capsys: Out
) -> None:
    """Error, reason and next step; FAILED is exit code 3, also among bots that are well."""
    server.fake.results["restart"] = {"echo": ends(result, "it is so"), "other": READY}
    assert execute(["restart"]) == code
    shown = capsys.readouterr()
    assert "restarted: other" in shown.out
    error, hint = shown.err.splitlines()
    wanted = "restarted" if result == "held" else "online"
    assert error.startswith(f"error: echo is not {wanted}: ")
    assert error.endswith(": it is so")
    assert hint.startswith("hint: ")


def test_without_a_snapshot_nobody_is_sent_to_the_code(server: Running, capsys: Out) -> None:
    """The disk is full, say: the code is well, and the events tell what is not."""
    for why, hint in (("it does not compile", "mend the code"), (NO_SNAPSHOT, "stillhere events")):
        server.fake.results["restart"] = {"echo": ends("held", why)}
        assert execute(["restart"]) == 1
        assert f"hint: {hint}" in capsys.readouterr().err


def test_a_bot_that_runs_is_not_said_to_be_started(server: Running, capsys: Out) -> None:
    """A start of what is up changes nothing, and that is no failure."""
    server.fake.results["start"] = {"echo": {**READY, "record": None}}
    assert execute(["start"]) == 0
    assert capsys.readouterr().out == "runs already: echo\n"


def test_what_goes_on_is_shown_on_a_terminal(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it waits, a person reads what happens; what came before is not repeated."""
    told = {"bot": "echo", "event": "late", "generation": 2}
    past = {**told, "t": "2000-01-01T00:00:00.000Z", "generation": 1}
    server.fake.items["events"] = [past, {**told, "t": "2999-01-01T00:00:00.000Z"}]
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream, os.fdopen(master, "rb", 0) as terminal:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        text = b""
        runs = threading.Thread(target=execute, args=(["restart", "echo"],))
        runs.start()
        while b"late" not in text:
            text += terminal.read(4096)
        server.fake.gate.set()
        runs.join(5)
        assert not runs.is_alive()
        assert text.count(b"late") == 1
