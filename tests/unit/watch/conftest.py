"""What the tests of the watcher share."""

import pytest

from supervisor.watch import shared as module


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found by the look at a time: what a test sees, an event led to."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", 3600.0)
