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


@contextmanager
def uncollected(*, when: bool = True) -> Iterator[None]:
    """Hold the collector off; what is there afterwards it never looks at again.

    Objects still go when nobody refers to them. Cycles that are garbage at that moment do stay,
    so this is for what a session does once in a process. Blocks may overlap in several threads.
    """
    if not when:
        yield
        return
    global _inside  # noqa: PLW0603 - the collector is one for the whole process
    with _lock:
        _inside += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                gc.freeze()
                gc.enable()
