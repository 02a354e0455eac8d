"""The local transport: the chat server that comes with the bot (bot/protocol.py tells the rules).

It owns the connection and the device's keys. It never publishes a key that it can't prove, never
acknowledges a message before its answer and the next key are on the disk, never touches the
session after the server said that the device was removed or replaced.
"""

import asyncio
import contextlib
import os
import time
from pathlib import Path

from bot import keys
from bot.keys import BadKeyError, BoxKey, Identity
from bot.protocol import REPLACED, Frame, ProtocolError, box, number, part, read_address, text
from bot.session import Creds, SessionLostError, Store, load_creds
from bot.transports import Host
from bot.transports.backoff import Backoff
from bot.transports.local_line import ClosedError, Line
from bot.transports.local_pairing import pair

_PROBE_S = 2.0
_FINISH_S = 3.0  # for the message in hand when the bot stops
_GOODBYE_S = 0.2
_BACKOFF_S = (0.05, 1.0)


class LocalTransport:
    """The bot's device on the local chat server."""

    def __init__(self, host: Host, data: Path) -> None:
        self._host = host
        self._data = data
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()  # no message is in hand
        self._idle.set()
        self._said: tuple[str, str] = ("", "")
        self._kind = "restored"
        self._line: Line | None = None
        self._session: Session | None = None
        self._up = asyncio.Event()  # logged in, and the probe is settled

    async def run(self) -> None:
        """Serve until `close`, or until the session is lost or another copy took it over.

        Raises: SessionLostError if the session can't be used.
        """
        self._task = asyncio.current_task()
        backoff = Backoff(*_BACKOFF_S)
        self._say("connecting")
        while not self._stop.is_set():
            try:
                await self._once()
                continue  # linked just now: log in at once; or told to stop
            except ClosedError as closed:
                self._say("conflict" if closed.code == REPLACED else "lost", str(closed))
                return
            except TimeoutError:
                self._say("connecting", "the chat server does not answer")
            except (OSError, ProtocolError, BadKeyError) as problem:
                if self._up.is_set():
                    backoff.reset()
                self._say("offline", f"no chat server: {problem}")
            finally:
                self._hang_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.wait_s()):
                    await self._stop.wait()

    async def send(self, message_id: str, text: str) -> None:
        """Send a message on our own account; return when the server has accepted it."""
        while True:
            await self._up.wait()
            if self._session is not None and await self._session.push(message_id, text):
                return

    async def close(self) -> bool:
        """Finish the message in hand, say goodbye, close the connection."""
        self._stop.set()
        task = self._task
        if task is None or task.done():
            return True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                await self._idle.wait()
        if self._line is not None and self._up.is_set():
            # The server's goodbye says that it has read all: nobody sees us online any more.
            self._line.send("bye")
            await asyncio.wait({task}, timeout=_GOODBYE_S)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_GOODBYE_S)
        return True  # only this process writes, and it does no more

    # --- one connection ---

    async def _once(self) -> None:
        """Connect, pair if there is no session, log in, serve.

        Raises: OSError, TimeoutError, ProtocolError, BadKeyError, ClosedError, SessionLostError.
        """
        creds = load_creds(self._host.folder)
        if creds is not None and self._host.store is None:
            store_path = self._host.folder / "store.db"
            self._host.store = Store.open(store_path, creds.fingerprint)
        address = read_address(self._data)
        if address is None:
            raise ConnectionRefusedError("none has run here yet")
        since = time.monotonic()
        self._line = line = await Line.open(address)
        hello = await line.expect("hello")
        if creds is None:
            self._say("pairing")
            await pair(line, self._host, self._data, address)
            self._kind = "linked"
            return
        if self._host.store is None:
            raise SessionLostError("store.db is missing")
        identity = creds.key()
        line.send(
            "login",
            device=creds.device,
            sig=identity.sign(keys.transcript("login", text(hello, "nonce"), creds.device)),
            generation=self._host.generation,
            pid=os.getpid(),
            since=since,
        )
        welcome = await line.expect("welcome")
        self._session = Session(self._host, self._host.store, line, (creds, identity), welcome)
        await self._serve(self._session, creds)

    async def _serve(self, session: "Session", creds: Creds) -> None:
        line = session.line
        async with asyncio.timeout(_PROBE_S):
            proved = session.answer_probe(await line.recv())
            await line.expect("probe_ok" if proved else "probe_noted")
        if not proved:
            self._host.undecryptable()
        self._said = (self._kind, "")
        self._host.online(self._kind, creds.identity, proved=proved)
        self._kind = "restored"
        self._up.set()
        while True:
            frame = await line.recv()
            if self._stop.is_set():
                if frame["op"] == "bye":
                    return
                continue  # a message that came now is not acknowledged: it comes again
            self._idle.clear()
            try:
                await session.take(frame)
            finally:
                self._idle.set()

    def _hang_up(self) -> None:
        self._up.clear()
        if self._session is not None:
            self._session.end()
            self._session = None
        if self._line is not None:
            self._line.close()
            self._line = None

    def _say(self, state: str, reason: str = "") -> None:
        if self._said != (state, reason):
            self._said = (state, reason)
            self._host.state(state, reason=reason)


class Session:
    """A logged-in connection, and the device's keys on it."""

    def __init__(
        self,
        host: Host,
        store: Store,
        line: Line,
        who: tuple[Creds, Identity],
        welcome: Frame,
    ) -> None:
        self.line = line
        self._host = host
        self._store = store
        self._creds, self._identity = who
        self._conn = text(welcome, "conn")
        self._server = keys.unb64(text(welcome, "eph"))
        key = part(welcome, "key")
        self._published = number(key, "id")
        self._public = text(key, "pub")
        self._proved = False
        self._waiting: dict[str, asyncio.Future[bool]] = {}

    def answer_probe(self, frame: Frame) -> bool:
        """Open the server's probe with the published key; answer it; say whether we could.

        Raises: ProtocolError.
        """
        if frame["op"] != "probe":
            raise ProtocolError("no probe came")
        key = self._store.key(self._published)
        probe = b""
        if key is not None and keys.b64(key.public) == self._public:
            with contextlib.suppress(BadKeyError):
                aad = keys.transcript("probe", self._creds.device, self._conn)
                probe = key.open(box(frame), aad)
        if not probe:
            self.line.send("probe_failed")
            return False
        proof = keys.proof_of(probe, self._creds.device, self._conn)
        self.line.send("probe_answer", proof=proof)
        self._proved = True
        return True

    async def take(self, frame: Frame) -> None:
        """Act on what the server sent.

        Raises: ProtocolError, BadKeyError.
        """
        match frame["op"]:
            case "message":
                await self._message(frame)
            case "acked":
                self._published = number(frame, "key")
            case "accepted":
                waiting = self._waiting.pop(text(frame, "id"), None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(True)
            case "error":
                raise ProtocolError(text(frame, "reason"))
            case _:
                pass  # what a newer server may say

    async def _message(self, frame: Frame) -> None:
        message_id, seq, key_id = text(frame, "id"), number(frame, "seq"), number(frame, "key")
        answer = self._store.answer_to(message_id)
        try:
            plain = "" if answer is not None else self._open(frame, message_id, key_id)
        except BadKeyError:
            self.line.send("undecryptable", seq=seq, id=message_id)
            self._host.undecryptable()
            return
        async with self._store.transaction():
            if answer is None:
                answer = await self._host.answer(message_id, plain)
                self._store.note_handled(message_id, answer)
                self._store.drop_keys_below(key_id)
            if self._proved:
                new = self._store.make_key(self._published + 1)
        # All is on the disk. From here on a kill costs a repetition that the server drops.
        self._send_reply(keys.derived_id("reply", message_id), message_id, answer)
        if self._proved:
            self.line.send("ack", seq=seq, id=message_id, next=self._advance(new))
        else:
            self.line.send("ack", seq=seq, id=message_id)

    def _open(self, frame: Frame, message_id: str, key_id: int) -> str:
        """Return the text of a message.

        Raises: BadKeyError.
        """
        sealed = box(frame)
        head = (message_id, self._creds.device, key_id)
        signed = keys.transcript("message", *head, sealed["eph"], sealed["box"])
        keys.verify(keys.unb64(self._creds.phone_sign), text(frame, "sig"), signed)
        key = self._store.key(key_id)
        if key is None:
            raise BadKeyError("this key is not in the session")
        return key.open(sealed, keys.transcript("message", *head)).decode("utf-8", "replace")

    def _advance(self, new: BoxKey) -> Frame:
        """Return the next key, with the proof that we hold the published one."""
        held = self._store.key(self._published)
        if held is None:
            raise BadKeyError("the published key is not in this session")
        key_id, public = self._published + 1, keys.b64(new.public)
        shared = held.shared(self._server, "advance")
        proof = keys.proof_of(shared, self._creds.device, self._conn, key_id, public)
        return {**keys.published(self._identity, key_id, new.public), "proof": proof}

    def _send_reply(self, reply_id: str, re: str, answer: str) -> None:
        head = (reply_id, re, self._creds.device)
        aad = keys.transcript("reply", *head)
        sealed = keys.seal(keys.unb64(self._creds.phone_key), answer.encode(), aad)
        signed = keys.transcript("reply", *head, sealed["eph"], sealed["box"])
        self.line.send("reply", id=reply_id, re=re, **sealed, sig=self._identity.sign(signed))

    async def push(self, message_id: str, message: str) -> bool:
        """Send a message that answers none; say whether the server accepted it."""
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = waiting
        self._send_reply(message_id, "", message)
        return await waiting

    def end(self) -> None:
        """Say to all who wait that the connection is over."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_result(False)
