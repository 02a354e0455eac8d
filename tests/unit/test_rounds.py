"""The daily check and the weekly drill: how they give way, and what is told of them."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.core.state import Phase
from supervisor.loop.rounds import Times
from supervisor.session.model import rfc3339
from tests.unit.roundskit import DAY_S, NOW, Bench, Service


def test_the_first_sight_is_written_down_and_a_day_later_it_is_checked(tmp_path: Path) -> None:
    """Also by another supervisor than the one that saw it first."""
    bench = Bench(tmp_path)
    times = Times(look_s=0.001)

    async def see(service: Service) -> None:
        service.rounds.start()
        await service.recorded("checked_at", rfc3339(NOW))
        await service.recorded("drilled_at", rfc3339(NOW))

    bench.run(see, times)
    assert bench.told == []
    bench.now += 1.5 * DAY_S

    async def check(service: Service) -> None:
        service.rounds.start()
        found = await service.event("snapshots_checked")
        assert (found["snapshots"], found["restorable"], found["damaged"]) == (1, 1, [])
        assert found["bytes"] == bench.pack.stat().st_size
        await service.recorded("checked_at", rfc3339(bench.now))

    bench.run(check, times)
    assert [name for name, _ in bench.told] == ["snapshots_checked"]
    record = bench.manager().record(bench.id)
    assert (record.checked_at, record.drilled_at) == (rfc3339(bench.now), rfc3339(NOW))
    bench.now += 7 * DAY_S

    async def drill(service: Service) -> None:
        service.rounds.start()
        done = await service.event("drill_passed")
        assert done["snapshot"] == service.manager.snapshots(bench.id)[-1].id
        assert done["bytes"] == 3
        await service.recorded("drilled_at", rfc3339(bench.now))

    bench.run(drill, times)
    assert bench.manager().record(bench.id).drilled_at == rfc3339(bench.now)
    assert bench.healed == 0


def test_a_clock_that_was_ahead_is_counted_anew(tmp_path: Path) -> None:
    """What lies in the future is replaced by now, and nothing is checked for it."""
    bench = Bench(tmp_path)
    bench.now += 40 * 365 * DAY_S
    bench.manager().note_round(bench.id, checked=True, drilled=True)
    bench.now = NOW

    async def see(service: Service) -> None:
        service.rounds.start()
        await service.recorded("checked_at", rfc3339(NOW))

    bench.run(see, Times(look_s=0.001))
    assert bench.told == []


def test_damage_is_told_written_down_and_healed(tmp_path: Path) -> None:
    """The daily check asks for a snapshot at once: it may be the only copy."""
    bench = Bench(tmp_path)
    bench.pack.write_bytes(b"")
    bench.manager().note_round(bench.id, checked=True, drilled=True)

    async def check(service: Service) -> None:
        service.rounds.start()
        found = await service.event("snapshots_checked")
        (snapshot,) = service.manager.snapshots(bench.id)
        assert found["damaged"] == [snapshot.id]
        assert snapshot.verdict == "bad"

    bench.now += 1
    bench.run(check)
    assert bench.healed >= 1


def test_a_failed_drill_is_told_and_condemns_the_snapshot(tmp_path: Path) -> None:
    """With why and what to do; and the next snapshot comes at once."""
    bench = Bench(tmp_path)
    bench.manager().note_round(bench.id, checked=True, drilled=True)
    bench.pack.unlink()
    bench.now += 1

    async def drill(service: Service) -> None:
        service.rounds.start()
        failed = await service.event("drill_failed")
        assert "No such file" in failed["why"]
        assert "session backup" in failed["hint"]
        (snapshot,) = service.manager.snapshots(bench.id)
        assert failed["snapshot"] == snapshot.id
        assert snapshot.verdict == "bad"

    bench.run(drill, Times(check_s=10**9, drill_s=0.0, look_s=0.001))
    assert bench.healed == 1


@pytest.mark.parametrize("phase", [Phase.STANDBY, Phase.DOWN, Phase.PAIRING, Phase.BACKOFF])
def test_only_a_bot_that_is_up_is_looked_after(tmp_path: Path, phase: Phase) -> None:
    """In all other phases it waits: not even the first sight is written down."""
    bench = Bench(tmp_path, phase=phase)

    async def wait(service: Service) -> None:
        service.rounds.start()
        for _ in range(50):
            await service.jobs.result(lambda: None)
        assert bench.manager().record(bench.id).checked_at is None
        service.enter(Phase.UP)
        await service.recorded("checked_at", rfc3339(NOW))

    bench.run(wait)


def test_a_check_stops_between_slices_while_a_restart_is_under_way(tmp_path: Path) -> None:
    """What the restart asks of the session is done before the next slice; then it goes on."""
    bench = Bench(tmp_path)
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    async def check(service: Service) -> None:
        real = service.manager._read_all

        def read(*args: Any) -> Any:
            order.append("reads")
            begun.set()
            assert go_on.wait(10)
            yield args[-1]
            order.append("goes on")
            return (yield from real(*args))

        service.manager._read_all = read  # type: ignore[method-assign,assignment] # a slice that a test can hold
        asked = asyncio.ensure_future(service.rounds.check())
        await asyncio.to_thread(begun.wait, 10)
        service.enter(Phase.SNAPSHOTTING)
        job = asyncio.ensure_future(service.jobs.result(lambda: order.append("the restart's job")))
        go_on.set()
        await job
        for _ in range(50):
            await service.jobs.result(lambda: None)
        assert order == ["reads", "the restart's job"]
        assert not asked.done()
        service.enter(Phase.UP)
        assert (await asked)["ok"]
        assert order == ["reads", "the restart's job", "goes on"]

    bench.run(check)


def test_a_check_that_nobody_asked_for_is_given_up_where_the_bot_stays_down(
    tmp_path: Path,
) -> None:
    """It does not keep the others' rounds waiting; one that a person asked for is made."""
    bench = Bench(tmp_path, phase=Phase.DOWN)

    async def check(service: Service) -> None:
        assert await service.rounds._audit(asked=False) is None
        assert (await service.rounds.check())["ok"]

    bench.run(check)


def test_a_drill_pauses_during_a_restart_and_ends_with_the_supervisor(tmp_path: Path) -> None:
    """Its thread waits, and keeps nobody waiting."""
    bench = Bench(tmp_path, phase=Phase.SNAPSHOTTING)
    ended, went_on = threading.Event(), threading.Event()

    async def drill(service: Service) -> None:
        def held(_id: str, progress: Callable[[int, int], None]) -> None:
            try:
                for _ in range(3):
                    progress(1, 2)
                went_on.set()
            finally:
                ended.set()

        work = asyncio.ensure_future(
            service.rounds._in_thread(lambda: held(bench.id, service.rounds._hold_on))
        )
        for _ in range(50):
            await service.jobs.result(lambda: None)
        assert not ended.is_set()
        await service.rounds.close()
        await work
        assert ended.is_set()
        assert not went_on.is_set()

    bench.run(drill, Times(look_s=60.0))


def test_a_bot_that_stays_offline_keeps_no_check_and_no_drill_waiting(tmp_path: Path) -> None:
    """Who asked gets the answer, and the drill is given up: other bots wait for its turn."""
    bench = Bench(tmp_path, phase=Phase.VERIFYING)

    async def check(service: Service) -> None:
        assert (await service.rounds.check())["ok"]

        def held() -> str:
            service.rounds._hold_on(1, 2)
            return "went on"

        assert await service.rounds._in_thread(held) is None

    bench.run(check, Times(look_s=0.001, patience_s=0.001))


def test_a_check_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """And a person who asked for it gets the reason."""
    bench = Bench(tmp_path)
    bench.manager().note_round(bench.id, checked=True, drilled=True)
    bench.now += 1

    async def check(service: Service) -> None:
        with bench.manager().lock_for(bench.id):
            service.rounds.start()
            failed = await service.event("check_failed")
            assert "is in use by pid" in failed["why"]
            with pytest.raises(SupervisorError, match="is in use by pid"):
                await service.rounds.check()

    bench.run(check)


def test_damage_is_told_though_nothing_can_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no time for silence; and the store is not read again every few minutes."""
    bench = Bench(tmp_path)
    bench.pack.write_bytes(b"")
    bench.manager().note_round(bench.id, checked=True, drilled=True)
    bench.now += 1
    waits: list[float] = []
    really = asyncio.sleep

    async def wait(seconds: float) -> None:
        waits.append(seconds)
        await really(0)

    async def check(service: Service) -> None:
        def full(*_args: object, **_more: object) -> None:
            raise SupervisorError("No space left on device")

        monkeypatch.setattr(service.manager, "note_round", full)
        monkeypatch.setattr(asyncio, "sleep", wait)
        service.rounds.start()
        assert (await service.event("check_failed"))["why"] == "No space left on device"
        while len(waits) < 2:
            await service.jobs.result(lambda: None)

    bench.run(check, Times(check_s=0.0, drill_s=10**9, look_s=300.0))
    assert bench.told[0][0] == "snapshots_checked"
    assert bench.told[0][1]["damaged"]
    assert bench.healed >= 1
    assert waits[1] == 3600.0
