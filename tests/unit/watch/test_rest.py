"""The watch rests where nothing is saved, and is quick again from the first event on."""

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from supervisor.watch import kernel
from supervisor.watch.kernel import Events, Kernel, Notify, rust_notify

WAIT_S = 10.0


class Recorded:
    """A real watch, and how it was asked."""

    def __init__(self, folders: Sequence[str], asked: "queue.Queue[tuple[int, int]]") -> None:
        self._real = rust_notify(folders)
        self._asked = asked

    def watch(
        self, debounce_ms: int, step_ms: int, timeout_ms: int, stop_event: threading.Event
    ) -> Events | Literal["signal", "stop", "timeout"]:
        """Pass it on."""
        self._asked.put((step_ms, timeout_ms))
        return self._real.watch(debounce_ms, step_ms, timeout_ms, stop_event)

    def close(self) -> None:
        """Pass it on."""
        self._real.close()


def test_it_looks_rarely_after_a_while_and_often_after_an_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the event that ends the rest is told as any other."""
    monkeypatch.setattr(kernel, "REST_AFTER_MS", 60)
    asked: queue.Queue[tuple[int, int]] = queue.Queue()
    heard: queue.Queue[Events | None] = queue.Queue()

    def make(folders: Sequence[str]) -> Notify:
        return Recorded(folders, asked)

    watch = Kernel(heard.put, make)
    watch.watch([str(tmp_path)])
    try:
        assert asked.get(timeout=WAIT_S) == (5, 60)
        assert asked.get(timeout=WAIT_S) == (40, 0)
        (tmp_path / "a.py").write_text("x")
        events = heard.get(timeout=WAIT_S)
        assert events
        assert {path for _, path in events} == {str(tmp_path / "a.py")}
        assert asked.get(timeout=WAIT_S) == (5, 60)
    finally:
        watch.close()
