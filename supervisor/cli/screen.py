"""Writes to the terminal, a pipe or the journal from a thread of its own.

A terminal that is stopped (Ctrl-S), a reader that stalls, a disk that is full: none may hold up
the loop that keeps the bots alive. What does not fit is dropped, counted and said.
"""

import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable

STALL_S = 1.0


class Screen:
    """A bounded queue of writes. `on_gone` is called once, from the thread, when a fd is lost."""

    def __init__(
        self, on_gone: Callable[[], object], *, room: int = 5000, room_bytes: int = 16 << 20
    ) -> None:
        self._on_gone = on_gone
        self._room = room
        self._room_bytes = room_bytes
        self._bytes = 0
        self._queue: deque[tuple[int, bytes]] = deque()
        self._changed = threading.Condition()
        self._dropped = 0
        self._writing = False
        self._closed = False
        self._gone: set[int] = set()
        # A daemon: a terminal that never takes another byte must not keep us from exiting.
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    def put(self, descriptor: int, data: bytes) -> None:
        """Queue one write; never blocks."""
        with self._changed:
            self._queue.append((descriptor, data))
            self._bytes += len(data)
            while len(self._queue) > self._room or self._bytes > self._room_bytes:
                self._bytes -= len(self._queue.popleft()[1])
                self._dropped += 1
            self._changed.notify_all()

    def flush(self, timeout_s: float = 0.5) -> bool:
        """Wait until all is written, at most `timeout_s`; say whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._writing, timeout_s)

    def close(self, timeout_s: float = 1.0) -> None:
        """Write what is left, at most `timeout_s`, and end."""
        deadline = time.monotonic() + timeout_s
        self.flush(timeout_s)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        # In this thread SIGTTOU is blocked, so `stty tostop` in the background stops nobody; the
        # other signals belong to the main thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                descriptor, data = self._queue.popleft()
                self._bytes -= len(data)
                self._writing = True
                if self._dropped:
                    data = f"({self._dropped} lines were too many to show)\n".encode() + data
                    self._dropped = 0
            self._write(descriptor, data)

    def _write(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view and descriptor not in self._gone:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:
                # A bot that shares the terminal may have made it non-blocking.
                select.select([], [descriptor], [], STALL_S)
                if self._closed:
                    return
            except OSError:
                first = not self._gone
                self._gone.add(descriptor)
                if first:
                    self._on_gone()
