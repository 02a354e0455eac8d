"""A reload that can't read its config, whatever the reason."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.loop.reloads import Keeper, Reloads


@pytest.mark.parametrize("asked", ["by a command", "by a signal"])
def test_a_config_that_the_machine_does_not_give_is_refused(tmp_path: Path, asked: str) -> None:
    """A folder that may not be read, a disk with errors: told as a mistake in the config is.

    So the manager above gets the word that it waits for.
    """
    told: list[tuple[str, dict[str, Any]]] = []

    def load() -> Any:
        raise PermissionError(13, "Permission denied", str(tmp_path / "config.toml"))

    async def main() -> None:
        def tell(event: str, fields: dict[str, Any]) -> None:
            told.append((event, fields))

        reloads = Reloads(cast("Keeper", SimpleNamespace(stopping=False, tell=tell)), load)
        if asked == "by a signal":
            reloads.request()
            while reloads.under_way:
                await asyncio.to_thread(lambda: None)
        else:
            with pytest.raises(SupervisorError, match="Permission denied"):
                await reloads.reload()

    asyncio.run(main())
    ((event, fields),) = told
    assert event == "reload_refused"
    assert str(tmp_path / "config.toml") in fields["why"]
