"""What a sync brings: invitations and messages, in the order of the room, none twice, none lost.

It answers its owner's encrypted messages. What is not encrypted, or of anyone else, is not
answered. An answer has an id that follows from the message's, so the server drops a second one.
"""

import json
from typing import Any

from nio import Event, MegolmEvent, MessageDirection, RoomMemberEvent, RoomMessageText

from bot.keys import derived_id
from bot.session import Store
from bot.transports import Host
from bot.transports.matrix_device import Device
from bot.transports.matrix_errors import RefusedError, must

_WAITING = 100  # messages whose key has not come yet
_PAGE = 100
_PAGES = 20  # of one room, of what came while the bot was away


class Inbox:
    """Takes what one sync brought. One at a time."""

    def __init__(self, host: Host, store: Store, device: Device, owner: str) -> None:
        self._host = host
        self._store = store
        self._device = device
        self._owner = owner
        self._waiting: dict[str, dict[str, Any]] = json.loads(store.kept("waiting") or "{}")
        #: Whether a message was opened with a key that came since the start.
        self.heard = False

    async def take(self, response: Any, since: str) -> None:
        """Answer what came, then note that it needs not to come again.

        `since`: where this sync began; empty: a first login, which answers nothing older.
        Raises: LoggedOutError, ServerError, and what a connection raises.
        """
        for room_id, invitation in response.rooms.invite.items():
            if any(event.sender == self._owner for event in invitation.invite_state):
                await self._join(room_id)
        if since:
            for room_id, info in response.rooms.join.items():
                for event in await self._events(room_id, info.timeline, since):
                    await self._event(room_id, event)
            await self._retry()
        await self._store.keep("since", response.next_batch)

    async def _join(self, room_id: str) -> None:
        try:
            must(await self._device.join(room_id))
        except RefusedError:
            return  # it was taken back

    async def _events(self, room_id: str, timeline: Any, since: str) -> list[Any]:
        """Return a room's events, the gap filled, from our own entry on."""
        events = list(timeline.events)
        place = timeline.prev_batch if timeline.limited else None
        for _ in range(_PAGES):
            if not place or any(self._entry(event) for event in events):
                break
            page = must(
                await self._device.room_messages(
                    room_id, place, since, MessageDirection.back, limit=_PAGE
                )
            )
            events = [*reversed(page.chunk), *events]
            place = page.end if page.chunk else None
        entries = [n for n, event in enumerate(events) if self._entry(event)]
        return events[entries[-1] :] if entries else events

    def _entry(self, event: Any) -> bool:
        return (
            isinstance(event, RoomMemberEvent)
            and event.state_key == self._device.user_id
            and event.membership == "join"
            and event.prev_membership != "join"
        )

    async def _event(self, room_id: str, event: Any) -> None:
        if event.sender != self._owner:
            return
        if isinstance(event, MegolmEvent):
            await self._unreadable(room_id, event)
        elif isinstance(event, RoomMessageText) and event.decrypted and not _edits(event):
            await self._message(room_id, event)

    async def _message(self, room_id: str, event: Any) -> None:
        answer = self._store.answer_to(event.event_id)
        if answer is None:
            async with self._store.transaction():
                answer = await self._host.answer(event.event_id, event.body)
                self._store.note_handled(event.event_id, answer)
        if self._store.kept("room") != room_id:
            await self._store.keep("room", room_id)
        # All is on the disk. From here on a kill costs a repetition that the server drops.
        reply_id = derived_id("reply", event.event_id)
        await put(self._device, room_id, reply_id, answer, event.event_id)
        self.heard |= event.session_id in self._device.new_keys

    async def _unreadable(self, room_id: str, event: Any) -> None:
        """Count it, once, and keep it: its key may still come."""
        if event.event_id in self._waiting or self._store.answer_to(event.event_id) is not None:
            return
        self._host.undecryptable()
        self._waiting[event.event_id] = {"room": room_id, "event": event.source}
        while len(self._waiting) > _WAITING:
            del self._waiting[next(iter(self._waiting))]
        await self._store.keep("waiting", json.dumps(self._waiting))

    async def _retry(self) -> None:
        """Open what waited for a key that has come."""
        opened: list[str] = []
        for event_id, kept in self._waiting.items():
            event = Event.parse_event(kept["event"])
            if isinstance(event, MegolmEvent) and event.session_id in self._device.new_keys:
                event.room_id = kept["room"]
                plain = self._device.olm.decrypt_event(event)
                if plain is not None:
                    await self._event(kept["room"], plain)
                    opened.append(event_id)
        for event_id in opened:
            del self._waiting[event_id]
        if opened:
            await self._store.keep("waiting", json.dumps(self._waiting))


async def put(device: Device, room_id: str, message_id: str, text: str, answers: str = "") -> None:
    """Send a text, encrypted; the same id twice is one message. A room that is closed to us: none.

    Raises: LoggedOutError, ServerError, and what a connection raises.
    """
    if room_id not in device.rooms:
        return
    try:
        async with device.writing:
            await device.share(room_id)
            content: dict[str, Any] = {"msgtype": "m.notice", "body": text}
            if answers:
                content["m.relates_to"] = {"m.in_reply_to": {"event_id": answers}}
            must(await device.write(room_id, content, message_id))
    except RefusedError:
        return  # we may not write there any more, and a second try is refused as well


def _edits(event: Any) -> bool:
    relation = event.source.get("content", {}).get("m.relates_to")
    return isinstance(relation, dict) and relation.get("rel_type") == "m.replace"
