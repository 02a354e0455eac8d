"""`stillhere session check` on real sessions, and the line that says how far a command is."""

import errno
import json
import os
import pty
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli import progress
from supervisor.cli.main import execute
from supervisor.cli.session_check import told
from supervisor.control import paths
from supervisor.control.client import Client
from supervisor.session.lock import OwnerLock
from supervisor.session.manager import SessionManager
from tests.session_keys import CHECK, CHECKED_SNAPSHOT
from tests.unit.cli.projectkit import ID, Out
from tests.unit.control.fake_runner import running

pytestmark = pytest.mark.usefixtures("folder")


def pack(folder: Path) -> Path:
    """Return the snapshot's bytes."""
    (found,) = (folder / ".session-cache" / "packs").iterdir()
    return found


def as_json(capsys: Out, code: int) -> dict[str, Any]:
    """Check, and return what was printed."""
    assert execute(["session", "check", "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_check_has_the_promised_keys(folder: Path, capsys: Out) -> None:
    """The live session's as before, and each snapshot's; a whole one ends with 0."""
    found = as_json(capsys, 0)
    assert set(found) == CHECK
    (one,) = found["snapshots"]
    assert set(one) == CHECKED_SNAPSHOT
    assert (one["restorable"], one["why_not"]) == (True, None)
    assert found["bytes_read"] == pack(folder).stat().st_size
    assert execute(["session", "check"]) == 0
    out = capsys.readouterr().out
    assert f"session {ID} passed" in out
    assert f"to bring the newest back: stillhere session restore {ID} --snapshot 1" in out


def test_damage_is_said_with_what_to_do_and_healed_by_that(folder: Path, capsys: Out) -> None:
    """Exit code 1; the command that is named makes it 0 again."""
    pack(folder).write_bytes(b"")
    assert execute(["session", "check"]) == 1
    out = capsys.readouterr().out
    assert "ends early" in out
    assert f"the next snapshot stores it again: stillhere session backup {ID}" in out
    assert execute(["session", "backup", ID]) == 0
    capsys.readouterr()
    found = as_json(capsys, 0)
    assert [one["restorable"] for one in found["snapshots"]] == [False, True]
    assert found["snapshots"][0]["todo"] == "nothing: snapshot 2 is newer, and whole"


def test_no_snapshot_at_all_is_a_failure(folder: Path, capsys: Out) -> None:
    """The live session is whole, but it is the only copy: said, with the command."""
    (manifest,) = (folder / ".session-cache").glob("session-*.json")
    manifest.unlink()
    assert execute(["session", "check"]) == 1
    assert f"it has no snapshot: stillhere session backup {ID}" in capsys.readouterr().out


def test_another_device_than_the_links_is_said(capsys: Out) -> None:
    """It passed, and may start; but what is stored is of the other one."""
    found = as_json(capsys, 0)
    assert "another device" not in "\n".join(told(found))
    assert "another device" in "\n".join(told({**found, "foreign": True}))


def test_a_torn_manifest_is_a_failure(folder: Path, capsys: Out) -> None:
    """Nobody knows what it was: it is named, and what it does to pruning is said."""
    (manifest,) = (folder / ".session-cache").glob("session-*.json")
    os.truncate(manifest, 100)
    found = as_json(capsys, 1)
    assert found["unreadable"] == [manifest.name]
    assert execute(["session", "check"]) == 1
    assert "nothing is pruned" in capsys.readouterr().out


def test_a_running_supervisor_is_asked(folder: Path, capsys: Out) -> None:
    """Who owns the session reads it, writes down what is found, and heals it."""
    with (
        running(paths.socket_path(folder / "config.toml"), alive_s=0.05) as server,
        OwnerLock(folder / "sessions", ID),
    ):
        server.fake.results["session"] = {"id": ID, "verdict": "passed", "ok": True}
        assert as_json(capsys, 0)["verdict"] == "passed"
        assert server.fake.asked == [("session", {"op": "check", "id": ID})]
        server.fake.results["session"] = {"id": ID, "verdict": "passed", "ok": False}
        assert execute(["session", "check"]) == 1


def test_a_supervisor_without_the_session_is_not_needed(folder: Path) -> None:
    """Nobody owns it: the command reads by itself."""
    with running(paths.socket_path(folder / "config.toml"), alive_s=0.05) as server:
        assert execute(["session", "check"]) == 0
        assert server.fake.asked == []


def test_an_owner_that_cannot_be_asked_is_not_written_over(folder: Path, capsys: Out) -> None:
    """It is only read, and that is said."""
    pack(folder).write_bytes(b"")
    with OwnerLock(folder / "sessions", ID):
        assert execute(["session", "check"]) == 1
    said = "nothing of it was written down: another process owns the session"
    assert said in capsys.readouterr().out
    (snapshot,) = SessionManager(state=folder / "session-state.json").snapshots(ID)
    assert snapshot.verdict == "good"


# --- progress --------------------------------------------------------------------------------


def shown(monkeypatch: pytest.MonkeyPatch, command: list[str], after_s: float) -> str:
    """Run a command whose stderr is a terminal; return all that it wrote there."""
    monkeypatch.setattr(progress, "AFTER_S", after_s)
    monkeypatch.setattr("supervisor.session.progress._EVERY_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        with closing(os.fdopen(master, "rb", buffering=0)) as terminal:
            assert execute(command) == 0
            stderr.write("end")
            stderr.flush()
            text = b""
            while not text.endswith(b"end"):
                text += terminal.read(4096)
    return text.decode().removesuffix("end")


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["check"], "reading snapshot 1 of 1: 0 of 0 KB"),
        (["backup"], "taking a snapshot: 0 of 0 KB"),
        (["restore"], "restoring: 0 of 0 KB"),
        (["export", ID, "out"], "writing the session: 0 of 0 KB"),
    ],
)
def test_a_long_command_says_how_far_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], line: str
) -> None:
    """On a terminal, in one line that is gone at the end; nothing within the first second."""
    live = folder / "sessions" / f"session-{ID}" / "creds.json"
    for after_s in (0.0, 60.0):
        (folder / "out").rename(folder / "out2") if (folder / "out").exists() else None
        if command == ["backup"]:
            live.write_text(f'{{"me": "d1", "n": {after_s}}}')
        if command == ["restore"]:
            live.write_text("")
        text = shown(monkeypatch, ["session", *command], after_s)
        if after_s:
            assert text == ""
        else:
            assert line in text
            assert text.endswith("\r\x1b[K")
            assert "\n" not in text


def test_the_supervisor_s_progress_is_shown_to_who_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it tells while it works on the request; not what is in its journal from before."""
    monkeypatch.setattr(progress, "AFTER_S", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    told = {"event": "session_progress", "doing": "restoring", "total_bytes": 2 << 20}
    events = [
        {**told, "t": "2000-01-01T00:00:00.000Z", "done_bytes": 77 << 10},
        {**told, "t": "2999-01-01T00:00:00.000Z", "done_bytes": 1 << 20},
    ]
    master, slave = pty.openpty()
    with (
        running(paths.socket_path(folder / "config.toml"), alive_s=0.05) as server,
        os.fdopen(slave, "w") as stderr,
        closing(os.fdopen(master, "rb", buffering=0)) as terminal,
    ):
        server.fake.items["events"] = events
        monkeypatch.setattr(sys, "stderr", stderr)
        text = b""
        with progress.Following(Client.for_config(folder / "config.toml"), "echo"):
            while not text.endswith(b"KB"):
                text += terminal.read(4096)
        assert text == b"\r\x1b[Krestoring: 1,024 of 2,048 KB"
        assert terminal.read(4096) == b"\r\x1b[K"
    assert ("events", {"bot": "echo", "follow": True}) in server.fake.asked


def test_nobody_is_told_through_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    """A log has no use for it."""
    monkeypatch.setattr(progress, "AFTER_S", 0.0)
    monkeypatch.setattr("supervisor.session.progress._EVERY_S", 0.0)
    assert execute(["session", "check"]) == 0
    assert capsys.readouterr().err == ""


def test_a_terminal_that_goes_ends_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees the line any more; the command goes on to its end."""

    def gone(_fd: int) -> os.terminal_size:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "get_terminal_size", gone)
    assert shown(monkeypatch, ["session", "check"], 0.0) == ""
