"""The garbage collector is held off while many objects are made that stay, and not for longer."""

import gc
import threading

import pytest

from supervisor.session.uncollected import uncollected


def test_no_pass_looks_at_what_was_made_meanwhile() -> None:
    """Neither inside nor later; afterwards the collector works as before."""
    passes: list[str] = []
    before = gc.get_freeze_count()

    def seen(phase: str, _info: dict[str, int]) -> None:
        passes.append(phase)

    gc.callbacks.append(seen)
    try:
        with uncollected("many"):
            made = [[number] for number in range(5_000)]
            assert not passes
    finally:
        gc.callbacks.remove(seen)
        frozen = gc.get_freeze_count()
        gc.unfreeze()
    assert gc.isenabled()
    assert frozen >= before + len(made)


def test_what_is_tried_again_and_again_freezes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time, what is garbage then stays for ever; what failed has left nothing to freeze."""
    freezes: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: freezes.append(1))
    for _try in range(3):
        with pytest.raises(OSError, match="full"), uncollected("a first commit"):
            raise OSError("full")
        assert gc.isenabled()
    assert freezes == []
    for _try in range(3):
        with uncollected("a first commit"):
            pass
    assert freezes == [1]


def test_the_last_of_several_threads_lets_it_work_again() -> None:
    """Blocks overlap: the collector stays off until all of them have ended."""
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with uncollected("the other's"):
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(5)
    with uncollected("mine"):
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join(5)
    gc.unfreeze()
    assert gc.isenabled()
