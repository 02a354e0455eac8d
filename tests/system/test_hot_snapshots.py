"""Snapshots of a bot that never stops writing: what is called good is whole."""

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from supervisor.process import tree
from supervisor.session import snapshots
from supervisor.session.copying import capture
from supervisor.session.copying.hot import consistent_databases
from supervisor.session.manager import SessionManager
from tests.system.bots import writers
from tests.system.hotkit import ID, PATIENCE_S, ROOT, Hot, written

# How late a thread may come to run on a machine that is busy.
SCHEDULING_S = 1.0
EVERYTHING = tuple(writers.WRITE)
DATABASES = ("wal", "rollback", "exclusive")
# What is never half written in a copy of one moment.
ATOMIC = tuple(kind for kind in EVERYTHING if kind != "json")
# See Hot, and where a write may come between two of its steps.
REASONS = {"manual": "precapture", "stop": "unprepared"}


@pytest.mark.long
@pytest.mark.parametrize("reason", REASONS)
def test_a_good_snapshot_of_a_busy_bot_is_whole(tmp_path: Path, reason: str) -> None:
    """Databases of each kind, a LevelDB, JSON, files written through memory: of one moment."""
    with written(tmp_path, *EVERYTHING) as hot:
        hot.reason = reason
        verdicts = hot.many(5)
        assert verdicts["good"] + verdicts["bad"] + verdicts["fuzzy"] == 5
        assert 0 < max(hot.frozen_s) < 0.3 + SCHEDULING_S


@pytest.mark.long
@pytest.mark.parametrize("reason", REASONS)
def test_what_can_be_caught_whole_is_good(tmp_path: Path, reason: str) -> None:
    """All but a file that is written in place in several calls; that one is not called good."""
    with written(tmp_path, *ATOMIC) as hot:
        hot.reason = reason
        assert hot.many(3) == {"good": 3}


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_bad_snapshot_is_ever_called_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """200 hot snapshots under writers that never stop; none that is good is torn."""
    frozen_s: list[float] = []
    for place, kinds in (("all", EVERYTHING), ("atomic", ATOMIC)):
        (tmp_path / place).mkdir()
        with written(tmp_path / place, *kinds) as hot:
            verdicts = hot.many(50)
            hot.reason = "stop"
            verdicts += hot.many(50)
            frozen_s += hot.frozen_s
            with capsys.disabled():
                sys.stdout.write(f"\n{place}: {dict(verdicts)}, {spread(hot.frozen_s)}")
            assert verdicts["good"]
    with capsys.disabled():
        sys.stdout.write(f"\nhot snapshots: {spread(frozen_s)}\n")
    assert max(frozen_s) < 0.3 + SCHEDULING_S


def spread(frozen_s: list[float]) -> str:
    """Return for how long the bot stood still."""
    middle, longest = statistics.median(frozen_s) * 1000, max(frozen_s) * 1000
    return f"frozen {middle:.1f} ms in the median, {longest:.1f} ms at most"


def test_a_copy_that_takes_too_long_is_fuzzy_and_its_databases_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot is thawed at the deadline, in the middle of the copy; SQLite copies for itself.

    The one that somebody keeps locked can't be had; nothing in the live folder is touched.
    """
    with written(tmp_path, *EVERYTHING) as hot:
        copy = capture._copy

        def slow(*args: Any) -> None:
            if frozen(hot):
                wait_for(lambda: not frozen(hot))
            copy(*args)

        def late(*args: Any) -> None:
            before = {name: times_of(hot.live, name) for name in DATABASES}
            wait_for(lambda: all(times_of(hot.live, name) != before[name] for name in DATABASES))
            consistent_databases(*args)

        monkeypatch.setattr(capture, "_copy", slow)
        monkeypatch.setattr(snapshots, "consistent_databases", late)
        names = {path.name for path in hot.live.iterdir()}
        snapshot = hot.snapshot()
        assert hot.torn(snapshot, ("wal", "rollback")) == []
        why = hot.manager.store.find(ID, snapshot["id"]).doubts
        assert any("before the end" in text for text in why)
        assert "wal.db is SQLite's own copy, of a later moment" in why
        assert "rollback.db is SQLite's own copy, of a later moment" in why
        assert any(text.startswith("exclusive.db may be torn") for text in why)
        assert snapshot["verdict"] != "good"
        assert hot.frozen_s.pop() < 0.3 + SCHEDULING_S
        paths = {entry.path for entry in hot.manager._entries(found(hot, snapshot)).values()}
        assert not paths & {"wal.db-wal", "rollback.db-journal"}
        left = {path.name for path in hot.live.iterdir()}
        assert names ^ left <= {"rollback.db-journal"}
        monkeypatch.undo()
        # What SQLite copied is never taken for what lies there: the next one reads it again.
        while (snapshot := hot.snapshot())["verdict"] != "good":
            pass
        assert hot.torn(snapshot) == []


def found(hot: Hot, snapshot: dict[str, Any]) -> Any:
    """Return a snapshot's manifest."""
    return hot.manager.store.find(ID, snapshot["id"])


def times_of(live: Path, name: str) -> list[tuple[int, ...]]:
    """Return what stat tells of a database and of what lies beside it."""
    found: list[tuple[int, ...]] = []
    for path in sorted(live.glob(f"{name}.db*")):
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def frozen(hot: Hot) -> bool:
    """Return whether the bot stands still."""
    return all(tree.Stat(pid).state == "T" for pid in hot.work._members(1))


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait for what must happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        os.sched_yield()


WRITES_UNSEEN = """
import mmap, sys
file = open(sys.argv[1], "r+b")
memory = mmap.mmap(file.fileno(), 0)
for line in sys.stdin:
    memory[0:1] = memory[300_000:300_001] = line.encode()[:1]
    print("done", flush=True)
"""


@pytest.mark.parametrize(("reason", "step"), REASONS.items())
def test_what_is_written_through_memory_is_never_taken_for_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str, step: str
) -> None:
    """Stat does not tell: neither between the two copies, nor since the last snapshot.

    Nor once the bot is gone, and its mapping with it.
    """
    monkeypatch.setattr(capture, "YOUNG_NS", 0)  # as if each look came long after each write
    with written(tmp_path) as hot:
        hot.reason = reason
        board = hot.live / "board.bin"
        board.write_bytes(b"0" * 400_000)
        command = [sys.executable, "-I", "-S", "-c", WRITES_UNSEEN, str(board)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as bot:
            assert bot.stdin
            assert bot.stdout
            hot.work._members = lambda _generation: [bot.pid]

            def write(letter: str) -> None:
                assert bot.stdin
                assert bot.stdout
                bot.stdin.write(f"{letter}\n".encode())
                assert bot.stdout.readline() == b"done\n"

            def stored(snapshot: dict[str, Any]) -> set[str]:
                copy = hot.manager.export(ID, tmp_path / "copy", snapshot["id"])
                data = (copy / "board.bin").read_bytes()
                shutil.rmtree(copy)
                return {chr(data[at]) for at in (0, 300_000)}

            write("a")
            assert stored(hot.snapshot()) == {"a"}
            times = board.stat().st_mtime_ns
            write("b")
            assert stored(hot.snapshot()) == {"b"}
            begins = getattr(hot.manager, step)

            def then_write(*args: Any) -> Any:
                done = begins(*args)
                write("c")
                return done

            monkeypatch.setattr(hot.manager, step, then_write)
            (hot.live / "other").write_text("so that there is something to take")
            assert stored(hot.snapshot()) == {"c"}
            monkeypatch.delattr(hot.manager, step)
            write("d")
            bot.stdin.close()
            bot.wait(PATIENCE_S)
        assert board.stat().st_mtime_ns == times
        assert stored(hot.manager.backup(ID).as_json()) == {"d"}


@pytest.mark.parametrize("reason", REASONS)
def test_json_that_nobody_saw_whole_is_not_called_good_half(tmp_path: Path, reason: str) -> None:
    """A hot copy may have caught it in the middle: fuzzy, then good once whole, then bad.

    What was no JSON in a good copy either is the bot's own affair.
    """
    with written(tmp_path) as hot:
        hot.reason = reason
        (hot.live / "creds").write_text("a session")
        state = hot.live / "new.json"
        verdicts = []
        for text in ('{"n": 1', '{"n": 1}', '{"n": 2'):
            state.write_text(text)
            verdicts.append(hot.snapshot()["verdict"])
        assert verdicts == ["fuzzy", "good", "bad"]
        state.unlink()
        lines = hot.live / "lines.json"
        lines.write_text('{"n": 1}\n{"n": 2}\n')
        assert hot.manager.backup(ID).verdict == "good"
        with lines.open("a") as file:
            file.write('{"n": 3}\n')
        assert hot.snapshot()["verdict"] == "good"


def test_a_backup_beside_a_foreign_bot_holds_whole_databases(tmp_path: Path) -> None:
    """Nobody may stop a bot that no supervisor of ours runs: fuzzy, and the databases whole."""
    with written(tmp_path, "wal", "rollback") as hot:
        manager = SessionManager(
            tmp_path / "sessions", tmp_path / ".session-cache", tmp_path / "state.json"
        )
        for _ in range(3):
            snapshot = manager.backup(ID)
            assert snapshot.verdict == "fuzzy"
            assert "SQLite's own copy" in manager.store.find(ID, snapshot.id).why
            assert hot.torn(snapshot.as_json()) == []


SQLITE_STATES = {
    "closed-wal": "PRAGMA journal_mode=WAL",
    "hot-journal": "PRAGMA journal_mode=DELETE",
}


@pytest.mark.parametrize("kind", SQLITE_STATES)
def test_sqlites_copy_makes_and_eats_nothing(tmp_path: Path, kind: str) -> None:
    """A -wal or -shm that is missing is not made, and no journal of a dead bot is rolled back."""
    live = tmp_path / "live.db"
    script = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        f"db.execute('{SQLITE_STATES[kind]}')\n"
        "db.execute('PRAGMA cache_size=1')\n"
        "db.execute('CREATE TABLE t(n)')\n"
    )
    if kind == "hot-journal":
        script += (
            "db.execute('BEGIN')\n"
            "for n in range(300): db.execute('INSERT INTO t VALUES (randomblob(900))')\n"
            "os._exit(0)\n"
        )
    else:
        script += "db.close()\n"
    subprocess.run([sys.executable, "-I", "-S", "-c", script, str(live)], check=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert (kind == "hot-journal") == ("live.db-journal" in before)
    asked = {"within_s": 1.0, "copies": [[str(live), str(tmp_path / "copy"), live.stat().st_ino]]}
    program = ROOT / "supervisor/session/copying/sqlite_copy.py"
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(program)],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
    )
    ((_path, problem),) = json.loads(done.stdout)
    assert problem
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_locked_database_does_not_take_the_others_time(tmp_path: Path) -> None:
    """Each has its share: what is behind one that never becomes free is copied all the same."""
    program = ROOT / "supervisor/session/copying/sqlite_copy.py"
    names = ("locked.db", "free.db")
    for name in names:
        with closing(sqlite3.connect(tmp_path / name)) as db:
            db.execute("CREATE TABLE t(n)")
    with closing(sqlite3.connect(tmp_path / "locked.db", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        live = [tmp_path / name for name in names]
        copies = [[str(path), f"{path}.copy", path.stat().st_ino] for path in live]
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(program)],
            input=json.dumps({"within_s": 0.2, "copies": copies}).encode(),
            capture_output=True,
            check=True,
        )
    locked, free = json.loads(done.stdout)
    assert "locked" in locked[1]
    assert free[1] == ""
