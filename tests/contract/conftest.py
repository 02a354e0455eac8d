"""What the tests of real children, and of the bot that ships, share."""

from collections.abc import Iterator

import pytest

from tests.contract.childkit import adopting
from tests.unit.bot.botkit import World, world

__all__ = ["adopting"]


@pytest.fixture
def here() -> Iterator[World]:
    """Make a world with a running server."""
    with world() as made:
        made.server()
        yield made
