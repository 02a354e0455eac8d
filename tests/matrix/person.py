"""A person with an encrypted Matrix client, in a thread of its own; counts what the bot says."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

from nio import (
    AsyncClient,
    AsyncClientConfig,
    MegolmEvent,
    RoomMemberEvent,
    RoomMessageNotice,
    RoomPreset,
)

WAIT_S = 30.0
ENCRYPTION = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


class Person:
    """The bot's owner, at a device."""

    def __init__(self, url: str, user: str, password: str, folder: Path) -> None:
        folder.mkdir()
        self.user = user
        self.room = ""
        self.replies: dict[str, list[str]] = defaultdict(list)  # by the message they answer
        self.unread = 0  # messages of the bot that could not be decrypted
        self.joined: set[str] = set()
        self._password = password
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        config = AsyncClientConfig(store_name="person.db")
        self._client = AsyncClient(url, user, store_path=str(folder), config=config)
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._syncing: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(self, *_error: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _start(self) -> None:
        await self._client.login(self._password, "person")
        self._client.add_event_callback(self._reply, RoomMessageNotice)
        self._client.add_event_callback(self._member, RoomMemberEvent)
        self._client.add_event_callback(self._unreadable, MegolmEvent)
        self._syncing = asyncio.ensure_future(self._client.sync_forever(10_000))
        await self._client.synced.wait()

    async def _end(self) -> None:
        if self._syncing is not None:
            self._syncing.cancel()
            await asyncio.wait({self._syncing})
        await self._client.close()
        if self._client.store is not None:
            self._client.store.database.close()

    async def _reply(self, _room: Any, event: Any) -> None:
        relation = event.source["content"].get("m.relates_to", {})
        with self._changed:
            asked = relation.get("m.in_reply_to", {}).get("event_id", "")
            self.replies[asked].append(event.body)
            self._changed.notify_all()

    async def _member(self, _room: Any, event: Any) -> None:
        with self._changed:
            if event.membership == "join":
                self.joined.add(event.state_key)
            self._changed.notify_all()

    async def _unreadable(self, _room: Any, event: Any) -> None:
        with self._changed:
            self.unread += event.sender != self.user
            self._changed.notify_all()

    @property
    def token(self) -> str:
        """The access token of this device."""
        return str(self._client.access_token)

    def invite(self, bot: str) -> None:
        """Make an encrypted room for us two; return once the bot is in it."""
        self.room = self._do(self._invite(bot))
        self.wait(lambda: bot in self.joined, "the bot joins")

    async def _invite(self, bot: str) -> str:
        made = await self._client.room_create(
            preset=RoomPreset.private_chat, invite=[bot], initial_state=[ENCRYPTION]
        )
        while not (room := self._client.rooms.get(made.room_id)) or not room.encrypted:
            await self._client.synced.wait()
        return str(made.room_id)

    def send(self, text: str) -> str:
        """Send a message, encrypted; return its id."""
        return str(self._do(self._send(text)))

    async def _send(self, text: str) -> str:
        content = {"msgtype": "m.text", "body": text}
        sent = await self._client.room_send(
            self.room, "m.room.message", content, ignore_unverified_devices=True
        )
        return str(sent.event_id)

    def new_room_key(self) -> None:
        """Use a new key for the room from here on, as clients do now and then."""
        self._do(self._forget_room_key())

    async def _forget_room_key(self) -> None:
        self._client.invalidate_outbound_session(self.room)

    def reply(self, asked: str, timeout_s: float = WAIT_S) -> str:
        """Return the bot's answer to a message."""
        self.wait(lambda: bool(self.replies[asked]), f"an answer to {asked}", timeout_s)
        return self.replies[asked][0]

    def ask(self, text: str, timeout_s: float = WAIT_S) -> str:
        """Send a message and return the bot's answer."""
        return self.reply(self.send(text), timeout_s)

    def wait(self, true: Any, words: str, timeout_s: float = WAIT_S) -> None:
        """Wait for what a sync brings."""
        with self._changed:
            assert self._changed.wait_for(true, timeout_s), f"never: {words}"
