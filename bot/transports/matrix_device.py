"""The bot's Matrix device: matrix-nio's client, made safe for a bot that may be killed anywhere.

The library saves keys after it used them on the network, and one statement at a time. Here each
answer of the server changes the keys in one transaction, and keys are on the disk before they are
published. It owns the connection and `crypto.db`; it decides nothing about messages.
"""

import asyncio
import base64
import contextlib
import logging
import uuid
from pathlib import Path
from typing import Any

import vodozemac
from nio import (
    AsyncClient,
    AsyncClientConfig,
    DummyEvent,
    ErrorResponse,
    ForwardedRoomKeyEvent,
    KeysUploadError,
    KeysUploadResponse,
    OlmEvent,
    RoomKeyEvent,
    SyncResponse,
)
from nio.api import Api
from nio.crypto.sessions import InboundSession, OutboundSession
from nio.event_builders import ToDeviceMessage

from bot import keys
from bot.transports.matrix_errors import RefusedError, ServerError, must
from bot.transports.matrix_session import KEYS, Creds

_REQUEST_S = 10.0
_SEALED = "m.room.encrypted"
_UNDECRYPTABLE = (
    vodozemac.OlmDecryptionException,
    vodozemac.SessionCreationException,
    vodozemac.DecodeException,
    ValueError,
    KeyError,
)
# The library logs what it could not parse, and that may be a secret. What matters is said by us.
logging.getLogger("nio").setLevel(logging.CRITICAL + 1)


class Device(AsyncClient):  # type: ignore[misc] # the library has no types
    """One device, logged in or about to be."""

    def __init__(self, folder: Path, server: str, user: str, pickle: str) -> None:
        config = AsyncClientConfig(
            max_timeouts=0,  # each error is ours to judge: the library would try for ever
            max_limit_exceeded=5,  # as long as the server asks for, each
            request_timeout=_REQUEST_S,
            store_name=KEYS,
            pickle_key=pickle,
        )
        super().__init__(server, user, store_path=str(folder), config=config)
        self.new_keys: set[str] = set()  # the room keys that came since the start, by session id
        self.moved = False  # keys that an older copy of the session would lack
        self.writing = asyncio.Lock()  # one message at a time: the room's key is given out first
        self._asked, self._nonce = "", ""  # outside and inside of our message to ourselves
        self.probe: bool | None = None  # whether our message to ourselves could be opened

    @classmethod
    def restored(cls, folder: Path, creds: Creds) -> "Device":
        """Return the device of a session whose keys were checked."""
        device = cls(folder, creds.server, creds.user, creds.pickle)
        device.restore_login(creds.user, creds.device, creds.token)
        return device

    async def receive_response(self, response: Any) -> None:
        """Take in an answer of the server: all that it changes in the keys, or nothing."""
        if self.store is None:  # a login
            await super().receive_response(response)
            return
        with self.store.database.atomic():
            if isinstance(response, SyncResponse):
                response.to_device_events[:] = [
                    event for event in response.to_device_events if not self._opened(event)
                ]
            await super().receive_response(response)
            if isinstance(response, SyncResponse):
                self._note(response)

    def _note(self, response: Any) -> None:
        """Note what the library does not: the end of our one-time keys, and keys that came."""
        if response.device_key_count.signed_curve25519 == 0:
            self.olm.uploaded_key_count = 0
        for event in response.to_device_events:
            if isinstance(event, RoomKeyEvent | ForwardedRoomKeyEvent):
                self.new_keys.add(event.session_id)
            self.moved |= isinstance(event, RoomKeyEvent | ForwardedRoomKeyEvent | DummyEvent)

    # --- keys ---

    async def upload_keys(self) -> bool:
        """Publish what the server lacks, once it is on the disk; say whether that worked.

        Raises: LoggedOutError, ServerError, and what a connection raises.
        """
        if not self.should_upload_keys:
            return True
        with self.store.database.atomic():
            content = self.olm.share_keys()
            self.olm.save_account()
        method, path, data = Api.keys_upload(self.access_token, content)
        response = await self._send(KeysUploadResponse, method, path, data)
        if isinstance(response, KeysUploadError):
            with contextlib.suppress(RefusedError):
                must(response)
            # The session is older than what it published: these numbers are taken. Use the next.
            self.olm.mark_keys_as_published()
            self.olm.save_account()
            return False
        return True

    async def tend(self) -> None:
        """Do what the keys need between two syncs.

        Raises: LoggedOutError, RefusedError, ServerError, and what a connection raises.
        """
        await self.upload_keys()
        if self.should_query_keys:
            must(await self.keys_query())
        if self.should_claim_keys:
            must(await self.keys_claim(self.get_users_for_key_claiming()))
        for sent in await self.send_to_device_messages():
            must(sent)
            self.moved = True

    async def share(self, room_id: str) -> None:
        """Give the room's members the key that we are about to write with, if they lack it.

        Raises: LoggedOutError, RefusedError, ServerError, and what a connection raises.
        """
        room = self.rooms[room_id]
        if not room.members_synced:
            must(await self.joined_members(room_id))
        if self.should_query_keys:
            must(await self.keys_query())
        if not self.olm.should_share_group_session(room_id):
            return
        self.moved = True
        must(await self.share_group_session(room_id, ignore_unverified_devices=True))
        # The library takes a request that failed for a key that was given.
        session = self.olm.outbound_group_sessions[room_id]
        given = session.users_shared_with | session.users_ignored
        for user in room.users:
            for device in self.device_store.active_user_devices(user):
                ours = user == self.user_id and device.id == self.device_id
                reachable = self.olm.session_store.get(device.curve25519) is not None
                if reachable and not ours and (user, device.id) not in given:
                    del self.olm.outbound_group_sessions[room_id]
                    raise ServerError("the room's key could not be given to all devices")

    def renew(self, user: str) -> None:
        """Have new key exchanges with all of a user's devices: ours are older than theirs."""
        devices = self.device_store.active_user_devices(user)
        known = self.olm.wedged_devices
        known.extend(device for device in devices if device not in known)

    async def write(self, room_id: str, content: dict[str, Any], message_id: str) -> Any:
        """Send a message to a room whose members have our key; return what the server says."""
        return await self.room_send(
            room_id, "m.room.message", content, message_id, ignore_unverified_devices=True
        )

    # --- a message to ourselves ---

    async def ask_ourselves(self) -> None:
        """Send this device a message, sealed to a key that the server hands out for it.

        Raises: LoggedOutError, RefusedError, ServerError, and what a connection raises.
        """
        key = await self._claim()
        if key is None:
            self.olm.uploaded_key_count = 0
            await self.upload_keys()
            key = await self._claim()
        ours = self.olm.account.identity_keys
        if key is None or not self.olm.verify_json(
            key, ours["ed25519"], self.user_id, self.device_id
        ):
            self.probe = False  # what is published for us is not signed by our key
            return
        self._asked, self._nonce = keys.token(), keys.token()
        payload = {
            "type": "m.dummy",
            "content": {"stillhere": self._nonce},
            "sender": self.user_id,
            "sender_device": self.device_id,
            "keys": {"ed25519": ours["ed25519"]},
            "recipient": self.user_id,
            "recipient_keys": {"ed25519": ours["ed25519"]},
        }
        session = OutboundSession(self.olm.account, ours["curve25519"], key["key"])
        kind, body = session.encrypt(Api.to_json(payload)).to_parts()
        content = {
            "stillhere": self._asked,
            "algorithm": "m.olm.v1.curve25519-aes-sha2",
            "sender_key": ours["curve25519"],
            "ciphertext": {ours["curve25519"]: {"type": kind, "body": _base64(body)}},
        }
        must(
            await self.to_device(
                ToDeviceMessage(_SEALED, self.user_id, self.device_id, content), uuid.uuid4()
            )
        )

    async def _claim(self) -> dict[str, Any] | None:
        """Return one of our one-time keys, as anyone gets it."""
        found = must(await self.keys_claim({self.user_id: [self.device_id]})).one_time_keys
        named = found.get(self.user_id, {}).get(self.device_id, {})
        return next(iter(named.values()), None)

    def _opened(self, event: Any) -> bool:
        """Return whether this is a message of ours to ourselves; note if it could be opened."""
        ours = self.olm.account.identity_keys["curve25519"]
        if not isinstance(event, OlmEvent) or event.sender_key != ours:
            return False
        # One of an earlier start may come again, if that was killed before it noted the sync.
        now = bool(self._asked) and event.source["content"].get("stillhere") == self._asked
        try:
            message = vodozemac.PreKeyMessage.from_base64(event.ciphertext[ours]["body"])
            plain = InboundSession(self.olm.account, message, ours).decrypt(message)
            self.olm.save_account()
        except _UNDECRYPTABLE:
            plain = ""
        if now:
            self.probe = self._nonce in plain
        return True

    # --- what moves forward, in the account's own data ---

    async def newest_key(self) -> tuple[int, str] | None:
        """Return number and public half of the newest session's key; None: none was published.

        Raises: LoggedOutError, ServerError, and what a connection raises.
        """
        found = await self._own_data("GET")
        if found is None:
            return None
        number, public = found.get("number"), found.get("public")
        return (number, public) if isinstance(number, int) and isinstance(public, str) else (0, "")

    async def publish_newest(self, number: int, public: str) -> None:
        """Publish the key that only the newest session has.

        Raises: LoggedOutError, ServerError, and what a connection raises.
        """
        await self._own_data("PUT", {"number": number, "public": public})

    async def _own_data(self, method: str, body: dict[str, Any] | None = None) -> Any:
        parts = ["user", self.user_id, "account_data", f"stillhere.newest.{self.device_id}"]
        response = await self.send(
            method,
            Api._build_path(parts, {}),  # noqa: SLF001 (it has no other way to this address)
            Api.to_json(body) if body is not None else None,
            {"Authorization": f"Bearer {self.access_token}"},
        )
        found = await self.parse_body(response)
        if response.status == 404:  # noqa: PLR2004 (HTTP)
            return None
        if response.status != 200:  # noqa: PLR2004 (HTTP)
            error = ErrorResponse.from_dict(found)
            error.transport_response = response
            if error.status_code != "M_UNKNOWN_TOKEN":
                raise ServerError(f"{response.status} {error.message}"[:300])
            must(error)
        return found


def _base64(data: bytes) -> str:
    """Return Matrix's base64: without padding."""
    return base64.b64encode(data).rstrip(b"=").decode("ascii")
