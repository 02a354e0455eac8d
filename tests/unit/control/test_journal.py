"""The journal keeps what happened, whatever the disk and the readers do."""

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from supervisor.control.journal import Journal, Subscription, read


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return its time in seconds."""
        return self.now


async def take(reader: Subscription, count: int) -> list[dict[str, Any]]:
    """Read `count` records."""
    async with asyncio.timeout(5):
        return [await anext(reader) for _ in range(count)]


def test_an_event_is_in_memory_and_in_a_private_file(tmp_path: Path) -> None:
    """One JSON object a line, with `t` in RFC 3339 UTC; 0600 in a 0700 folder, any umask."""
    old = os.umask(0)
    try:
        path = tmp_path / "cache" / ".events.jsonl"
        journal = Journal(path)
        record = journal.append("echo", "ready", generation=4)
    finally:
        os.umask(old)
    assert record == {"t": record["t"], "bot": "echo", "event": "ready", "generation": 4}
    assert record["t"].endswith("Z")
    assert "T" in record["t"]
    assert list(read(path)) == [record] == journal.backlog()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_qr_code_never_enters_the_journal(tmp_path: Path) -> None:
    """A pairing secret is dropped, even if somebody passes it by mistake."""
    journal = Journal(tmp_path / "e")
    record = journal.append("echo", "pairing", generation=1, qr="SECRET")
    assert "SECRET" not in json.dumps([record, *journal.backlog()])
    assert b"SECRET" not in (tmp_path / "e").read_bytes()


def test_a_restarted_supervisor_remembers(tmp_path: Path) -> None:
    """A new journal begins with the end of the old one."""
    Journal(tmp_path / "e").append("echo", "ready")
    assert [r["event"] for r in Journal(tmp_path / "e").backlog()] == ["ready"]


def test_a_torn_line_swallows_nothing(tmp_path: Path) -> None:
    """After a crash in the middle of a line, the next record stands on its own line."""
    path = tmp_path / "e"
    path.write_bytes(b'{"t":"1","bot":null,"event":"a"}\n{"t":"2","bo')
    Journal(path).append(None, "b")
    with path.open("ab") as stream:
        stream.write(b'\xff\n[1]\n{"event": 3}\n' + b"[" * 5000 + b'\n{"torn')
    assert [r["event"] for r in read(path)] == ["a", "b"]


def test_the_file_is_rotated_and_bounded(tmp_path: Path) -> None:
    """Two files of at most the limit each hold the newest records in order."""
    path = tmp_path / "e"
    journal = Journal(path, rotate_bytes=1000)
    for number in range(100):
        journal.append("echo", "n", number=number)
    numbers = [r["number"] for r in read(path)]
    assert numbers == list(range(numbers[0], 100))
    assert 10 < len(numbers) < 40
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e", "e.1"]
    assert all(p.stat().st_size <= 1000 for p in tmp_path.iterdir())


@pytest.mark.parametrize("short", [False, True])
def test_a_full_disk_stops_the_file_and_not_the_events(
    short: bool,  # noqa: FBT001 - a parametrized fact
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One warning; memory and readers go on; later the file goes on, with no torn line."""
    clock = Clock()
    path = tmp_path / "e"
    journal = Journal(path, retry_s=60, clock=clock)
    journal.append(None, "before")
    real_write = os.write
    tries = 0

    def full(handle: int, data: bytes) -> int:
        nonlocal tries
        tries += 1
        if short:
            return real_write(handle, data[:7])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        for number in range(5):
            journal.append(None, f"during{number}")
        clock.now = 61
        journal.append(None, "still")
    assert 2 <= tries <= 3
    events = [r["event"] for r in journal.backlog()]
    assert events.count("journal_failed") == 1
    assert "during4" in events
    clock.now = 200
    journal.append(None, "after")
    assert [r["event"] for r in read(path)] == ["before", "after"]


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    """Somebody removes .session-cache while it runs: the next record has a file again."""
    path = tmp_path / "cache" / "e"
    journal = Journal(path)
    journal.append(None, "a")
    path.unlink()
    path.parent.rmdir()
    journal.append(None, "b")
    assert [r["event"] for r in read(path)] == ["b"]


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_strange_file_is_not_followed_and_does_not_hang(kind: str, tmp_path: Path) -> None:
    """A link, a FIFO or a folder in the file's place costs the file, not the supervisor."""
    path = tmp_path / "e"
    victim = tmp_path / "victim"
    victim.write_text("kept")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    journal = Journal(path)
    journal.append(None, "a")
    assert [r["event"] for r in journal.backlog()] == ["a", "journal_failed"]
    assert victim.read_text() == "kept"


def test_a_reader_gets_the_backlog_and_misses_nothing() -> None:
    """What is appended between the backlog and the first wait comes once, in order."""

    async def scenario() -> None:
        journal = Journal(None)
        journal.append("echo", "a")
        with journal.subscribe(backlog=10) as reader:
            journal.append("echo", "b")
            assert [r["event"] for r in await take(reader, 2)] == ["a", "b"]
            waiting = asyncio.ensure_future(take(reader, 1))
            asyncio.get_running_loop().call_soon(journal.append, "echo", "c")
            assert (await waiting)[0]["event"] == "c"

    asyncio.run(scenario())


def test_a_slow_reader_loses_the_oldest_and_is_told() -> None:
    """The journal never waits for a reader; the reader learns how many it lost."""

    async def scenario() -> None:
        journal = Journal(None)
        with journal.subscribe(room=10) as reader:
            for number in range(25):
                journal.append("echo", "n", number=number)
            got = await take(reader, 11)
        assert got[0]["event"] == "lost"
        assert got[0]["count"] == 15
        assert [r["number"] for r in got[1:]] == list(range(15, 25))

    asyncio.run(scenario())


def test_a_reader_of_one_bot_sees_that_bot_and_the_supervisor(tmp_path: Path) -> None:
    """Events of other bots are left out, in memory, live, and in the file."""

    async def scenario() -> None:
        journal = Journal(tmp_path / "e")
        with journal.subscribe("a") as reader:
            for bot in ("a", "b", None):
                journal.append(bot, f"of-{bot}")
            live = [r["event"] for r in await take(reader, 2)]
        assert live == [r["event"] for r in journal.backlog("a")] == ["of-a", "of-None"]
        assert [r["event"] for r in read(tmp_path / "e", "a")] == live

    asyncio.run(scenario())


def test_closing_ends_the_readers() -> None:
    """A reader that waits is woken by the end, after what is queued."""

    async def scenario() -> list[str]:
        journal = Journal(None)
        reader = journal.subscribe()
        journal.append(None, "last")
        asyncio.get_running_loop().call_soon(journal.close)
        async with asyncio.timeout(5):
            return [r["event"] async for r in reader]

    assert asyncio.run(scenario()) == ["last"]


def test_since_returns_what_is_later() -> None:
    """`since` a record's time leaves that record out."""
    journal = Journal(None)
    first = journal.append(None, "a")
    assert journal.since("1970-01-01T00:00:00.000Z") == [first]
    assert first not in journal.since(first["t"])
