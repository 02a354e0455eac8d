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
    path = tmp_path / "config.toml"
    told: list[tuple[str, dict[str, Any]]] = []

    def load() -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    async def main() -> None:
        def tell(event: str, fields: dict[str, Any]) -> None:
            told.append((event, fields))

        config = SimpleNamespace(path=path)
        keeper = SimpleNamespace(stopping=False, tell=tell, config=config)
        reloads = Reloads(cast("Keeper", keeper), load)
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
    assert str(path) in fields["why"]
