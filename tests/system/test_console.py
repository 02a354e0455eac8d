"""The console of `dev`, on a real terminal and in a pipe; and what never gets into any log."""

import ast
import base64
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.protocol import qr_decode
from supervisor.cli import qr
from supervisor.cli.console import Console
from tests.system.consoles import DEV, ends, events_of, holders, needs_bash, on_terminal, said
from tests.system.harness import PHONE, ROOT, Folder, link, processes_of, running
from tests.unit.cli.terminal import wait_gone

pytestmark = pytest.mark.usefixtures("patient")
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf and ready", flush=True)
while True:
    signal.pause()
"""


def sealed_last(folder: Folder) -> bool:
    """Say whether the bot's last stop was sealed."""
    last = [e["event"] for e in events_of(folder) if e["bot"] == "echo"]
    return "sealed" in last[len(last) - last[::-1].index("stopping") :]


def open_to_others(root: Path) -> list[str]:
    """Return what others may read, write or enter."""
    return [
        f"{path} {path.lstat().st_mode:o}"
        for path in [root, *root.rglob("*")]
        if not path.is_symlink() and stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]


@needs_bash
def test_keys_and_the_list_of_backups(linked: Folder) -> None:
    """r, s, p, q; one line per restart; 8 restarts leave the last backups, all of them private."""
    ping = linked.root / "bot/commands/ping.py"
    with on_terminal(linked) as shell:
        shell.send(f"umask 000; {DEV}\n")
        shell.wait("keys: r restart, s snapshot, p pause, q quit")
        shell.wait("same device (roundtrip)")
        for _ in range(8):
            shell.send("r")
            came = said(shell.wait("same device (roundtrip)"))
            assert len(came) == 1, came
            assert re.fullmatch(
                r"restarted by hand -> back in \d\.\d\d s, offline \d\.\d\d s, "
                r"same device \(roundtrip\)",
                came[0],
            )
        shell.send("s")
        taken = shell.wait(", good)")
        assert "SessionManager: snapshot session-971505760056." in taken
        shell.send("s")
        shell.wait("nothing changed since snapshot session-971505760056.")
        shell.send("p")
        shell.wait("paused: changes are collected, not acted on; p goes on")
        for n in range(2):
            ping.write_text(ping.read_text() + f"# {n}\n")
        shell.send("p")
        shell.wait("resumed")
        came = said(shell.wait("same device (roundtrip)"))
        assert [line.partition(" -> ")[0] for line in came] == ["bot/commands/ping.py changed"]
        shell.send("q")
        shell.wait("stopping all bots in good order")
        ends(shell, 0)
        assert "\x1b[" in shell.seen
        assert sealed_last(linked)
    records = [e["record"] for e in events_of(linked) if e["event"] == "restarted"]
    restarts = [r["reason"] for r in records if isinstance(r, dict) and r["reason"] != "start"]
    assert restarts == [*["manual"] * 8, "change"]

    cache = linked.root / ".session-cache"
    listed = subprocess.run(
        ["ls", "-lh", ".session-cache/"],
        cwd=linked.root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    backups = re.findall(rf"session-{PHONE}\.\d{{6}}\.\d{{8}}T\d{{6}}Z\.[a-z]+\.json", listed)
    known = linked.info()["snapshots"]
    assert [f"{one['id']}.json" for one in known] == sorted(backups)
    hours = {one["taken_at"][:13] for one in known}
    assert 5 <= len(known) < 5 + len(hours), known
    assert sum(one["verdict"] == "good" for one in known) >= 2
    for private in (cache, linked.session, linked.root / "session-state.json"):
        assert open_to_others(private) == []


@needs_bash
def test_ctrl_z_and_ctrl_c(linked: Folder) -> None:
    """Ctrl-Z: the shell is back and the bot goes on; fg: the console too; Ctrl-C: a good end."""
    with on_terminal(linked) as shell:
        shell.send(f"{DEV}\n")
        shell.wait("same device (roundtrip)")
        shell.send("\x1a")
        shell.wait("Stopped")
        shell.wait("ready> ")
        assert not shell.raw()
        with linked.phone() as phone:
            assert phone.wait_reply(phone.send("!ping"), 20).text == "pong"
        shell.send("fg\n")
        shell.wait("back after")
        shell.send("r")
        shell.wait("restarted by hand -> back in")
        shell.send("\x03")
        shell.wait("stopping all bots in good order; Ctrl-C again: at once")
        ends(shell, 0)
        assert not shell.raw()
    assert sealed_last(linked)
    assert processes_of(linked) == []


@needs_bash
def test_a_second_ctrl_c_stops_at_once(new_folder: Callable[..., Folder]) -> None:
    """A bot that ignores SIGTERM has a minute; a second Ctrl-C does not wait for it."""
    folder = new_folder(
        '[bot.deaf]\ncommand = ["python", "bot.py"]\nready = { log = "ready" }\n'
        "stop_timeout_s = 60\n"
    )
    folder.write("bot.py", DEAF)
    with on_terminal(folder) as shell:
        shell.send(f"{DEV}\n")
        shell.wait("ready in")
        shell.send("\x03")
        shell.wait("Ctrl-C again: at once")
        shell.send("\x03")
        shell.wait("stopping at once")
        ends(shell, 0)
    assert processes_of(folder) == []


@needs_bash
def test_a_closed_terminal_ends_everything(linked: Folder) -> None:
    """The window is closed: the bots are stopped in good order, and nothing is left running."""
    with on_terminal(linked) as shell:
        shell.send(f"{DEV}\n")
        shell.wait("same device (roundtrip)")
        assert len(processes_of(linked)) >= 4
        shell.hang_up()
        for pid, _ in processes_of(linked):
            wait_gone(pid)
    assert processes_of(linked) == []
    assert sealed_last(linked)


def on_screen(folder: Folder) -> str:
    """Return what the QR code says, as a phone's camera sees it."""
    return folder.phone()._look_at_screen(time.monotonic() + 20).strip()


@needs_bash
@pytest.mark.parametrize("colours", [True, False], ids=["colours", "NO_COLOR"])
def test_the_qr_code_is_on_the_terminal_only(folder: Folder, *, colours: bool) -> None:
    """It is drawn there; its payload is in no log, no process's title, no file others may read."""
    environ = {"STILLHERE_CHAT_REF_TTL_S": "300"} | ({} if colours else {"NO_COLOR": "1"})
    with on_terminal(folder, **environ) as shell:
        shell.send(f"{DEV}\n")
        shell.wait(": nothing to restore")
        shell.wait("scan it in another terminal: make scan")
        drawn = shell.wait("█")
        payload = on_screen(folder)
        _, lines = qr.draw(payload, room=80, colours=colours)
        drawn += shell.wait(lines[-1])
        assert "\r\n".join(lines) in drawn
        secrets = [payload, str(qr_decode(payload)["secret"])]
        assert all(secret not in shell.seen for secret in secrets)
        assert holders(folder, secrets) == {".chat-server/screen.qr"}
        assert open_to_others(folder.chat_data) == []
        done = subprocess.run(
            [sys.executable, "-m", "bot.phone", "scan"],
            cwd=folder.root,
            env=folder.environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout.count("linked: ")) == (0, 1), done.stderr
        shell.wait("linked: device 971505760056.1:")
        shell.wait("new device (roundtrip)")
        assert holders(folder, secrets) == set()
        shell.send("q")
        ends(shell, 0)
        assert all(secret not in shell.seen for secret in secrets)
        assert ("\x1b" in shell.seen) is colours


def private_keys(session: Path) -> list[str]:
    """Return the session's private keys, as they may be written."""
    creds = json.loads((session / "creds.json").read_text())
    keys = [str(creds["private"])]
    with closing(sqlite3.connect(session / "store.db")) as database:
        for (private,) in database.execute("SELECT private FROM keys"):
            keys += [private.hex(), base64.b64encode(private).decode().rstrip("=")]
            keys += [base64.urlsafe_b64encode(private).decode().rstrip("=")]
    assert len(keys) > 1
    return keys


def test_a_pipe_tells_the_story_and_no_secret(linked: Folder) -> None:
    """`dev 2>&1 | grep` shows the start-up; no escapes, and no private key anywhere but at home."""
    words = "SessionManager|restore|ready"
    process = subprocess.Popen(
        ["sh", "-c", f"{DEV} 2>&1 | tee console.log | grep --line-buffered -E '{words}'"],
        cwd=linked.root,
        env={k: v for k, v in linked.environment().items() if k != "NO_COLOR"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    told: list[str] = []
    for line in process.stdout:
        told.append(line)
        if "same device" in line:
            break
    story = "".join(told)
    assert f"SessionManager: session-{PHONE} found: 2 files, " in story
    assert "SessionManager: restore not needed: the live session passed its check" in story
    assert re.search(r"ready in \d+\.\d\d s: same device \(roundtrip\)", story)
    os.kill(linked.json("status")["supervisor"]["pid"], signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    console = (linked.root / "console.log").read_text()
    assert "\x1b" not in console
    assert "█" not in console
    at_home = {".chat-server/phone/phone.json"}
    found = holders(linked, private_keys(linked.session))
    allowed = re.compile(r"sessions/session-\d+/|\.session-cache/(packs|quarantine)/")
    assert {name for name in found - at_home if not allowed.match(name)} == set()
    assert (linked.chat_data / "server.log").stat().st_size > 0


def test_a_first_run_in_a_pipe_keeps_its_code_to_itself(folder: Folder) -> None:
    """Without a terminal no code is drawn; it is said how to see it."""
    with running(folder) as supervisor:
        supervisor.wait("pairing")
        supervisor.shows("to see it, in a terminal: stillhere link echo")
        payload = on_screen(folder)
        assert holders(folder, [payload]) == {".chat-server/screen.qr"}
        link(supervisor).close()
        supervisor.shows("new device (roundtrip)")
    assert "█" not in supervisor.console
    assert "\x1b" not in supervisor.console
    assert payload not in supervisor.console


def reported() -> Iterator[str]:
    """Yield the names of all events that the source can report."""
    says = {"report", "_report", "_tell", "_note", "note", "tell"}
    files = [ROOT / "supervisor/runner.py", *(ROOT / "supervisor/core").glob("*.py")]
    files += (ROOT / "supervisor/loop").glob("*.py")
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name not in says:
                continue
            for argument in node.args[:2]:
                if isinstance(argument, ast.Dict):
                    continue  # what is said of it
                for part in ast.walk(argument):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value


def test_the_console_has_words_for_everything() -> None:
    """No event reaches a person as raw key=value."""
    names = set(reported())
    assert names >= {"supervisor_started", "restarted", "sealed", "snapshot_taken", "note_failed"}
    assert len(names) > 40
    silent = names - set(Console({})._told)
    assert silent == set()
