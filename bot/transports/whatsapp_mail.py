"""Messages between WhatsApp's library and the bot: each is run once, and answered at most once.

What can be promised follows from the library (whatsmeow through neonize 0.5):

- It acknowledges a message to WhatsApp by itself, before we see it. A message that is in its hands
  when the bot is killed is lost. At an orderly stop none is: the connection is closed first, and
  what had come until then is still taken, and answered after the next start.
- What a message changes, its id and its answer are one transaction. Come again, it is known.
- It chooses the id of what is sent, so WhatsApp can't drop a double. So an answer is marked before
  it is sent: a bot that is killed in that moment never sends it again, and says at its next start
  that one may be missing. An answer that the library surely did not send is sent later.

Who may use the bot: its own account, from its other devices, in the chat with itself; and whom the
user has named, in direct chats. Only texts that begin with `!`: it is a person's account.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.keys import derived_id
from bot.session import Store
from bot.transports import Host
from bot.transports.whatsapp_events import Incoming

_TABLE = """CREATE TABLE IF NOT EXISTS outbox
    (n INTEGER PRIMARY KEY, id TEXT UNIQUE, chat TEXT, text TEXT, state TEXT)"""
_REMEMBER = 10_000  # what was sent


class NotSentError(Exception):
    """The library surely did not send it."""


class UnsureError(Exception):
    """It may have been sent, or not, or it was refused."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is to be sent."""

    id: str
    chat: str
    text: str


class Mail:
    """The inbox in memory, and the outbox in the store. It owns the store's table `outbox`."""

    def __init__(
        self,
        host: Host,
        store: Store,
        send: Callable[[str, str], Awaitable[None]],
        allowed: frozenset[str] = frozenset(),
    ) -> None:
        self._host = host
        self._store = store
        self._send = send
        self._allowed = allowed
        self._inbox: deque[Incoming] = deque()
        self._own: frozenset[str] = frozenset()
        self._up = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def wanted(self, message: Incoming) -> bool:
        """Return whether this message is for the bot."""
        if not message.text.startswith("!") or message.group:
            return False
        if message.mine:
            return message.chat.partition("@")[0] in self._own
        return bool(message.users & self._allowed)

    def take(self, message: Incoming) -> None:
        """Take a message, if it is for the bot."""
        if self.wanted(message):
            self._inbox.append(message)
            self._stir()

    def up(self, own: frozenset[str]) -> None:
        """Begin to send. `own`: the names of our own account."""
        self._own = own
        self._up = True
        self._stir()

    def down(self) -> None:
        """Keep what is to be sent."""
        self._up = False

    async def open(self) -> int:
        """Make the table if it is missing; return of how many answers nobody knows."""
        async with self._store.transaction():
            self._store.execute(_TABLE)
            sql = "UPDATE outbox SET state = 'unsure' WHERE state = 'trying'"
            return self._store.execute(sql).rowcount

    async def run(self) -> None:
        """Answer and send, for ever."""
        self._stir()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.note_all()
            while self._up and (letter := await self._next()) is not None:
                await self._deliver(letter)
                await self.note_all()
            if not self._wake.is_set():
                self._idle.set()

    async def note_all(self) -> None:
        """Run every message that came, and write down its answer. Nothing is sent."""
        while self._inbox:
            await self._note(self._inbox[0])
            self._inbox.popleft()

    async def settle(self, timeout_s: float) -> None:
        """Wait until all that came is answered, if that can be."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    async def send(self, message_id: str, chat: str, text: str) -> None:
        """Send a message; return when it is sent, or nobody knows. The same id twice is one."""
        async with self._store.transaction():
            self._put(Letter(message_id, chat, text))
            sql = "SELECT 1 FROM outbox WHERE id = ? AND state IN ('waiting', 'trying')"
            if self._store.execute(sql, message_id).fetchone() is None:
                return
        sent = self._waiting.setdefault(message_id, asyncio.get_running_loop().create_future())
        self._stir()
        await asyncio.shield(sent)

    # --- inside ---

    def _stir(self) -> None:
        self._idle.clear()
        self._wake.set()

    async def _note(self, message: Incoming) -> None:
        message_id = f"{message.sender}/{message.id}"
        async with self._store.transaction():
            if self._store.answer_to(message_id) is not None:
                return
            answer = await self._host.answer(message_id, message.text)
            self._store.note_handled(message_id, answer)
            self._put(Letter(derived_id("reply", message_id), message.chat, answer))

    def _put(self, letter: Letter) -> None:
        sql = "INSERT OR IGNORE INTO outbox (id, chat, text, state) VALUES (?, ?, ?, 'waiting')"
        self._store.execute(sql, letter.id, letter.chat, letter.text)

    async def _next(self) -> Letter | None:
        sql = "SELECT id, chat, text FROM outbox WHERE state = 'waiting' ORDER BY n LIMIT 1"
        async with self._store.transaction():
            row = self._store.execute(sql).fetchone()
            if row is None:
                return None
            self._store.execute("UPDATE outbox SET state = 'trying' WHERE id = ?", row[0])
        return Letter(*row)

    async def _deliver(self, letter: Letter) -> None:
        try:
            await self._send(letter.chat, letter.text)
        except NotSentError:
            self._up = False
            state = "waiting"
        except UnsureError:
            state = "unsure"
        else:
            state = "sent"
        async with self._store.transaction():
            sql = "UPDATE outbox SET state = ? WHERE id = ?"
            self._store.execute(sql, state, letter.id)
            sql = "DELETE FROM outbox WHERE n <= (SELECT max(n) FROM outbox) - ?"
            self._store.execute(sql + " AND state IN ('sent', 'unsure')", _REMEMBER)
        if state != "waiting" and (waiting := self._waiting.pop(letter.id, None)) is not None:
            waiting.set_result(None)
