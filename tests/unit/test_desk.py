"""What is asked while the bots change."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor.control.journal import Journal
from supervisor.loop import desk
from supervisor.loop.desk import Desk


def test_a_bot_may_come_or_go_while_the_status_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload meanwhile is no error of who asked."""
    charges: dict[str, Any] = {"a": SimpleNamespace(), "b": SimpleNamespace()}

    def status(_charge: Any) -> dict[str, Any]:
        charges.pop("b", None)
        return {}

    monkeypatch.setattr(desk, "_status_of", status)
    found = asyncio.run(Desk(charges, Journal(None)).call("status", {}))
    assert found["bots"]["a"] == {}
