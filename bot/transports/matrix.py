"""The Matrix transport: an encrypted device of an account on a homeserver.

A first login is by password and makes the device; from then on the access token in the session is
used. It never lets the library open keys that are not the linked device's, never answers before
the answer is on the disk, never asks for what was answered again.

A login proves little. So each start asks twice. A message to ourselves, sealed to the next
one-time key that the server hands out for this device: only who holds the published keys opens it.
And the newest key: a number and a public key in the account's data, which move on whenever keys
were exchanged; an older copy of the session lacks the private half.
"""

import asyncio
import contextlib
import sqlite3
import time
from dataclasses import replace
from typing import Any

import aiohttp
import peewee

from bot import keys
from bot.keys import BoxKey
from bot.session import SessionLostError, Store
from bot.transports import Host
from bot.transports.backoff import Backoff
from bot.transports.matrix_config import Settings
from bot.transports.matrix_device import Device
from bot.transports.matrix_errors import LoggedOutError, RefusedError, ServerError, must
from bot.transports.matrix_inbox import Inbox, put
from bot.transports.matrix_session import (
    KEYS,
    STORE,
    Creds,
    check_keys,
    fingerprint,
    load_creds,
    save_creds,
)

_POLL_MS = 30_000
_FIRST_S = 30.0  # for the first sync, which may be long
_PROBE_S = 3.0
_RETRY_S = 1.0  # for a message on our own account that was not accepted
_FINISH_S = 3.0  # for the message in hand when the bot stops
_GOODBYE_S = 0.5
_BACKOFF_S = (0.2, 10.0)
_STATE = ["m.room.encryption", "m.room.member"]
_FILTER = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {
        "account_data": {"types": []},
        "ephemeral": {"types": []},
        "state": {"types": _STATE},
        "timeline": {"limit": 100, "types": [*_STATE, "m.room.encrypted"]},
    },
}


class MatrixTransport:
    """The bot's device on a homeserver."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self._host = host
        self._settings = settings
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()  # nothing is in hand
        self._idle.set()
        self._said = ("", "")
        self._kind = "restored"
        self._device: Device | None = None
        self._up = asyncio.Event()
        self._number = 0  # of the newest key that is published
        self._healthy = False  # this session is the newest, and proved

    async def run(self) -> None:
        """Serve until `close`, or until the server knows this device no more.

        Raises: SessionLostError if the session can't be used; sqlite3.OperationalError.
        """
        self._task = asyncio.current_task()
        backoff = Backoff(*_BACKOFF_S)
        self._say("connecting")
        while not self._stop.is_set():
            try:
                await self._once()
            except LoggedOutError as problem:
                self._say("lost", f"401 {problem}")
                return
            except (aiohttp.ClientError, OSError, ServerError, RefusedError) as problem:
                if self._up.is_set():
                    backoff.reset()
                self._say("offline", f"{problem or type(problem).__name__}"[:300])
            except peewee.OperationalError as problem:
                raise sqlite3.OperationalError(str(problem)) from problem
            except peewee.DatabaseError as problem:
                raise SessionLostError(f"{KEYS} is damaged: {problem}") from problem
            finally:
                await self._hang_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.wait_s()):
                    await self._stop.wait()

    async def send(self, message_id: str, text: str) -> None:
        """Send a message on our own account; return when the network has accepted it."""
        while True:
            await self._up.wait()
            device, store = self._device, self._host.store
            if device is not None and store is not None:
                with contextlib.suppress(aiohttp.ClientError, OSError, ServerError, LoggedOutError):
                    return await put(device, store.kept("room"), message_id, text)
            await asyncio.sleep(_RETRY_S)

    async def close(self) -> bool:
        """Finish the message in hand, close the connection; whether nothing is written after it."""
        self._stop.set()
        task = self._task
        if task is None or task.done():
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                await self._idle.wait()
        task.cancel()
        await asyncio.wait({task}, timeout=_GOODBYE_S)
        return task.done()

    # --- one connection ---

    async def _once(self) -> None:
        """Log in, prove ourselves, serve.

        Raises: what `run` catches.
        """
        folder = self._host.folder
        creds = load_creds(folder)
        if creds is None:
            self._idle.clear()  # a stop waits: the server may have made the device already
            try:
                device, creds = await self._link()
            finally:
                self._idle.set()
            self._kind = "linked"
        else:
            check_keys(folder, creds)
            self._device = device = Device.restored(folder, creds)
        if self._host.store is None:
            self._host.store = Store.open(folder / STORE, creds.fingerprint)
        try:
            await self._serve(device, creds, self._host.store)
        except LoggedOutError as problem:
            if not (problem.soft and self._settings.password):
                raise
            await self._renew_token(device, creds)

    async def _link(self) -> tuple[Device, Creds]:
        """Make a new device by password; return it once its session is on the disk.

        Raises: SessionLostError without the right password, and what a connection raises.
        """
        told, folder = self._settings, self._host.folder
        if not told.password:
            raise SessionLostError("a first login needs BOT_MATRIX_PASSWORD")
        pickle = keys.token(32)
        self._device = device = Device(folder, told.server, told.user, pickle)
        try:
            must(await device.login(told.password, told.name))
        except RefusedError as problem:
            raise SessionLostError(f"the login was refused: {problem}") from None
        ours = device.olm.account.identity_keys
        creds = Creds(
            server=told.server,
            user=device.user_id,
            device=device.device_id,
            fingerprint=fingerprint(ours["ed25519"], ours["curve25519"]),
            linked_at=time.time(),
            token=device.access_token,
            pickle=pickle,
        )
        Store.create(folder / STORE, creds.fingerprint, BoxKey())
        save_creds(folder, creds)
        return device, creds

    async def _renew_token(self, device: Device, creds: Creds) -> None:
        """Log in again as the same device, whose token has ended."""
        try:
            must(await device.login(self._settings.password, self._settings.name))
        except RefusedError as problem:
            raise ServerError(
                f"the token has ended, and the login was refused: {problem}"
            ) from None
        save_creds(self._host.folder, replace(creds, token=device.access_token))

    async def _serve(self, device: Device, creds: Creds, store: Store) -> None:
        inbox = Inbox(self._host, store, device, self._settings.owner)
        if not device.olm_account_shared:
            await device.upload_keys()
        newest = await self._is_newest(device, store)
        await device.ask_ourselves()
        batches = [await self._first_sync(device, store.kept("since"))]
        until = time.monotonic() + _PROBE_S
        while device.probe is None and time.monotonic() < until:
            batches.append(must(await device.sync(1000, _FILTER)))
        self._healthy = newest and device.probe is True
        if self._healthy and not self._number:
            await self._move(device, store)  # the first one
        self._said = (self._kind, "")
        self._host.online(self._kind, creds.identity, proved=self._healthy)
        self._kind = "restored"
        self._device = device
        self._up.set()
        if not self._healthy:
            device.renew(self._settings.owner)
        await device.tend()
        while True:
            self._idle.clear()
            try:
                for batch in batches:
                    await inbox.take(batch, store.kept("since"))
                if inbox.heard and not self._healthy:
                    self._recovered(creds)
                await device.tend()
                if device.moved and self._healthy:
                    await self._move(device, store)
            finally:
                self._idle.set()
            batches = [must(await device.sync(_POLL_MS, _FILTER))]
            if self._stop.is_set():
                return  # it is not noted as taken: it comes again

    async def _first_sync(self, device: Device, since: str) -> Any:
        """Return what came since; with the state of all rooms, which the library does not keep."""
        async with asyncio.timeout(_FIRST_S):
            return must(await device.sync(0, _FILTER, since or None, full_state=True))

    async def _is_newest(self, device: Device, store: Store) -> bool:
        """Return whether this session has the newest key."""
        published = await device.newest_key()
        if published is None:
            self._number = 0
            return True  # the login was cut off before the first
        self._number, public = published
        key = store.key(self._number)
        return key is not None and keys.b64(key.public) == public

    async def _move(self, device: Device, store: Store) -> None:
        """Publish the next key; what holds less than this session now is older from here on."""
        device.moved = False
        number = self._number + 1
        async with store.transaction():
            key = store.make_key(number)
        await device.publish_newest(number, keys.b64(key.public))
        self._number = number
        async with store.transaction():
            store.drop_keys_below(number)

    def _recovered(self, creds: Creds) -> None:
        """An older session was given new keys, and opened a message with them."""
        self._healthy = True
        if self._device is not None:
            self._device.moved = True
        self._host.online("restored", creds.identity, proved=True)

    async def _hang_up(self) -> None:
        self._up.clear()
        device, self._device = self._device, None
        if device is not None:
            await device.close()
            if device.store is not None:
                device.store.database.close()

    def _say(self, state: str, reason: str = "") -> None:
        if self._said != (state, reason):
            self._said = (state, reason)
            self._host.state(state, reason=reason)
