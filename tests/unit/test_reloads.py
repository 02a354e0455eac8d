"""A reload is not cut in two by a stop, and nothing is touched for a config that can't be taken."""

import asyncio
import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from supervisor.config import BotConfig, Config
from supervisor.core.errors import SupervisorError
from supervisor.loop.charge import Charge
from supervisor.loop.handoff import digest
from supervisor.loop.reloads import Reloads
from tests.unit.configkit import read

CONFIG = '[bot.x]\ncommand = ["x"]\n'


class Keeper:
    """Keeps no bots, and takes a config only once it may."""

    chosen: Collection[str] | None = None
    stopping = False

    def __init__(self, config: Config) -> None:
        self.config = config
        self.charges: dict[str, Charge] = {}
        self.told: list[str] = []
        self.taking, self.may = asyncio.Event(), asyncio.Event()
        self.took: Config | None = None
        self.digest = ""

    async def take(self, config: Config, digest: str) -> None:
        """Wait, and go on by it."""
        self.digest = digest
        self.taking.set()
        await self.may.wait()
        self.took = config

    def admit(self, bot: BotConfig) -> Charge:
        """Care for none."""
        raise AssertionError(bot.name)

    async def dismiss(self, name: str) -> None:
        """There is none."""
        raise AssertionError(name)

    async def start(self, charges: Collection[Charge]) -> None:
        """There are none."""
        assert not charges

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        """Remember what was told."""
        self.told.append(f"{event} {fields.get('why', '')}".strip())


def keeping(tmp_path: Path, story: Callable[[Keeper], Any]) -> Keeper:
    """Let a story reload with such a keeper."""
    config = read(tmp_path, CONFIG)

    async def main() -> Keeper:
        keeper = Keeper(config)
        async with asyncio.timeout(10):
            await story(keeper)
        return keeper

    return asyncio.run(main())


@pytest.mark.parametrize("by_signal", [True, False])
def test_what_is_under_way_comes_to_its_end(tmp_path: Path, *, by_signal: bool) -> None:
    """Else a bot would be let go by halves, and the supervisor fail over it while it stops."""

    async def story(keeper: Keeper) -> None:
        reloads = Reloads(keeper, lambda: keeper.config)
        asked = None
        if by_signal:
            reloads.request()
        else:
            asked = asyncio.ensure_future(reloads.reload())
        await keeper.taking.wait()
        closing = asyncio.ensure_future(reloads.close())
        asyncio.get_running_loop().call_soon(keeper.may.set)
        await closing
        assert keeper.took is keeper.config
        assert not reloads.under_way
        if asked is not None:
            await asked

    assert keeping(tmp_path, story).told == ["reloading", "reloaded"]


def test_a_user_that_we_cannot_become_is_refused_before_a_bot_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was seen once its bot was stopped and let go: nobody cared for that bot any more."""
    monkeypatch.setattr(os, "geteuid", lambda: 4711)

    async def story(keeper: Keeper) -> None:
        bot = replace(keeper.config.bots["x"], user="root")
        new = replace(keeper.config, bots={"x": bot})
        with pytest.raises(SupervisorError, match="only root"):
            await Reloads(keeper, lambda: new).reload()

    (told,) = keeping(tmp_path, story).told
    assert told.startswith("reload_refused only root")


def test_what_is_written_while_it_is_read_does_not_pass_for_what_was_read(tmp_path: Path) -> None:
    """An upgrade would go on by a config that nobody has looked at."""

    async def story(keeper: Keeper) -> None:
        first = digest(keeper.config.path)

        def load() -> Config:
            keeper.config.path.write_text("[bot.y]")
            return keeper.config

        keeper.may.set()
        await Reloads(keeper, load).reload()
        assert keeper.digest == first != digest(keeper.config.path)

    keeping(tmp_path, story)
