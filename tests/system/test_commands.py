"""Commands as people and scripts use them: what they print, and their exit codes."""

import json
import select
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from supervisor.config import load
from tests.commandline import differs
from tests.system.harness import PHONE, ROOT, WAIT_S, Folder, running

BOT = {"phase", "pid", "generation", "restarts", "session", "last_restart"}
SESSION = {"id", "state", "identity", "epoch"}
RECORD = {
    *("generation", "reason", "changed", "mode", "verified", "proof", "late"),
    *("save_to_ready_s", "gap_s", "detect_s", "quiet_s", "preflight_s", "standby_s"),
    *("checkpoint_s", "snapshot_s", "stop_s", "seal_s", "activate_s", "ready_s", "verify_s"),
}
BROKEN = """
[supervisor]
sesions = "here"

[bot.echo]
command = "python -m bot"
stop_timeout_s = "soon"

[bot.echo.snapshots]
keep_last = -1
"""


@contextmanager
def follower(folder: Folder, *args: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command that goes on until it is interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "supervisor", *args],
        cwd=folder.root,
        env=folder.environment(),
        stdout=subprocess.PIPE,
        bufsize=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def line_with(process: "subprocess.Popen[bytes]", wanted: Callable[[str], bool]) -> str:
    """Return the first line that is wanted."""
    assert process.stdout is not None
    seen: list[str] = []
    while select.select([process.stdout], [], [], WAIT_S)[0]:
        line = process.stdout.readline().decode()
        seen.append(line)
        if wanted(line):
            return line
        assert line, f"it ended: {seen}"
    raise AssertionError(f"nothing more came after {seen}")


def test_what_runs_and_what_happened(linked: Folder) -> None:
    """`status`, `events [-f]` and `logs [-f]`, for people and as JSON, while it runs and after."""
    with running(linked) as supervisor:
        supervisor.restarted(0)
        found = linked.json("status")
        assert set(found) == {"supervisor", "bots"}
        assert set(found["supervisor"]) >= {"pid", "version", "uptime_s"}
        assert found["supervisor"]["pid"] == supervisor.process.pid
        assert list(found["bots"]) == ["server", "echo"]
        echo, server = found["bots"]["echo"], found["bots"]["server"]
        assert set(echo) >= BOT
        assert set(server) >= BOT
        assert (server["phase"], server["session"]) == ("up", None)
        assert set(echo["session"]) >= SESSION
        assert (echo["session"]["id"], echo["session"]["state"]) == (PHONE, "restored")
        assert set(echo["last_restart"]) >= RECORD
        assert (echo["last_restart"]["reason"], echo["last_restart"]["mode"]) == ("start", "cold")
        assert (echo["phase"], echo["restarts"]) == ("up", 0)
        shown = linked.stillhere("status")
        assert (shown.returncode, echo["session"]["identity"] in shown.stdout) == (0, True)

        with (
            follower(linked, "events", "-f", "--json", "echo") as events,
            follower(linked, "logs", "-f", "--json") as logs,
        ):
            line_with(events, lambda line: json.loads(line)["event"] == "verified")
            line_with(logs, lambda line: "online as device" in json.loads(line)["line"])
            mark = supervisor.mark_now()
            assert linked.stillhere("restart").returncode == 0
            record = supervisor.restarted(mark)
            assert (record["reason"], record["proof"]) == ("manual", "roundtrip")
            assert set(record) >= RECORD
            new = json.loads(line_with(events, lambda line: '"restarted"' in line))
            while new["record"]["reason"] != "manual":
                new = json.loads(line_with(events, lambda line: '"restarted"' in line))
            assert set(new) >= {"t", "bot", "event"}
            assert new["record"] == record
            line_with(
                logs,
                lambda line: (
                    json.loads(line)["generation"] == record["generation"]
                    and "online as device" in line
                ),
            )
            events.send_signal(signal.SIGINT)
            assert events.wait(10) == 130
        after = linked.json("status")["bots"]["echo"]
        assert (after["restarts"], after["last_restart"]) == (1, record)
        told = linked.stillhere("logs", "echo", "-n", "1")
        assert told.stdout.startswith("online as device")

    past = linked.stillhere("events", "--json")
    journal = [json.loads(line) for line in past.stdout.splitlines()]
    assert past.returncode == 0
    assert [e["event"] for e in journal if e["event"].startswith("supervisor_")][-2:] == [
        "supervisor_started",
        "supervisor_stopping",
    ]
    ended = [e["event"] for e in journal if e["bot"] == "echo"]
    assert {"down", "sealed"} <= set(ended[-3:])
    words = linked.stillhere("events")
    assert "restarted by hand -> back in" in words.stdout
    for command in (("status",), ("logs",), ("restart",), ("events", "-f")):
        done = linked.stillhere(*command)
        assert (done.returncode, "no supervisor is running" in done.stderr) == (1, True), done


def test_start_stop_pause_resume(linked: Folder) -> None:
    """Each does what it says; changes of a paused bot are collected into one restart."""
    ping = linked.root / "bot/commands/ping.py"
    with running(linked) as supervisor:
        supervisor.restarted(0)
        mark = supervisor.mark_now()
        assert linked.stillhere("stop", "echo").returncode == 0
        stopped = supervisor.status()
        assert (stopped["phase"], stopped["pid"]) == ("down", None)
        assert supervisor.status("server")["phase"] == "up"
        supervisor.wait("sealed", mark)
        ping.write_text(ping.read_text().replace("pong", "ping-pong"))
        supervisor.wait("changed", mark)
        assert supervisor.status()["phase"] == "down"
        assert linked.stillhere("start").returncode == 0
        assert supervisor.restarted(mark)["proof"] == "roundtrip"

        assert linked.stillhere("pause").returncode == 0
        mark = supervisor.mark_now()
        for n in range(3):
            saved = supervisor.mark_now()
            linked.replace("bot/commands/ping.py", ping.read_text() + f"# {n}\n")
            supervisor.wait("changed", saved)
        linked.write("bot/extra.py", "")
        supervisor.wait_for(lambda e: "bot/extra.py" in e.get("paths", ()), mark, 20, "extra.py")
        assert supervisor.status()["paused"]
        assert not supervisor.seen("spawned", mark)
        assert linked.stillhere("resume", "--json").returncode == 0
        record = supervisor.restarted(mark)
        assert record["changed"] == ["bot/commands/ping.py", "bot/extra.py"]
        with linked.phone() as phone:
            assert phone.wait_reply(phone.send("!ping")).text == "ping-pong"
        assert len(supervisor.seen("restarted", mark)) == 1
        assert len(supervisor.seen("spawned", mark)) == 1

        supervisor.until(lambda: supervisor.status()["spare"] is not None, "a spare")
        assert not differs("status", linked.json("status"))
        assert not differs("reload", linked.json("reload"))
        logged = linked.stillhere("logs", "--json", "-n", "1").stdout
        assert not differs("logs", json.loads(logged.splitlines()[0]))

        wrong = linked.stillhere("restart", "nobody")
        assert (wrong.returncode, "one of server, echo" in wrong.stderr) == (1, True)
        assert linked.stillhere("restart", "--nonsense").returncode == 2


def test_link_gives_the_code_until_it_is_scanned(folder: Folder) -> None:
    """`link --json`: what a QR code has to encode, and then whose device it became."""
    with running(folder) as supervisor:
        supervisor.wait("pairing")
        refused = folder.stillhere("link")
        assert (refused.returncode, "on a terminal only" in refused.stderr) == (1, True)
        with follower(folder, "link", "--json") as linking:
            code = json.loads(line_with(linking, lambda line: "qr" in line))
            assert set(code) == {"qr", "ttl_s"}
            assert 0 < code["ttl_s"] <= 60
            with folder.phone() as phone:
                device = phone.scan(code["qr"])
                last = json.loads(line_with(linking, lambda line: "linked" in line))
                assert last["linked"].startswith(f"{device}:")
                assert linking.wait(10) == 0
        assert supervisor.status()["session"]["identity"] == last["linked"]


def test_a_failed_bot_is_exit_code_3(new_folder: Callable[..., Folder]) -> None:
    """A bot that can't start is FAILED: `status` says so with 3, and so does `run` at its end."""
    folder = new_folder(
        '[bot.echo]\ncommand = ["python", "-c", "raise SystemExit(7)"]\n'
        "[bot.echo.restart]\nbackoff_s = [0.01, 0.02]\nintensity = [2, 60]\n"
    )
    with running(folder, "run") as supervisor:
        failed = supervisor.wait("failed")
        assert "3 times" in failed["why"]
        for args in (("status",), ("status", "--json")):
            done = folder.stillhere(*args)
            assert done.returncode == 3
            assert "failed" in done.stdout
        assert supervisor.stop() == 3


def test_mistakes_in_a_config_are_told_all_at_once(new_folder: Callable[..., Folder]) -> None:
    """Exit code 2; each one with the file, the key, what was found and what is allowed."""
    folder = new_folder(BROKEN)
    for command in ("dev", "run"):
        done = folder.stillhere(command)
        assert done.returncode == 2
        told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(told) == 4, done.stderr
        assert all("config.toml: " in line for line in told)
        assert str(folder.root / "config.toml") in done.stderr
        for parts in (
            ("supervisor", "sesions", "sessions"),
            ("bot.echo.command", "python -m bot", "list"),
            ("bot.echo.stop_timeout_s", "soon", "number"),
            ("bot.echo.snapshots.keep_last", "-1"),
        ):
            assert any(all(part in line for part in parts) for line in told), (parts, told)
    missing = folder.stillhere("--config", "elsewhere.toml", "status")
    assert (missing.returncode, "elsewhere.toml" in missing.stderr) == (2, True)
    folder.write("config.toml", "[bot.echo\n")
    torn = folder.stillhere("run")
    assert (torn.returncode, "line 1" in torn.stderr) == (2, True)
    (folder.root / "config.toml").unlink()
    assert folder.stillhere("status").returncode == 2


def test_the_shipped_config_is_valid(tmp_path: Path) -> None:
    """Everything that config.toml says is known, and means what its comments say."""
    shipped = ROOT / "config.toml"
    config = load(shipped)
    assert list(config.bots) == ["server", "echo"]
    assert config.bots["server"].session is None
    echo = config.bots["echo"]
    assert config.session_dir(echo) == ROOT / "sessions" / f"session-{PHONE}"
    assert all(path.exists() for path in echo.watch)
    commented = [
        line.removeprefix("#").strip()
        for line in shipped.read_text().splitlines()
        if line.startswith("#") and "=" in line
    ]
    shutil.copy(shipped, tmp_path / "config.toml")
    with (tmp_path / "config.toml").open("a") as file:
        file.write("\n".join(["", *commented, ""]))
    assert tomllib.loads((tmp_path / "config.toml").read_text())
    load(tmp_path / "config.toml")


def test_a_project_may_lie_in_a_folder_whose_name_is_no_text(
    new_folder: Callable[..., Folder],
) -> None:
    """Of bytes that are no UTF-8, and of braces: run, restart, log, back up, upgrade."""
    script = "echo x > sessions/session-a/x; echo here; exec tail -f /dev/null"
    folder = new_folder(
        '[logs]\nfolder = "logs"\n[bot.a]\nready = { log = "here" }\n'
        f'command = ["/bin/sh", "-c", "{script}"]\n',
        name="caf\udce9 {b}",
    )
    (folder.root / "sessions" / "session-a").mkdir(parents=True)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="a")
        for words in (["restart"], ["session", "backup"], ["upgrade"], ["status"], ["reload"]):
            done = folder.stillhere(*words, timeout_s=60)
            assert done.returncode == 0, done.stderr
        assert supervisor.stop() == 0
    assert folder.stillhere("logs", "a").stdout == "here\nhere\n"
