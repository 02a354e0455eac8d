"""A stop waits for no long part of a check, and for all work that touches the session."""

import asyncio
import threading
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.loop.jobs import Jobs
from supervisor.session.storage.manifest import Manifest
from tests.unit.roundskit import Bench, Service


def test_a_copy_that_is_opened_keeps_no_job_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large snapshot waits for its verdict: a restart's jobs come in between, and it gets it."""
    bench = Bench(tmp_path)
    opened, go_on = threading.Event(), threading.Event()

    async def check(service: Service) -> None:
        manager = service.manager
        manager.store.amend(manager.store.find(bench.id, "1"), verdict="pending")
        judged = manager._judged

        def slowly(manifest: Manifest) -> object:
            opened.set()
            assert go_on.wait(10)
            return judged(manifest)

        monkeypatch.setattr(manager, "_judged", slowly)
        asked = asyncio.ensure_future(service.rounds.check())
        assert await asyncio.to_thread(opened.wait, 10)
        assert await service.jobs.result(lambda: "a restart's job") == "a restart's job"
        assert manager._pinned == [manager.snapshots(bench.id)[0].id]  # and nobody prunes it
        go_on.set()
        found = await asked
        assert [one["verdict"] for one in found["snapshots"]] == ["good"]
        assert manager._pinned == []

    bench.run(check)


def test_a_stop_gives_up_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in quarantine that takes long to open: who asked is told at once."""
    bench = Bench(tmp_path)
    held = tmp_path / ".session-cache" / "quarantine" / f"session-{bench.id}.20260101T000000Z.e1.x"
    opened, go_on = threading.Event(), threading.Event()

    async def check(service: Service) -> None:
        manager = service.manager

        def slowly(_folder: Path) -> str:
            opened.set()
            assert go_on.wait(10)
            return ""

        monkeypatch.setattr(manager, "_folder_problem", slowly)
        monkeypatch.setattr(manager._quarantine, "folders", lambda _id: [Aside(held)])
        asked = asyncio.ensure_future(service.rounds.check())
        assert await asyncio.to_thread(opened.wait, 10)
        await service.rounds.close()
        with pytest.raises(SupervisorError, match="given up: the supervisor stops"):
            await asked
        await service.jobs.result(lambda: None)  # nothing is in a stop's way
        go_on.set()

    bench.run(check)


class Aside:
    """A folder in quarantine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name


def test_a_close_waits_for_work_that_nobody_waits_for_any_more() -> None:
    """Who asked for a backup is gone: it is finished all the same before the lock is given up."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def backup() -> None:
        begun.set()
        assert go_on.wait(10)
        ended.set()

    async def stop() -> None:
        jobs = Jobs("x", lambda _: None, lambda *_args, **_more: None)
        asked = asyncio.ensure_future(jobs.result(backup))
        assert await asyncio.to_thread(begun.wait, 10)
        asked.cancel()
        closing = asyncio.ensure_future(jobs.close())
        # A close that does not wait is over by now.
        await asyncio.wait({closing}, timeout=0.05)
        waits = not closing.done()
        go_on.set()
        await closing
        assert waits
        assert ended.is_set()

    asyncio.run(stop())
