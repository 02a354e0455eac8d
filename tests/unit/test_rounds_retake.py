"""A hot snapshot that caught the bot while it wrote is taken again, twice at most."""

import asyncio
import itertools
from pathlib import Path

import pytest

from supervisor.loop import rounds
from supervisor.loop.rounds import RETAKEN, retake_s
from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot
from supervisor.session.proof.halfway import half_written
from tests.unit.roundskit import Bench, Service

ID = "1"
HALF = '{"me": "d1", "n": '


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """Return the folder of a session with a good snapshot."""
    folder = tmp_path / "sessions" / f"session-{ID}"
    folder.mkdir(parents=True)
    (folder / "creds.json").write_text(f"{HALF}1}}")
    (folder / "big.json").write_text(f'{{"a": "{"x" * 300_000}"}}')
    manager = managed(tmp_path)
    manager.note_linked(ID, None)
    assert manager.backup(ID).verdict == "good"
    return folder


def managed(root: Path) -> SessionManager:
    """Return the manager of a supervisor."""
    return SessionManager(
        root / "sessions", root / ".session-cache", root / "session-state.json", owned=True
    )


def hot(root: Path) -> Snapshot:
    """Return the verdict on a copy of a running bot."""
    manager = managed(root)
    capture = manager.capture(ID, reason="periodic", generation=1, hot=True)
    return manager.commit(capture)


@pytest.mark.parametrize(
    ("name", "text"),
    [("creds.json", HALF), ("creds.json", ""), ("big.json", '{"a": "' + "y" * 300_000)],
)
def test_a_file_caught_half_written_is_told_from_others(live: Path, name: str, text: str) -> None:
    """Cut short or just emptied, small or large: the next copy may have it whole."""
    (live / name).write_text(text)
    snapshot = hot(live.parents[1])
    assert snapshot.verdict == "bad"
    assert half_written(snapshot.why), snapshot.why


def test_credentials_caught_half_written() -> None:
    """That they do not say whose they are follows from it."""
    assert half_written(
        "creds.json is no JSON: Expecting value: line 1 column 20 (char 19); "
        "it does not say any more whose device it is"
    )
    assert not half_written("it does not say any more whose device it is")


@pytest.mark.parametrize(
    "why",
    [
        "store.db: database disk image is malformed",
        "creds.json lacks noiseKey",
        "creds.json is no JSON: x; store.db is torn: 3 bytes instead of 4096",
        "store.db is no SQLite database any more",
        "",
    ],
)
def test_what_another_copy_would_not_mend(why: str) -> None:
    """Nothing is taken again for it."""
    assert not half_written(why)


def bad(why: str = "creds.json is empty", reason: str = "periodic", seq: int = 7) -> Snapshot:
    """Return a snapshot with its verdict."""
    return Snapshot(
        id=f"session-1.{seq}",
        seq=seq,
        epoch=1,
        taken_at="2026-01-01T00:00:00Z",
        reason=reason,
        verdict="bad" if why else "good",
        proof="",
        size_bytes=1,
        new_bytes=1,
        duration_s=0.1,
        why=why,
    )


def test_the_waits_grow_differ_and_end() -> None:
    """Two more tries, further apart; not in step with a bot that writes by the clock."""
    first = [retake_s(bad(seq=n), 0, ID) for n in range(20)]
    second = [retake_s(bad(seq=n), 1, ID) for n in range(20)]
    assert all(wait is not None and 2 <= wait < 4 for wait in first)
    assert all(wait is not None and 10 <= wait < 20 for wait in second)
    assert len(set(first)) == 20
    assert retake_s(bad(), 2, ID) is None
    assert retake_s(bad(""), 0, ID) is None


def test_a_busy_bot_gets_its_snapshot_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken again after a bad one, and no more once it is good."""
    monkeypatch.setattr(rounds, "_RETAKES_S", (0.0, 0.0))
    bench = Bench(tmp_path)

    async def judge(service: Service) -> None:
        service.rounds.judged(bad())
        while bench.retaken < 1:
            service.heard.clear()
            await service.heard.wait()
        service.rounds.judged(bad("", reason=RETAKEN))
        assert service.rounds._retaking is None

    bench.run(judge)
    assert bench.retaken == 1


def test_a_bot_that_always_writes_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tries and no third; the next periodic one has its own two."""
    monkeypatch.setattr(rounds, "_RETAKES_S", (0.0, 0.0))
    bench = Bench(tmp_path)

    async def judge(service: Service) -> None:
        for retaken in (2, 4):
            service.rounds.judged(bad())
            for tries in itertools.count(retaken - 1):
                while bench.retaken < tries:
                    service.heard.clear()
                    await service.heard.wait()
                service.rounds.judged(bad(reason=RETAKEN))
                if service.rounds._retaking is None:
                    break
            assert bench.retaken == retaken

    bench.run(judge)


def test_a_stop_takes_none_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for its time is forgotten."""
    monkeypatch.setattr(rounds, "_RETAKES_S", (0.0, 0.0))
    bench = Bench(tmp_path)

    async def judge(service: Service) -> None:
        service.rounds.judged(bad())
        await service.rounds.close()
        service.rounds.judged(bad())
        done = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.0, done.set_result, None)
        await done

    bench.run(judge)
    assert bench.retaken == 0
