"""What counts as silence: the bot's own, and not ours."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervisor.core.events import Event, Hung
from supervisor.loop import health as module
from supervisor.loop.health import Health
from supervisor.process import probes
from supervisor.process.probes import CannotAsk
from tests.unit.configkit import read

CONFIG = '[bot.x]\ncommand = ["x"]\nlimits.watchdog_s = 10\n'


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now


def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story: Callable[..., None]
) -> list[Event]:
    """Let a story look after a process that lives (ours); return what the core was told."""
    clock, posted = Clock(), list[Event]()
    monkeypatch.setattr(module, "time", clock)
    bot = read(tmp_path, CONFIG).bots["x"]
    child: Any = SimpleNamespace(
        generation=1, pid=os.getpid(), heard=SimpleNamespace(beat_at=None), members=list
    )

    async def main() -> None:
        health = Health(bot, post=posted.append, report=lambda *_, **__: None, environ=dict)
        health.begin(child)
        story(health, child, clock)
        health.end()

    asyncio.run(main())
    return posted


def test_silence_is_counted_from_the_last_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or from when it was up, if it never said a word."""

    def story(health: Health, child: Any, clock: Clock) -> None:
        for _ in range(10):
            clock.now += 1.0
            health._tick()
        child.heard.beat_at = clock.now
        for _ in range(10):
            clock.now += 1.0
            health._tick()
        child.heard.beat_at = None
        health.begin(child)
        for _ in range(11):
            clock.now += 1.0
            health._tick()

    assert told(tmp_path, monkeypatch, story) == [Hung(1, "no WATCHDOG=1 for 11.0 s")]


def test_a_machine_that_slept_blames_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an hour's sleep the bot has its whole time again, and not more."""

    def story(health: Health, _child: Any, clock: Clock) -> None:
        clock.now += 3600.0
        for _ in range(12):
            health._tick()
            clock.now += 1.0

    assert told(tmp_path, monkeypatch, story) == [Hung(1, "no WATCHDOG=1 for 11.0 s")]


def test_who_was_held_still_has_its_whole_time_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A debugger lets go: the silence before that is not the bot's."""
    held = iter(["a debugger holds it still"] * 3 + [""])
    monkeypatch.setattr(module, "held_from_outside", lambda _pid: next(held))

    def story(health: Health, _child: Any, clock: Clock) -> None:
        for _ in range(44):  # it is looked at once it is silent for too long: four times
            clock.now += 1.0
            health._tick()

    assert told(tmp_path, monkeypatch, story) == [Hung(1, "no WATCHDOG=1 for 11.0 s")]


def test_that_it_is_held_still_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night in a debugger is one event; the next time, after it went on, is another one."""
    held = ["a debugger holds it still"]
    monkeypatch.setattr(module, "held_from_outside", lambda _pid: held[0])
    reports: list[str] = []

    def story(health: Health, child: Any, clock: Clock) -> None:
        def later(seconds: int) -> None:
            for _ in range(seconds):
                clock.now += 1.0
                health._tick()

        monkeypatch.setattr(health, "_report", lambda event, **_: reports.append(event))
        later(1000)
        assert reports == ["watchdog_held"]
        child.heard.beat_at = clock.now
        later(100)
        assert reports == ["watchdog_held"] * 2

    assert told(tmp_path, monkeypatch, story) == []


def test_a_reload_takes_the_watchdog_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the bot may be silent from then on."""

    def story(health: Health, _child: Any, clock: Clock) -> None:
        limits = replace(health._bot.limits, watchdog_s=None)
        health.reconfigure(replace(health._bot, limits=limits))
        clock.now += 20.0
        assert health._timer is None

    assert told(tmp_path, monkeypatch, story) == []


def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[bool | Exception]
) -> list[Event]:
    """Ask a bot that lives (ours), and have it answer so."""
    posted = list[Event]()
    bot = read(tmp_path, '[bot.x]\ncommand = ["x"]\nlimits.alive = { tcp = "127.0.0.1:9" }\n')
    child: Any = SimpleNamespace(generation=1, pid=os.getpid())

    async def answer(*_: Any, **__: Any) -> bool:
        said = answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    monkeypatch.setattr(probes, "answers", answer)

    async def main() -> None:
        health = Health(
            bot.bots["x"], post=posted.append, report=lambda *_, **__: None, environ=dict
        )
        health.begin(child)
        while answers:
            assert not posted
            await health._ask(child)
        health.end()

    asyncio.run(main())
    return posted


def test_what_could_not_be_asked_is_no_miss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no descriptor left all bots would be taken for hung, and restarted."""
    hung = [Hung(1, "no answer to its `alive` check (tcp), 3 times")]
    ours = [CannotAsk("Too many open files")] * 3
    assert asked(tmp_path, monkeypatch, [False, False, *ours, False]) == hung
    assert asked(tmp_path, monkeypatch, [False, False, *ours]) == []


def test_who_was_held_still_has_all_its_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A debugger lets go: one answer that is late is not the end of the bot."""
    held = iter(["a debugger holds it still"] * 5 + [""] * 3)
    monkeypatch.setattr(module, "held_from_outside", lambda _pid: next(held))
    hung = [Hung(1, "no answer to its `alive` check (tcp), 3 times")]
    assert asked(tmp_path, monkeypatch, [False] * 8) == hung
