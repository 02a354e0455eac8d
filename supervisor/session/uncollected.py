"""Keep the garbage collector away from many new objects that will stay.

A session of 20,000 files makes 60,000 objects at once. They set off full passes of the collector,
each of 10 to 30 ms, in which no thread of the process runs: the event loop neither. None of them
is ever part of a cycle, so that no pass would free one.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_inside = 0
_done: set[str] = set()
_freezes = False


@contextmanager
def uncollected(what: str, *, when: bool = True) -> Iterator[None]:
    """Hold the collector off; what is there afterwards it never looks at again.

    Objects still go when nobody refers to them. Cycles that are garbage at that moment do stay:
    so it freezes but once for each `what`, and only where that succeeds, however often it is
    tried. Blocks may overlap in several threads.
    """
    if not when:
        yield
        return
    global _inside  # noqa: PLW0603 - the collector is one for the whole process
    with _lock:
        _inside += 1
        gc.disable()
    made = False
    try:
        yield
        made = True
    finally:
        with _lock:
            _inside -= 1
            _leave(what if made else None)


def _leave(what: str | None) -> None:
    """Freeze with the last that leaves, if one of them made (for the first time) what stays."""
    global _freezes  # noqa: PLW0603 - as above
    if what is not None and what not in _done:
        _done.add(what)
        _freezes = True
    if not _inside:
        if _freezes:
            gc.freeze()
        _freezes = False
        gc.enable()
