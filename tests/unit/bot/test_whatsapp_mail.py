"""Messages on WhatsApp: run once, answered at most once, and only for whom the bot is."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.session import Store
from tests.whatsapp import LACKING

if LACKING:
    pytest.skip(LACKING, allow_module_level=True)

from bot.transports.whatsapp_events import Incoming
from bot.transports.whatsapp_mail import Mail, NotSentError, UnsureError

OWN = frozenset({"4915", "777"})
PATIENCE_S = 20.0


class Host:
    """The bot, as the mail sees it. It counts what it runs."""

    folder = Path()
    generation = 1
    store: Store | None = None

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def answer(self, message_id: str, text: str) -> str:
        """Run a message."""
        assert message_id
        self.ran.append(text)
        return f"answer to {text}"

    def state(self, state: str, identity: str = "", reason: str = "") -> None:
        """Not for the mail to say."""
        raise AssertionError((state, identity, reason))

    def online(self, state: str, identity: str, *, proved: bool | None) -> None:
        """Not for the mail to say."""
        raise AssertionError((state, identity, proved))

    def proved(self) -> None:
        """Not for the mail to say."""
        raise AssertionError

    undecryptable = proved

    def qr(self, payload: str, ttl_s: float) -> None:
        """Not for the mail to say."""
        raise AssertionError((payload, ttl_s))

    def code(self, code: str) -> None:
        """Not for the mail to say."""
        raise AssertionError(code)


class Post:
    """What goes out, and how it fares."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.fails: Exception | None = None
        self.begun = asyncio.Event()
        self.holds: asyncio.Event | None = None

    async def __call__(self, chat: str, text: str) -> None:
        """Send."""
        self.begun.set()
        if self.holds is not None:
            await self.holds.wait()
        if self.fails is not None:
            raise self.fails
        self.sent.append((chat, text))


def text(words: str = "!ping", message_id: str = "A", **fields: object) -> Incoming:
    """Return a message of our own account to itself."""
    whole = {
        "id": message_id,
        "chat": "4915@s.whatsapp.net",
        "sender": "4915@s.whatsapp.net",
        "users": frozenset({"4915"}),
        "mine": True,
        "group": False,
        "text": words,
        "at": 0.0,
        **fields,
    }
    return Incoming(**whole)  # type: ignore[arg-type]


@asynccontextmanager
async def mail(
    folder: Path, post: Post, host: Host | None = None, allowed: frozenset[str] = frozenset()
) -> AsyncIterator[tuple[Mail, int]]:
    """Run a mail on the folder's store; also say of how many answers nobody knew."""
    path = folder / "store.db"
    if not path.exists():
        Store.create(path, "f")
    store = Store.open(path, "f")
    made = Mail(host or Host(), store, post, allowed)
    unsure = await made.open()
    task = asyncio.create_task(made.run())
    try:
        yield made, unsure
    finally:
        task.cancel()
        await asyncio.wait({task})
        store.close()


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Play a scene, bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene()

    asyncio.run(bounded())


def test_a_message_that_comes_twice_is_answered_once(tmp_path: Path) -> None:
    """Also in the next life of the bot."""

    async def scene() -> None:
        host, post = Host(), Post()
        for _ in range(2):
            async with mail(tmp_path, post, host) as (made, unsure):
                assert unsure == 0
                made.up(OWN)
                made.take(text())
                made.take(text())
                await made.settle(PATIENCE_S)
        assert host.ran == ["!ping"]
        assert post.sent == [("4915@s.whatsapp.net", "answer to !ping")]

    run(scene)


def test_the_same_id_of_another_sender_is_another_message(tmp_path: Path) -> None:
    """Each sender counts for itself."""

    async def scene() -> None:
        host, post = Host(), Post()
        async with mail(tmp_path, post, host, frozenset({"49200"})) as (made, _):
            made.up(OWN)
            made.take(text())
            made.take(
                text(
                    sender="49200@s.whatsapp.net",
                    chat="49200@s.whatsapp.net",
                    users=frozenset({"49200"}),
                    mine=False,
                )
            )
            await made.settle(PATIENCE_S)
        assert len(post.sent) == 2

    run(scene)


def test_what_is_surely_not_sent_is_sent_later(tmp_path: Path) -> None:
    """The connection was away: the answer waits for the next one, over a restart too."""

    async def scene() -> None:
        post = Post()
        post.fails = NotSentError("websocket not connected")
        async with mail(tmp_path, post) as (made, _):
            made.up(OWN)
            made.take(text())
            await post.begun.wait()
            await made.settle(PATIENCE_S)
        post.fails = None
        async with mail(tmp_path, post) as (made, unsure):
            assert unsure == 0
            made.up(OWN)
            await made.settle(PATIENCE_S)
        assert [words for _, words in post.sent] == ["answer to !ping"]

    run(scene)


def test_what_may_have_been_sent_is_never_sent_again(tmp_path: Path) -> None:
    """The library gave no answer, or the bot ended in that moment: once is enough."""

    async def scene() -> None:
        post = Post()
        post.holds = asyncio.Event()
        async with mail(tmp_path, post) as (made, _):
            made.up(OWN)
            made.take(text())
            await post.begun.wait()  # and here it is killed
        post.holds = None
        post.fails = UnsureError("timed out")
        async with mail(tmp_path, post) as (made, unsure):
            assert unsure == 1
            made.up(OWN)
            made.take(text(message_id="B"))
            await made.settle(PATIENCE_S)
        post.fails = None
        async with mail(tmp_path, post) as (made, unsure):
            assert unsure == 0
            made.up(OWN)
            await made.settle(PATIENCE_S)
        assert post.sent == []

    run(scene)


def test_what_came_last_is_written_down_without_a_connection(tmp_path: Path) -> None:
    """The library has acknowledged it already: it is answered after the next start."""

    async def scene() -> None:
        host, post = Host(), Post()
        async with mail(tmp_path, post, host) as (made, _):
            made.up(OWN)
            await made.settle(PATIENCE_S)
            made.down()
            made.take(text())
            await made.note_all()
        assert host.ran == ["!ping"]
        assert post.sent == []
        async with mail(tmp_path, post) as (made, _):
            made.up(OWN)
            await made.settle(PATIENCE_S)
        assert len(post.sent) == 1

    run(scene)


def test_a_reminder_is_sent_once_however_often_it_is_asked(tmp_path: Path) -> None:
    """Its id says which it is; `send` returns when it is out."""

    async def scene() -> None:
        post = Post()
        for _ in range(2):
            async with mail(tmp_path, post) as (made, _):
                made.up(OWN)
                await made.send("reminder-1", "4915@s.whatsapp.net", "Reminder: tea")
                await made.send("reminder-1", "4915@s.whatsapp.net", "Reminder: tea")
        assert post.sent == [("4915@s.whatsapp.net", "Reminder: tea")]

    run(scene)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (text(), True),
        (text(chat="777@lid"), True),  # our own chat, by our hidden name
        (text("ping"), False),  # a person writes a note to themselves
        (text(chat="49200@s.whatsapp.net"), False),  # a person writes to a friend
        (text(group=True), False),
        (text(mine=False, users=frozenset({"49200", "88"})), True),
        (text(mine=False, users=frozenset({"49201"})), False),  # a stranger
        (text(mine=False, users=frozenset({"49200"}), group=True), False),
    ],
)
def test_the_bot_is_for_its_owner_and_whom_they_named(
    tmp_path: Path, message: Incoming, *, wanted: bool
) -> None:
    """It lives in a person's account: it never answers in their talk with others."""

    async def scene() -> None:
        post = Post()
        async with mail(tmp_path, post, allowed=frozenset({"49200"})) as (made, _):
            made.up(OWN)
            made.take(message)
            await made.settle(PATIENCE_S)
        assert bool(post.sent) == wanted

    run(scene)
