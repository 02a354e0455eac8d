"""What `verify` says of a bot at rest, by what was measured."""

from types import SimpleNamespace
from typing import cast

import pytest

from supervisor.verify import figures
from supervisor.verify.model import Rest
from supervisor.verify.trial import Trial


def rest(supervisor_cpu: float = 0.0, bot_cpu: float = 0.0) -> Rest:
    """Return a look at a small bot that uses so much."""
    return Rest(
        trouble="",
        supervisor_cpu=supervisor_cpu,
        supervisor_bytes=1 << 20,
        bot_cpu=bot_cpu,
        bot_bytes=1 << 20,
        processes=1,
    )


BUSY, LOOP, CALM = rest(supervisor_cpu=0.06), rest(bot_cpu=0.99), rest()


@pytest.mark.parametrize(
    ("looks", "verdict"),
    [
        ([CALM], "pass"),
        ([BUSY, CALM], "pass"),
        ([BUSY, BUSY], "fail"),
        ([LOOP, CALM], "pass"),
        ([LOOP, LOOP], "fail"),
    ],
)
def test_a_busy_moment_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch, looks: list[Rest], verdict: str
) -> None:
    """A restart that still ends in it is no use at rest; what goes on is."""
    left = list(looks)
    monkeypatch.setattr(figures, "rested", lambda _trial, **_how: left.pop(0))
    bot = SimpleNamespace(limits=SimpleNamespace(memory_mb=None))
    trial = cast("Trial", SimpleNamespace(bot=bot, rest_s=1.0))
    assert figures.resources(trial).verdict == verdict
    assert not left
