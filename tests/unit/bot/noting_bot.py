"""A bot for the tests of a transport: it notes all that it is told, and a test waits for it."""

import asyncio
from pathlib import Path
from typing import Any

from bot.session import Store


class Bot:
    """The bot, as the transport sees it: it notes all that it is told."""

    generation = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store | None = None
        self.told: list[tuple[Any, ...]] = []
        self._more = asyncio.Event()

    def _tell(self, *words: Any) -> None:
        self.told.append(words)
        self._more.set()

    async def until(self, *words: Any) -> tuple[Any, ...]:
        """Return what was told, once it begins with these words."""
        while True:
            for one in self.told:
                if one[: len(words)] == words:
                    return one
            self._more.clear()
            await self._more.wait()

    def state(self, state: str, identity: str = "", reason: str = "") -> None:
        """Note it."""
        self._tell("state", state, reason, identity)

    def online(self, state: str, identity: str, *, proved: bool | None) -> None:
        """Note it."""
        self._tell("online", state, identity, proved)

    def proved(self) -> None:
        """Note it."""
        self._tell("proved")

    def undecryptable(self) -> None:
        """Note it."""
        self._tell("undecryptable")

    def qr(self, payload: str, ttl_s: float) -> None:
        """Note it."""
        self._tell("qr", payload, ttl_s)

    def code(self, code: str) -> None:
        """Note it."""
        self._tell("code", code)

    async def answer(self, message_id: str, text: str) -> str:
        """Note it."""
        self._tell("ran", text, message_id)
        return f"answer to {text}"
