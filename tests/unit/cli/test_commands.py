"""The commands against a real control socket, and without one: output and exit codes."""

import errno
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from supervisor.cli import main as main_module
from supervisor.cli.main import cli, execute
from supervisor.control import paths
from supervisor.control.journal import Journal
from tests.unit.control.fake_runner import Running, running

CONFIG = '[bot.echo]\ncommand = ["python", "bot.py"]\nsession = "971505760056"\n'
Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with a config, which is the current one."""
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    # Socket paths are short, pytest's folders are not.
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        monkeypatch.setenv("TMPDIR", short)
        yield tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[Running]:
    """Return a supervisor that runs for the config."""
    with running(paths.socket_path(folder / "config.toml"), alive_s=0.05) as found:
        found.fake.results["status"] = STATUS
        yield found


RECORD: dict[str, Any] = {
    "reason": "change",
    "save_to_ready_s": 0.31,
    "gap_s": 0.07,
    "proof": "roundtrip",
    "verified": True,
}
STATUS: dict[str, Any] = {
    "supervisor": {"pid": 812, "version": "0.1.0", "uptime_s": 200.0},
    "bots": {
        "echo": {
            "phase": "UP",
            "pid": 900,
            "generation": 4,
            "restarts": 3,
            "session": {"id": "971505760056", "state": "linked", "identity": "d1", "epoch": 1},
            "last_restart": RECORD,
        }
    },
}


@pytest.mark.usefixtures("server")
def test_status_for_a_person(capsys: Out) -> None:
    """A head line and a table."""
    assert execute(["status"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "stillhere 0.1.0, pid 812, up 3 min"
    head = ["BOT", "PHASE", "PID", "GENERATION", "RESTARTS", "SESSION", "STATE", "DEVICE", "LAST"]
    assert out[1].split() == head
    assert out[2].startswith("echo  UP     900  4           3         971505760056  linked  d1")
    assert out[2].endswith("change, 0.31 s, offline 0.07 s, roundtrip")


def test_status_tells_what_a_spare_costs(server: Running, capsys: Out) -> None:
    """Its process, what it has loaded, and its memory."""
    spare = {"pid": 901, "modules": 114, "pss_bytes": 17 << 20}
    server.fake.results["status"] = {"bots": {"echo": {**STATUS["bots"]["echo"], "spare": spare}}}
    assert execute(["status"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "echo: a warm spare waits (pid 901, 114 modules, 17.0 MB)"


def test_status_as_json_and_a_failed_bot(server: Running, capsys: Out) -> None:
    """The JSON is what the supervisor says, whole; a bot in FAILED is exit code 3."""
    assert execute(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS
    failed = {**STATUS["bots"]["echo"], "phase": "FAILED"}
    server.fake.results["status"] = {**STATUS, "bots": {"echo": failed}}
    assert execute(["status"]) == 3
    assert execute(["status", "--json"]) == 3


def test_status_without_a_supervisor(capsys: Out) -> None:
    """It is said, exit code 1; the JSON keeps its shape."""
    assert execute(["status"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: no supervisor is running for ")
    assert "hint: start one: stillhere dev, or stillhere run" in err
    assert execute(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"supervisor": None, "bots": {}}


@pytest.mark.parametrize("command", ["stop", "pause", "resume"])
def test_orders_to_bots(command: str, server: Running, capsys: Out) -> None:
    """BOT, or all; a refusal of the supervisor is error and hint, exit code 1."""
    server.fake.results[command] = {"done": True}
    assert execute([command]) == 0
    assert execute([command, "echo", "--json"]) == 0
    assert server.fake.asked == [(command, {"bot": None}), (command, {"bot": "echo"})]
    assert capsys.readouterr().out.endswith(': all bots\n{\n  "done": true\n}\n')
    if command == "stop":
        del server.fake.results[command]
        assert execute([command, "x"]) == 1
        assert capsys.readouterr().err == "error: there is no bot 'x'\nhint: the bots: echo\n"


def test_events_of_a_running_supervisor(server: Running, capsys: Out) -> None:
    """As JSON one object a line, as they are; else as the console says them."""
    told = {"t": "2026-11-24T22:00:00.000Z", "bot": "echo", "event": "late", "generation": 2}
    server.fake.items["events"] = [told, told]
    assert execute(["events", "--json", "-f", "echo"]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [told, told]
    assert server.fake.asked == [("events", {"bot": "echo", "follow": True})]
    assert execute(["events"]) == 0
    shown = capsys.readouterr()
    assert "  echo: late: not verified in time" in shown.out
    assert shown.err == ""


def test_events_of_files_whose_names_are_no_text(folder: Path, capsys: Out) -> None:
    """And a time that is in no year here: each is told, and the JSON says the same bytes."""
    path = folder / ".session-cache" / ".events.jsonl"
    journal = Journal(path)
    changed = journal.append("echo", "changed", paths=[os.fsdecode(b"caf\xe9.py")])
    journal.close()
    with path.open("a") as file:
        file.write('{"t": "0001-01-01T00:00:00+23:59", "bot": null, "event": "down"}\n')
    assert execute(["events"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "-  stopped"
    assert execute(["events", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == changed


def test_events_without_a_supervisor(folder: Path, capsys: Out) -> None:
    """They are read from the journal's file; following says that there is nobody to follow."""
    journal = Journal(folder / ".session-cache" / ".events.jsonl")
    journal.append("echo", "offline")
    journal.append("other", "late", generation=1)
    assert execute(["events", "--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["event"] for line in out] == ["offline", "late"]
    assert execute(["events", "echo", "-f"]) == 1
    shown = capsys.readouterr()
    assert "echo: offline" in shown.out
    assert "late" not in shown.out
    assert "these events are all there is" in shown.err


def test_logs(server: Running, capsys: Out) -> None:
    """The bot's lines, with its name if it is not asked for; how many is passed on."""
    lines: list[dict[str, Any]] = [{"bot": "echo", "stream": "stdout", "line": "hello\n"}]
    server.fake.items["logs"] = [*lines, {"bot": None, "event": "lost", "count": 3}]
    assert execute(["logs", "-n", "7"]) == 0
    assert capsys.readouterr().out == "echo | hello\n(3 lines were too many to show)\n"
    assert server.fake.asked == [("logs", {"bot": None, "follow": False, "lines": 7})]
    assert execute(["logs", "echo"]) == 0
    assert capsys.readouterr().out.startswith("hello\n")


@pytest.mark.parametrize("command", ["logs", "events"])
def test_who_follows_is_told_that_nothing_follows(
    server: Running, capsys: Out, command: str
) -> None:
    """The supervisor has ended, or become another one by an upgrade: silence would look alike."""
    server.fake.items[command] = []
    assert execute([command, "-f"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "to see more, ask again" in shown.err


def test_logs_without_a_supervisor(capsys: Out) -> None:
    """They live in the supervisor's memory: without one, that is said."""
    assert execute(["logs"]) == 1
    assert "no supervisor is running" in capsys.readouterr().err


def test_logs_from_files(folder: Path, capsys: Out) -> None:
    """Of the bots of the config; that nothing follows, or that there is no such bot, is said."""
    with (folder / "config.toml").open("a") as file:
        file.write('[logs]\nfolder = "logs"\n')
    (folder / "logs").mkdir()
    for name in ("logs/echo.log", "other.log"):
        (folder / name).write_text("2026-11-24T22:00:00.000Z out hello\n")
    assert execute(["logs", "echo"]) == 0
    assert capsys.readouterr() == ("hello\n", "")
    assert execute(["logs", "-f"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "echo | hello\n"
    assert "these lines are all there is" in shown.err
    for name in ("other", "../other"):
        assert execute(["logs", name]) == 1
        assert capsys.readouterr() == ("", f"error: there is no bot {name!r}\nhint: one of echo\n")


def test_link_into_a_pipe(server: Running, capsys: Out) -> None:
    """Without a terminal only --json gives the payload, since it was asked for by name."""
    server.fake.items["link"] = [{"qr": "SECRET", "ttl_s": 20}, {"linked": "d1"}]
    assert execute(["link"]) == 1
    shown = capsys.readouterr()
    assert "SECRET" not in shown.out + shown.err
    assert "--json" in shown.err
    assert execute(["link", "echo", "--json"]) == 0
    out = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert out == [{"qr": "SECRET", "ttl_s": 20}, {"linked": "d1"}]
    server.fake.items["link"] = []
    assert execute(["link", "--json"]) == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["sttus"], "No such command"),
        (["status", "--no"], "No such option"),
        (["logs", "-n", "x"], "not a valid integer"),
        (["status", "--config", "missing.toml"], "no such file"),
        (["--config", "missing.toml", "status"], "no such file"),
        (["dev", "nobody"], "there is no bot 'nobody'"),
        (["run", "nobody"], "there is no bot 'nobody'"),
        (["dev", "--"], "there is no command behind --"),
        (["session", "info", "nobody"], "there is no session 'nobody'"),
    ],
)
def test_usage_and_config_errors_are_exit_code_2(args: list[str], says: str, capsys: Out) -> None:
    """One error line, one hint, no traceback."""
    assert execute(args) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert all(line.startswith(("error: ", "hint: ")) for line in shown.err.splitlines())
    assert shown.out == ""


def test_all_config_errors_at_once(folder: Path, capsys: Out) -> None:
    """Each problem has its own error line."""
    (folder / "config.toml").write_text('[bot.echo]\ncommand = 3\nwach = ["x"]\n')
    assert execute(["dev"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert len([line for line in err if line.startswith("error: ")]) >= 2


@pytest.mark.parametrize("args", [["status"], ["dev"], ["session", "list"], ["events"]])
def test_no_config_at_all(args: list[str], folder: Path, capsys: Out) -> None:
    """What to do without one is said."""
    (folder / "config.toml").unlink()
    assert execute(args) == 2
    assert "no config.toml here or above" in capsys.readouterr().err


def test_a_supervisor_without_a_config_file_is_found(folder: Path, capsys: Out) -> None:
    """After `dev -- COMMAND` the commands work in the same folder."""
    (folder / "config.toml").unlink()
    with running(paths.socket_path(folder / "config.toml"), alive_s=0.05) as found:
        found.fake.results["status"] = STATUS
        assert execute(["status", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == STATUS


def test_a_config_above_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """In a sub-folder the nearest config above counts, and --config wins."""
    (folder / "sub").mkdir()
    monkeypatch.chdir(folder / "sub")
    assert execute(["status"]) == 1
    assert str(folder / "config.toml") in capsys.readouterr().err
    (folder / "other.toml").write_text(CONFIG)
    for args in (
        ["status", "--config", "../other.toml"],
        ["--config", "../other.toml", "status"],
    ):
        assert execute(args) == 1
        assert "other.toml" in capsys.readouterr().err


def test_a_supervisor_that_hangs_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    """Bounded, with its pid."""
    path = paths.socket_path(folder / "config.toml")
    paths.prepare(path.parent)
    monkeypatch.setattr("supervisor.control.client.PATIENCE_S", 0.05)
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen()
        assert execute(["status"]) == 1
    assert f"the supervisor (pid {os.getpid()}) does not answer" in capsys.readouterr().err


def test_help_and_version_import_no_command(capsys: Out) -> None:
    """Every command is listed; with click's own runner, too."""
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in main_module.COMMANDS)
    for name in main_module.COMMANDS:
        assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out.startswith("stillhere ")


def _python(code: str, *, cwd: Path) -> "subprocess.CompletedProcess[str]":
    root = str(Path(__file__).resolve().parents[3])
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_status_starts_light(folder: Path) -> None:
    """`status` imports nothing heavy: it is what a monitoring loop calls."""
    done = _python(
        "import sys\nfrom supervisor.cli.main import execute\nexecute(['status'])\n"
        "print([m for m in ('watchfiles','rich','segno','loguru','asyncio','psutil','hashlib',"
        "'supervisor.config','supervisor.session.manager') if m in sys.modules])",
        cwd=folder,
    )
    assert done.stdout == "[]\n"


def test_a_broken_pipe_ends_quietly(folder: Path) -> None:
    """`stillhere events | head` complains of nothing."""
    journal = Journal(folder / ".session-cache" / ".events.jsonl")
    for _ in range(2000):
        journal.append("echo", "offline")
    root = str(Path(__file__).resolve().parents[3])
    with subprocess.Popen(
        [sys.executable, "-m", "supervisor", "events"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 130


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    """Exit code 130 and not a word."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module.cli, "main", interrupted)
    assert execute(["status"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS])
def test_what_the_machine_lacks_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: Out, number: int
) -> None:
    """Also where no path is known: it is said, with what to do."""

    def lacks(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(main_module.cli, "main", lacks)
    assert execute(["status"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == f"error: {os.strerror(number)}"
    assert hint.startswith("hint: ")
    assert "bug" not in hint


def test_a_bug_is_one_line_and_a_private_file(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    """The traceback is kept, not shown."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(main_module.cli, "main", broken)
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert execute(["status"]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: unexpected: ZeroDivisionError: a bug of ours"
    path = Path(hint.split()[-1])
    assert "Traceback" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
