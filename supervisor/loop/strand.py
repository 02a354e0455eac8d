"""One thing after the other, in a thread that is there only while there is something to do.

A strand never waits for another strand: a disk that hangs under one session stops no other bot.
And it costs nothing at rest: of two hundred bots that run quietly none has a thread.
"""

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from supervisor.process.memory import give_back

P = ParamSpec("P")
T = TypeVar("T")

# The work of one restart comes in bits; a thread is started for the first of them only.
LINGER_S = 3.0

_Item = tuple[Future[Any], Callable[[], Any]]


class Strand(Executor):
    """Runs what it is given one at a time, in the order in which it was given, from any thread.

    Its thread is a daemon: the end of the interpreter waits for nothing. Who needs what is under
    way to be done waits for its future, or for `shutdown`.
    """

    def __init__(
        self, name: str, *, linger_s: float = LINGER_S, at_rest: Callable[[], None] = give_back
    ) -> None:
        """`linger_s`: how long a thread without work stays. `at_rest`: what it does at its end."""
        self._name = name
        self._at_rest = at_rest
        self._linger_s = linger_s
        self._lock = threading.Lock()
        self._items: SimpleQueue[_Item | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have it run in its turn. Where there can be no thread, the future says so (OSError).

        Raises: RuntimeError after `shutdown`.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self._name} takes nothing any more")
            self._items.put((future, lambda: fn(*args, **kwargs)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
                    self._items.get_nowait()  # there was no other: else there had been a thread
                    future.set_exception(OSError(errno.EAGAIN, "no thread could be started"))
        return future

    def _work(self) -> None:
        while (item := self._next()) is not None:
            _run(*item)
            del item  # what it holds must not live on while we wait
        self._at_rest()

    def _next(self) -> _Item | None:
        try:
            return self._items.get(timeout=self._linger_s)
        except Empty:
            pass
        # Only under the lock is it sure that nobody counts on this thread.
        with self._lock:
            try:
                return self._items.get_nowait()
            except Empty:
                self._thread = None
                return None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the base's signature
        """Take nothing more; what waits is still done, or cancelled. `wait`: until all is done."""
        with self._lock:
            self._closed = True
            waiting: list[_Item] = []
            while cancel_futures and not self._items.empty():
                if (item := self._items.get()) is not None:
                    waiting.append(item)
            thread = self._thread
            self._items.put(None)  # the last that its thread sees
        for future, _ in waiting:
            future.cancel()
        if wait and thread is not None:
            thread.join()


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - whatever it is: it is for who waits
        future.set_exception(error)
    else:
        future.set_result(result)
