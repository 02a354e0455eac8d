"""The WhatsApp transport: a linked device of a WhatsApp account, through neonize and whatsmeow.

It owns the session's three files: `whatsapp.db` (the library's: keys, ratchets), `linked.json`
(which device was linked, whatsapp_guards.py) and `store.db` (the bot's own). It never lets the
library near a session that does not look right, never says `lost` for what is not the session's
fault, and never touches the session again after it was removed or replaced.

How exactly messages are answered: whatsapp_mail.py. Checkpoint: the library commits each change
into its one file (journal_mode=delete), so there is nothing of it to flush; `store.db` is.
"""

import asyncio
import contextlib
import sqlite3
import time
from typing import Any

from neonize.proto import Neonize_pb2 as wa

from bot.session import SessionLostError, Store
from bot.transports import Host
from bot.transports.backoff import Backoff
from bot.transports.whatsapp_events import News, Then, deaf, device, incoming, news, read_elsewhere
from bot.transports.whatsapp_guards import (
    DATABASE,
    Device,
    OpenDatabase,
    check,
    hold,
    is_noted,
    note_ended,
    note_linked,
)
from bot.transports.whatsapp_line import Code, Ended, Line, Own, quiet
from bot.transports.whatsapp_mail import Mail, NotSentError, UnsureError
from bot.transports.whatsapp_settings import Settings

_BACKOFF_S = (1.0, 60.0)
_PATIENCE_S = 15.0  # silence that is worth saying
_QR_TTL_S = (60.0, 20.0)  # the first code of a connection, each of the others
_QR_SLACK_S = 10.0
_FINISH_S = 3.0  # for the messages in hand when the bot stops
_GOODBYE_S = 1.0
_QUIET_S = 0.02  # what the library still had in hand has arrived
_SEAL_S = 2.0


class WhatsAppTransport:
    """The bot's device on WhatsApp."""

    def __init__(self, host: Host, settings: Settings) -> None:
        self._host = host
        self._settings = settings
        self._stop = asyncio.Event()
        self._said = ("", "")
        self._device: Device | None = None
        self._kind = "restored"
        self._line: Line | None = None
        self._lines: list[Line] = []  # kept: a client that is collected stops its successor
        self._database: OpenDatabase | None = None
        self._mail: Mail | None = None
        self._mailing: asyncio.Task[None] | None = None
        self._online_at = 0.0  # seconds since 1970; 0: not online
        self._proved = False
        self._testing: asyncio.Task[None] | None = None
        self._read: set[str] = set()  # our messages that another device of ours could read
        self._got = asyncio.Event()  # one more of them
        self._mail_there = asyncio.Event()
        self._codes = 0  # of this connection
        self._task: asyncio.Task[None] | None = None
        self._held = -1

    async def run(self) -> None:
        """Serve until `close`, or until the session is lost or another copy took it over.

        Raises: InUseError; SessionLostError if the session can't be used.
        """
        self._task = asyncio.current_task()
        quiet(self._settings.log)
        self._held = hold(self._host.folder)
        self._device = check(self._host.folder)
        self._say("connecting")
        if self._device is not None:
            await self._open_store(self._device)
        backoff = Backoff(*_BACKOFF_S)
        tried = False
        while not self._stop.is_set():
            line = self._line_of(self._device)
            after = News(Then.RETRY, "offline", await line.reachable() if tried else "")
            if not after.reason:
                after = await self._connected(line)
            if self._codes or self._online_at:
                backoff.reset()
            tried = True
            self._down()
            if after.state:
                self._say(after.state, after.reason)
            if after.then is Then.END:
                return
            pause_s = max(after.pause_s, backoff.wait_s())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stop.wait()

    async def send(self, message_id: str, text: str) -> None:
        """Send a message to our own chat; return when WhatsApp has accepted it."""
        await self._mail_there.wait()
        if self._mail is not None and self._device is not None:
            await self._mail.send(message_id, _account(self._device), text)

    async def close(self) -> bool:
        """Answer what came, disconnect, write down what came last, shut the library out."""
        self._stop.set()
        if self._mail is not None:
            await self._mail.settle(_FINISH_S)
            self._mail.down()
        if self._line is not None:
            await self._line.disconnect(_GOODBYE_S)
        for task in (self._task, self._testing, self._mailing):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_GOODBYE_S)
        if self._line is not None:
            await self._drain(self._line)
        if self._mail is not None:
            await self._mail.note_all()
        return await self._sealed()

    # --- one connection ---

    def _line_of(self, known: Device | None) -> Line:
        """Return the client for the device; a new one once a device is linked."""
        name = known.id if known else ""
        if self._line is None or self._line.device_id != name:
            self._line = Line(self._host.folder / DATABASE, name, self._settings.proxy)
            self._lines.append(self._line)
        return self._line

    async def _connected(self, line: Line) -> News:
        """Connect and serve; return why it ended.

        Raises: SessionLostError.
        """
        self._codes = 0
        await line.connect()
        after = await self._serve(line)
        if after.then is Then.RETRY:
            await line.stop()  # two connections of ours would replace each other
        return after

    async def _serve(self, line: Line) -> News:
        patience_s: float | None = _PATIENCE_S
        while True:
            event = await _next(line, patience_s)
            if event is None:
                if self._codes:  # they ran out, and the library says nothing of it
                    return News(Then.RETRY)
                self._say("offline", "WhatsApp does not answer")
                patience_s = None
            elif isinstance(event, Code):
                patience_s = await self._pairing(line, event)
            elif (heard := await self._take(line, event)) is not None:
                if heard.then in (Then.END, Then.RETRY):
                    self._say(heard.state, heard.reason)
                    return heard
                patience_s = _PATIENCE_S if heard.then in (Then.WAIT, Then.PAIRED) else None

    async def _take(self, line: Line, event: Any) -> News | None:
        """Act on an event of the library; return its news.

        Raises: SessionLostError, and what ended our own work.
        """
        if isinstance(event, Exception | Ended):
            return _over(event)
        if deaf(event):
            self._host.undecryptable()
        elif isinstance(event, wa.Message):
            self._message(event)
        elif self._testing is not None and not self._proved:
            self._read |= read_elsewhere(event)
            self._got.set()
        heard = news(event)
        match heard:
            case News(then=Then.ONLINE):
                await self._online(line)
            case News(then=Then.PAIRED):
                self._kind = "linked"
                await self._linked(device(event.ID))
            case News(then=Then.WAIT):
                self._down()
                self._say(heard.state, heard.reason)
            case News(then=Then.END, state="lost"):
                note_ended(self._host.folder, heard.reason)
        return heard

    async def _pairing(self, line: Line, code: Code) -> float:
        """Show a code; return for how long the next one may be waited for, in seconds.

        Raises: SessionLostError if there is a device: then no code may be shown.
        """
        if self._device is not None:
            raise SessionLostError(f"{DATABASE} lost the device that was linked here")
        ttl_s = _QR_TTL_S[min(self._codes, 1)]
        self._codes += 1
        self._say("pairing")
        if not self._settings.phone:
            self._host.qr(code.payload, ttl_s)
        elif self._codes == 1:
            typed = await line.pair_code(self._settings.phone)
            if typed:
                self._host.code(typed)
            else:
                self._say("pairing", "WhatsApp gave no code for BOT_PAIR_PHONE")
        return ttl_s + _QR_SLACK_S

    async def _linked(self, device_id: str) -> None:
        """Take the new device's identity from the library's database; write down that it is ours.

        Raises: SessionLostError.
        """
        self._host.qr("", 0)
        found = {one.id: one for one in await self._devices()}
        if device_id not in found:
            raise SessionLostError(f"{DATABASE} does not hold the device that was linked")
        self._device = found[device_id]
        await self._open_store(self._device)

    async def _devices(self) -> list[Device]:
        if self._database is None:
            self._database = OpenDatabase(self._host.folder)
        while True:
            with contextlib.suppress(BlockingIOError):
                return self._database.devices()
            await asyncio.sleep(0.005)

    async def _open_store(self, mine: Device) -> None:
        """Open the bot's own database; make it, and the marker, for a device that has none yet.

        Raises: SessionLostError.
        """
        path = self._host.folder / "store.db"
        if not is_noted(self._host.folder):
            Store.create(path, mine.fingerprint)
            note_linked(self._host.folder, mine)
        store = Store.open(path, mine.fingerprint)
        self._mail = Mail(self._host, store, self._post, self._settings.allowed)
        unsure = await self._mail.open()
        if unsure:
            self._host.state("connecting", reason=f"{unsure} answer(s) may not have been sent")
        self._host.store = store
        self._mailing = asyncio.create_task(self._mail.run())
        self._mailing.add_done_callback(self._mail_ended)
        self._mail_there.set()

    def _mail_ended(self, task: "asyncio.Task[None]") -> None:
        """Let a bot that can't answer end: the exception leaves `run`."""
        problem = None if task.cancelled() else task.exception()
        if problem is not None and self._line is not None:
            self._line.events.put_nowait(problem)

    async def _online(self, line: Line) -> None:
        own = await line.own()
        if self._device is None:  # linked, and nobody told us
            await self._linked(own.device)
        if self._device is None or self._mail is None:
            raise SessionLostError(f"{DATABASE} holds no device")
        self._online_at = self._online_at or time.time()
        self._said = (self._kind, "")
        self._host.online(self._kind, self._device.identity, proved=None)
        self._kind = "restored"
        self._mail.up(own.users)
        if self._settings.self_test and self._testing is None:
            self._testing = asyncio.create_task(self._self_test(line, own))

    def _down(self) -> None:
        self._online_at = 0.0
        if self._mail is not None:
            self._mail.down()

    # --- messages, proofs ---

    async def _post(self, chat: str, text: str) -> None:
        if self._line is None:
            raise NotSentError
        await self._line.send(chat, text)

    def _message(self, event: Any) -> None:
        """Take a message. One that was sent after we came online proves that we can read."""
        if self._online_at and event.Info.Timestamp / 1000 > self._online_at:
            self._prove()
        if (message := incoming(event)) is not None and self._mail is not None:
            self._mail.take(message)

    def _prove(self) -> None:
        if not self._proved:
            self._proved = True
            self._host.proved()

    async def _self_test(self, line: Line, own: Own) -> None:
        """Write to ourselves; that another device of ours could read it proves our keys."""
        with contextlib.suppress(NotSentError, UnsureError):
            sent = await line.send(_account_of(own.device), "stillhere: self test")
            while sent not in self._read:
                self._got.clear()
                await self._got.wait()
            self._prove()

    # --- the end ---

    async def _drain(self, line: Line) -> None:
        """Take what the library had in hand when it was disconnected."""
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(_QUIET_S):
                    event = await line.events.get()
                if isinstance(event, wa.Message):
                    self._message(event)

    async def _sealed(self) -> bool:
        if self._database is None and not (self._host.folder / DATABASE).exists():
            return not self._lines  # it may be about to make it
        with contextlib.suppress(TimeoutError, sqlite3.Error):
            async with asyncio.timeout(_SEAL_S):
                self._database = self._database or OpenDatabase(self._host.folder)
                while True:
                    with contextlib.suppress(BlockingIOError):
                        self._database.seal()
                        return True
                    await asyncio.sleep(0.005)
        return False

    def _say(self, state: str, reason: str = "") -> None:
        if self._said != (state, reason):
            self._said = (state, reason)
            self._host.state(state, reason=reason)


async def _next(line: Line, patience_s: float | None) -> Any:
    """Return what the library says next; None if it says nothing for so long, in seconds."""
    try:
        async with asyncio.timeout(patience_s):
            while True:
                event = await line.events.get()
                if not isinstance(event, Ended) or event.number == line.number:
                    return event  # else it is the last connection's, which we let go
    except TimeoutError:
        return None


def _over(event: Exception | Ended) -> News:
    """Return what the end of a connection means.

    Raises: SessionLostError, and what ended our own work.
    """
    if isinstance(event, Exception):
        raise event
    if event.damaged:
        raise SessionLostError(f"{DATABASE} is damaged")
    return News(Then.RETRY, "offline", f"no connection: {event.why}")


def _account(mine: Device) -> str:
    return _account_of(mine.id)


def _account_of(device_id: str) -> str:
    """Return the account's address: a device's, without the device."""
    user, _, server = device_id.rpartition("@")
    return f"{user.partition(':')[0].partition('.')[0]}@{server}"
