"""The library's client (neonize, asynchronous): one queue of all it says, and the calls we need.

Calls into the library block a thread, `connect` for a minute where a peer accepts and says nothing,
and nothing unblocks it. So none is waited for without a bound at the end: the thread is left, and
the process's end takes it along. The task of `connect` must never be cancelled: its cancelling
calls the library from the event loop, which would then block.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from neonize.aioze.client import NewAClient, ProxySettings
from neonize.exc import NeonizeError
from neonize.proto import Neonize_pb2 as wa
from neonize.proto.waCompanionReg.WAWebProtobufsCompanionReg_pb2 import DeviceProps
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import Message

from bot.transports.whatsapp_events import device
from bot.transports.whatsapp_mail import NotSentError, UnsureError

_WHATSAPP = ("web.whatsapp.com", 443)
_PORTS = {"http": 80, "https": 443}  # of a proxy that names none
_PROBE_S = 10.0
_HEARD = (
    wa.Connected,
    wa.ClientOutdated,
    wa.ConnectFailure,
    wa.Disconnected,
    wa.KeepAliveRestored,
    wa.KeepAliveTimeout,
    wa.LoggedOut,
    wa.Message,
    wa.PairStatus,
    wa.Receipt,
    wa.StreamError,
    wa.StreamReplaced,
    wa.TemporaryBan,
    wa.UndecryptableMessage,
)
# What the library says where nothing can have left yet.
_NOT_SENT = ("websocket not connected", "the store doesn't contain a device JID")


@dataclass(frozen=True, slots=True)
class Code:
    """A QR code's text. A secret."""

    payload: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The library's connection is over, or never began. `why` is safe to show."""

    number: int  # of the connection
    why: str
    damaged: bool = False  # the database is to blame


@dataclass(frozen=True, slots=True)
class Own:
    """Who we are: the device's id, and the account's names (a number, and a hidden one)."""

    device: str
    users: frozenset[str]


class Line:
    """One client of the library, for a device that is linked or for a new one."""

    def __init__(self, database: Path, device_id: str = "", proxy: str = "") -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        #: Whether the library is connecting, where it can't be interrupted.
        self.dialing = False
        self.number = 0  # of the connection
        self.device_id = device_id
        self._proxy = proxy
        # The library puts the path into a URI as it is.
        path = quote(str(database.absolute()))
        props = DeviceProps(os="stillhere", platformType=DeviceProps.CHROME)
        jid = _jid(device_id) if device_id else None
        self._client = NewAClient(path, jid=jid, props=props, uuid="bot")
        self._client.event.qr(self._on_code)
        for kind in _HEARD:
            self._client.event(kind)(self._on_event)

    async def connect(self) -> None:
        """Begin to connect; what comes of it is in `events`, an `Ended` in the end."""
        self.dialing = True
        self.number += 1
        number = self.number
        proxy = ProxySettings(self._proxy) if self._proxy else None
        task = await self._client.connect(proxy)
        task.add_done_callback(lambda done: self._on_end(done, number))

    async def reachable(self) -> str:
        """Return an empty text if WhatsApp (or the proxy) accepts a connection, else why not.

        Each try of the library leaves a database connection open in it. So ours comes first.
        """
        host, port = _WHATSAPP
        if self._proxy:
            parts = urlsplit(self._proxy)
            host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 1080)
        try:
            async with asyncio.timeout(_PROBE_S):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return "no answer"
        except OSError as problem:
            return problem.strerror or type(problem).__name__
        writer.close()
        return ""

    async def own(self) -> Own:
        """Return who we are."""
        me = await self._client.get_me()
        users = frozenset(jid.User for jid in (me.JID, me.LID) if jid.User)
        return Own(device(me.JID), users)

    async def send(self, chat: str, text: str) -> str:
        """Send a text; return its id.

        Raises: NotSentError, UnsureError.
        """
        try:
            sent = await self._client.send_message(_jid(chat), Message(conversation=text))
        except NeonizeError as problem:
            kind = NotSentError if any(word in str(problem) for word in _NOT_SENT) else UnsureError
            raise kind(_last(str(problem))) from None
        return str(sent.ID)

    async def pair_code(self, phone: str) -> str:
        """Return the code to type on that phone; an empty text if WhatsApp gives none."""
        try:
            return str(await self._client.PairPhone(phone, show_push_notification=True))
        except NeonizeError:
            return ""

    async def stop(self) -> None:
        """Let go of a connection, before the next `connect`. While it dials that takes a minute."""
        await self._client.stop()

    async def disconnect(self, timeout_s: float) -> None:
        """Close the connection, if that can be done now."""
        if self.dialing:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._client.disconnect()

    async def _on_code(self, _: object, payload: bytes) -> None:
        self.dialing = False
        self.events.put_nowait(Code(payload.decode("utf-8", "replace")))

    async def _on_event(self, _: object, event: object) -> None:
        self.dialing = isinstance(event, wa.Disconnected)  # then it dials again by itself
        self.events.put_nowait(event)

    def _on_end(self, task: "asyncio.Task[None]", number: int) -> None:
        self.dialing = self.dialing and number != self.number
        problem = None if task.cancelled() else task.exception()
        text = str(problem) if problem is not None else "the connection ended"
        damaged = any(word in text for word in ("malformed", "not a database", "key length"))
        self.events.put_nowait(Ended(number, _last(text), damaged))


def quiet(level: str = "") -> None:
    """Let the library print nothing; or, for whoever looks for a fault, from this level on.

    At DEBUG it would print messages, addresses and codes: that is not offered.
    """
    wanted = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
    for name in ("neonize", "neonize.utils.log", "whatsmeow", "Whatsmeow.Database"):
        logging.getLogger(name).setLevel(wanted.get(level.lower(), logging.CRITICAL))


def _jid(text: str) -> Any:
    """Return an address as the library wants it: `user.agent:device@server`."""
    user, _, server = text.rpartition("@")
    user, _, number = user.partition(":")
    user, _, agent = user.partition(".")
    return wa.JID(
        User=user,
        RawAgent=int(agent or 0),
        Device=int(number or 0),
        Integrator=0,
        Server=server,
    )


def _last(text: str) -> str:
    """Return the end of an error: what comes before may name a proxy with its password."""
    return text.rpartition(": ")[2][:100].strip()
