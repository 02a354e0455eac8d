"""A strand: one thing after the other, never two at once, and no thread while there is nothing."""

import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from supervisor.loop.strand import Strand

PATIENCE_S = 15.0
ROOT = Path(__file__).resolve().parents[2]


def own_thread(strand: Strand) -> threading.Thread:
    """Return the thread that it runs its work in now."""
    return strand.submit(threading.current_thread).result(PATIENCE_S)


def test_what_is_given_by_one_runs_in_its_order_and_one_at_a_time() -> None:
    """A job that is under way is done before the next one begins."""
    strand = Strand("x")
    done: list[int] = []
    inside = threading.Lock()

    def work(number: int) -> int:
        assert inside.acquire(blocking=False)
        done.append(number)
        inside.release()
        return -number

    futures = [strand.submit(work, number) for number in range(500)]
    assert [future.result(PATIENCE_S) for future in futures] == [-n for n in range(500)]
    assert done == list(range(500))


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_many_threads_may_give_it_work() -> None:
    """All of it is done once, each thread's in its order, also while its thread ends and begins."""
    strand = Strand("x", linger_s=0.0)
    done: list[tuple[int, int]] = []
    futures: list[Future[None]] = []

    def give(giver: int) -> None:
        for number in range(300):
            future = strand.submit(done.append, (giver, number))
            futures.append(future)
            if number % 3 == 0:
                future.result(PATIENCE_S)

    givers = [threading.Thread(target=give, args=(giver,)) for giver in range(8)]
    for thread in givers:
        thread.start()
    for thread in givers:
        thread.join(PATIENCE_S)
    for future in futures:
        future.result(PATIENCE_S)
    assert len(done) == 8 * 300
    for giver in range(8):
        assert [number for who, number in done if who == giver] == list(range(300))


def test_its_thread_goes_when_there_is_nothing_and_comes_again() -> None:
    """At rest it has none; the next work finds a new one; while it lingers it is the same."""
    strand = Strand("x", linger_s=0.0)
    before = threading.active_count()
    first = own_thread(strand)
    first.join(PATIENCE_S)
    assert threading.active_count() == before
    second = own_thread(strand)
    assert second is not first
    second.join(PATIENCE_S)
    assert not second.is_alive()
    patient = Strand("y", linger_s=PATIENCE_S)
    assert own_thread(patient) is own_thread(patient)
    patient.shutdown()
    assert threading.active_count() == before


def test_work_that_comes_while_its_thread_ends_is_done() -> None:
    """Given in the very moment in which the thread has looked for the last time."""
    strand = Strand("x", linger_s=0.0)
    futures: list[Future[int]] = []
    giver = threading.Thread(target=lambda: futures.append(strand.submit(int)))

    class Watched(SimpleQueue[Any]):
        def get_nowait(self) -> Any:
            try:
                return super().get_nowait()
            except Empty:
                if giver.ident is None:
                    giver.start()
                    giver.join(0.05)  # it comes through only where nothing keeps it from it
                raise

    strand._items = Watched()
    own_thread(strand).join(PATIENCE_S)
    giver.join(PATIENCE_S)
    assert futures[0].result(PATIENCE_S) == 0


def test_one_that_hangs_stops_no_other() -> None:
    """A disk that does not answer under one session: the others' work is done meanwhile."""
    hangs, other = Strand("x"), Strand("y")
    release = threading.Event()
    stuck = hangs.submit(release.wait, PATIENCE_S)
    waiting = hangs.submit(int)
    assert other.submit(str).result(PATIENCE_S) == ""
    assert not waiting.done()
    release.set()
    assert stuck.result(PATIENCE_S)
    assert waiting.result(PATIENCE_S) == 0


def test_what_goes_wrong_is_told_to_who_waits_and_the_rest_goes_on() -> None:
    """Even what would end a thread, and what would end the program."""
    strand = Strand("x")

    def fails(error: BaseException) -> None:
        raise error

    for error in (ValueError("no"), SystemExit(3), KeyboardInterrupt()):
        failed = strand.submit(fails, error)
        assert strand.submit(int).result(PATIENCE_S) == 0
        assert failed.exception(PATIENCE_S) is error


def test_after_its_end_it_takes_nothing_and_what_waits_is_done() -> None:
    """Unless it is cancelled; what is under way is always done."""
    for cancel in (False, True):
        strand = Strand("x")
        entered, release = threading.Event(), threading.Event()

        def work(entered: threading.Event = entered, release: threading.Event = release) -> bool:
            entered.set()
            return release.wait(PATIENCE_S)

        under_way = strand.submit(work)
        assert entered.wait(PATIENCE_S)
        waiting = strand.submit(int)
        strand.shutdown(wait=False, cancel_futures=cancel)
        with pytest.raises(RuntimeError, match="takes nothing"):
            strand.submit(int)
        release.set()
        strand.shutdown()
        assert under_way.result(0)
        if cancel:
            with pytest.raises(CancelledError):
                waiting.result(0)
        else:
            assert waiting.result(0) == 0
    Strand("x").shutdown()  # one that never had a thread


def test_what_was_cancelled_while_it_waited_is_left_out() -> None:
    """The one behind it is done."""
    strand = Strand("x")
    release = threading.Event()
    strand.submit(release.wait, PATIENCE_S)
    done: list[int] = []
    first, second = strand.submit(done.append, 1), strand.submit(done.append, 2)
    assert first.cancel()
    release.set()
    second.result(PATIENCE_S)
    assert done == [2]


def test_where_there_can_be_no_thread_the_future_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service may have a limit on its tasks: that job fails, and the next one is tried."""
    strand = Strand("x")

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="no thread"):
            strand.submit(int).result(PATIENCE_S)
    assert strand.submit(int).result(PATIENCE_S) == 0


def test_it_keeps_nothing_of_what_it_did() -> None:
    """What a job held is free once it is done, and not when the next one comes."""

    class Held:
        pass

    strand = Strand("x", linger_s=10 * PATIENCE_S)
    held, free = Held(), threading.Event()
    weakref.finalize(held, free.set)
    strand.submit(lambda _: None, held).result(PATIENCE_S)
    del held
    assert free.wait(PATIENCE_S)
    strand.shutdown()


@pytest.mark.parametrize("hangs", ["int", "threading.Event().wait"])
def test_the_end_of_the_interpreter_waits_for_nothing(hangs: str) -> None:
    """Neither for a thread that lingers nor for work that never ends."""
    code = (
        "import threading\n"
        "from supervisor.loop.strand import Strand\n"
        "strand = Strand('x', linger_s=1000)\n"
        "strand.submit(int).result()\n"
        f"strand.submit({hangs})\n"
        "print('end', flush=True)\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=ROOT, capture_output=True, timeout=PATIENCE_S, check=True
    )
    assert (done.stdout, done.stderr) == (b"end\n", b"")


def test_a_thread_gives_back_at_its_end_what_its_work_held() -> None:
    """Once, after the last thing that it did."""
    done: list[str] = []
    strand = Strand("x", linger_s=0.0, at_rest=lambda: done.append("given back"))
    thread = own_thread(strand)
    thread.join(PATIENCE_S)
    strand.submit(done.append, "worked").result(PATIENCE_S)
    strand.shutdown()
    assert done == ["given back", "worked", "given back"]
