"""The WhatsApp transport: the real library connects to a peer that never answers.

What WhatsApp would say comes through the library's own dispatcher, as its C code calls it.
"""

import asyncio
import ctypes
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from bot.session import SessionLostError
from bot.transports.whatsapp_guards import DATABASE, MARKER
from tests.whatsapp import DEVICE, LACKING, SilentPeer, add_device, database

if LACKING:
    pytest.skip(LACKING, allow_module_level=True)

import neonize.aioze.events as dispatcher
from neonize.events import EVENT_TO_INT
from neonize.proto import Neonize_pb2 as wa

from bot.transports import whatsapp
from bot.transports.whatsapp import WhatsAppTransport
from bot.transports.whatsapp_events import address
from bot.transports.whatsapp_line import _jid
from bot.transports.whatsapp_settings import Settings
from tests.unit.bot.noting_bot import Bot
from tests.unit.bot.test_whatsapp_events import NODE, REASON, info, jid, message

PATIENCE_S = 20.0
# A client of the library that is collected stops whoever has its name by then: the next test's.
_KEPT: list["Scene"] = []
USER = DEVICE.partition(":")[0]


class Scene:
    """A transport that runs, and WhatsApp's side of it."""

    def __init__(self, bot: Bot, transport: WhatsAppTransport, peer: SilentPeer) -> None:
        self.bot = bot
        self.transport = transport
        self.peer = peer
        self.serving = asyncio.create_task(transport.run())

    @property
    def client(self) -> Any:
        """The library's client."""
        assert self.transport._line is not None
        return self.transport._line._client

    async def dialled(self, times: int = 1) -> None:
        """Wait until the library stands before its peer."""
        await asyncio.to_thread(self.peer.visited, times)

    def says(self, event: Any) -> None:
        """Have the library dispatch an event."""
        data = event.SerializeToString()
        buffer = ctypes.create_string_buffer(data, len(data))
        code = EVENT_TO_INT[type(event)]
        self.client.event.execute(0, ctypes.addressof(buffer), len(data), code)

    async def shows(self, payload: str) -> None:
        """Have the library give a QR code."""
        await self.client.event._qr(self.client, payload.encode())


@asynccontextmanager
async def scene(folder: Path, **settings: Any) -> AsyncIterator[Scene]:
    """Run the transport until the block ends."""
    with SilentPeer() as peer:
        dispatcher.event_global_loop = None  # the library keeps the first loop it sees
        bot = Bot(folder)
        made = Scene(bot, WhatsAppTransport(bot, Settings(proxy=peer.proxy, **settings)), peer)
        _KEPT.append(made)
        try:
            yield made
        finally:
            await made.transport.close()
            if bot.store is not None:
                bot.store.close()
            await asyncio.wait({made.serving})
            if not made.serving.cancelled():
                made.serving.exception()
            database = made.transport._database
            for held in (made.transport._held, database._fd if database else -1):
                if held >= 0:
                    os.close(held)  # as the process's end does


def play(acts: Callable[[], Awaitable[None]]) -> None:
    """Play a test, bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await acts()

    asyncio.run(bounded())


def linked(folder: Path) -> Path:
    """Make a linked session; return its database."""
    path = database(folder / DATABASE)
    add_device(path)
    return path


CONNECTED = wa.Connected(status=True)


def note(words: str, *, at_s: float = 1.0) -> Any:
    """Return a message that our own account wrote to itself."""
    made = message(Info=info(mine=True, at_ms=int(at_s * 1000)), text=words)
    made.Info.MessageSource.Chat.CopyFrom(jid(USER))
    return made


def test_a_first_link_by_qr_and_the_next_start(tmp_path: Path) -> None:
    """Codes one after the other; linked, noted, and from then on restored with that identity."""

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            await it.shows("code-1")
            await it.shows("code-2")
            assert await it.bot.until("qr", "code-1") == ("qr", "code-1", 60.0)
            assert await it.bot.until("qr", "code-2") == ("qr", "code-2", 20.0)
            assert await it.bot.until("state", "pairing")
            add_device(tmp_path / DATABASE)
            paired = wa.PairStatus.SUCCESS
            it.says(wa.PairStatus(ID=_jid(DEVICE), BusinessName="", Platform="", Status=paired))
            it.says(CONNECTED)
            _, kind, identity, proved = await it.bot.until("online")
            assert (kind, identity.startswith(DEVICE), proved) == ("linked", True, None)
            assert (tmp_path / MARKER).exists()
            assert it.bot.told.index(("qr", "", 0)) < it.bot.told.index(
                ("online", kind, identity, proved)
            )
        async with scene(tmp_path) as it:
            await it.dialled()
            it.says(CONNECTED)
            assert (await it.bot.until("online"))[1:3] == ("restored", identity)
            assert not [one for one in it.bot.told if one[0] == "qr"]

    play(acts)


def test_codes_that_ran_out_are_followed_by_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library says nothing of it: it has hung up, and waits for ever."""
    monkeypatch.setattr(whatsapp, "_QR_TTL_S", (0.01, 0.01))
    monkeypatch.setattr(whatsapp, "_QR_SLACK_S", 0.0)
    monkeypatch.setattr(whatsapp, "_BACKOFF_S", (0.01, 0.01))

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            await it.shows("code-1")
            await it.bot.until("state", "pairing")
            it.peer.hang_up()
            await it.dialled(3)  # one of them is ours, to see whether anybody is there
            assert ("state", "lost") not in {one[:2] for one in it.bot.told}
            assert not it.serving.done()

    play(acts)


def test_a_pair_code_instead_of_a_qr_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for once the first QR code came; no QR code is shown beside it."""

    async def acts() -> None:
        async with scene(tmp_path, phone="4915") as it:
            await it.dialled()

            async def pair(phone: str, **_: object) -> str:
                return f"ABCD-{phone}"

            monkeypatch.setattr(it.client, "PairPhone", pair)
            await it.shows("code-1")
            await it.shows("code-2")
            await it.bot.until("code", "ABCD-4915")
            assert not [one for one in it.bot.told if one[0] == "qr"]
            assert len([one for one in it.bot.told if one[0] == "code"]) == 1

    play(acts)


def test_a_code_for_a_linked_device_is_never_shown(tmp_path: Path) -> None:
    """Whatever the library made of the session: it is lost, not linked anew."""
    linked(tmp_path)

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            await it.shows("code-1")
            with pytest.raises(SessionLostError, match="lost the device"):
                await it.serving
            assert not [one for one in it.bot.told if one[0] == "qr"]

    play(acts)


def test_a_logout_is_said_and_remembered(tmp_path: Path) -> None:
    """The library deletes the device with it: the next start says the same, and shows no code."""
    path = linked(tmp_path)

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            it.says(CONNECTED)
            it.says(wa.LoggedOut(OnConnect=False, Reason=REASON.LOGGED_OUT))
            await it.serving
            assert it.bot.told[-1][:3] == ("state", "lost", "401 logged out")
        database(path)
        async with scene(tmp_path) as it:
            with pytest.raises(SessionLostError, match=r"^401 logged out$"):
                await it.serving
            assert it.peer.visits == 0

    play(acts)


def test_a_copy_that_took_over_is_a_conflict(tmp_path: Path) -> None:
    """And not the beginning of a fight: it connects no more."""
    linked(tmp_path)

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            it.says(CONNECTED)
            it.says(wa.StreamReplaced())
            await it.serving
            assert it.bot.told[-1][:3] == ("state", "conflict", "440 replaced")
            assert it.peer.visits == 1

    play(acts)


@pytest.mark.parametrize(
    ("event", "state", "reason"),
    [
        (wa.Disconnected(status=True), "connecting", "the connection was lost"),
        (
            wa.TemporaryBan(Code=wa.TemporaryBan.BLOCKED_BY_USERS, Expire=7200),
            "offline",
            "402 temporarily banned: blocked by too many people; ends in 2 h 0 min",
        ),
        (
            wa.ConnectFailure(Reason=REASON.SERVICE_UNAVAILABLE, Message="", Raw=NODE),
            "offline",
            "503 service unavailable",
        ),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_is_not_the_session_s_fault_is_waited_for(
    tmp_path: Path, event: Any, state: str, reason: str
) -> None:
    """It says why and goes on trying: nothing is lost, no code is shown."""
    linked(tmp_path)

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            it.says(CONNECTED)
            it.says(event)
            await it.bot.until("state", state, reason)
            assert not it.serving.done()
            assert {one[1] for one in it.bot.told if one[0] == "state"} <= {"connecting", state}

    play(acts)


def test_a_message_is_run_once_and_answered(tmp_path: Path) -> None:
    """Of its twin nothing comes. A fresh one proves that our keys can read; an old one does not."""
    linked(tmp_path)
    sent: list[tuple[str, str]] = []

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()

            async def send(to: Any, message: Any) -> Any:
                sent.append((address(to), message.conversation))
                return wa.SendResponse(ID="SENT")

            it.client.send_message = send
            it.says(CONNECTED)
            it.says(note("!ping"))
            it.says(note("!ping"))
            await it.bot.until("ran")
            it.says(
                wa.UndecryptableMessage(
                    Info=info(),
                    IsUnavailable=False,
                    DecryptFailMode=wa.UndecryptableMessage.DECRYPT_FAIL_SHOW,
                )
            )
            await it.bot.until("undecryptable")
            assert ("proved",) not in it.bot.told
            it.says(note("no command", at_s=time.time() + 60))
            await it.bot.until("proved")
        assert [one[1] for one in it.bot.told if one[0] == "ran"] == ["!ping"]
        assert sent == [(f"{USER}@s.whatsapp.net", "answer to !ping")]

    play(acts)


def test_what_could_not_be_sent_is_not_forgotten(tmp_path: Path) -> None:
    """The real library has no connection, and says so: the answer waits for the next one."""
    linked(tmp_path)

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            it.says(CONNECTED)
            it.says(note("!ping"))
            await it.bot.until("ran")
            it.peer.hang_up()  # until then the library waits for its connection
            await it.bot.until("state", "offline")
        with closing(sqlite3.connect(tmp_path / "store.db")) as db:
            assert db.execute("SELECT text, state FROM outbox").fetchall() == [
                ("answer to !ping", "waiting")
            ]

    play(acts)


def test_the_self_test_proves_by_another_device_s_receipt(tmp_path: Path) -> None:
    """Only where the user allows the message; the cap says that the proof is worth waiting for."""
    linked(tmp_path)
    assert Settings.read({}).caps("a") == "a"
    assert Settings.read({"BOT_SELF_TEST": "1"}).caps("a") == "a roundtrip"

    async def acts() -> None:
        async with scene(tmp_path, self_test=True) as it:
            await it.dialled()
            tested = asyncio.Event()

            async def send(to: Any, message: Any) -> Any:
                assert (address(to), bool(message.conversation)) == (f"{USER}@s.whatsapp.net", True)
                tested.set()
                return wa.SendResponse(ID="SENT")

            it.client.send_message = send
            it.says(CONNECTED)
            await tested.wait()
            source = info().MessageSource
            for kind, ids in ((wa.Receipt.RETRY, "SENT"), (wa.Receipt.SENDER, "OTHER")):
                it.says(wa.Receipt(MessageSource=source, MessageIDs=[ids], Timestamp=0, Type=kind))
            it.says(wa.Disconnected(status=True))
            await it.bot.until("state", "connecting", "the connection was lost")
            assert ("proved",) not in it.bot.told
            it.says(
                wa.Receipt(
                    MessageSource=source, MessageIDs=["SENT"], Timestamp=0, Type=wa.Receipt.SENDER
                )
            )
            await it.bot.until("proved")

    play(acts)


def test_it_leaves_while_the_library_is_stuck(tmp_path: Path) -> None:
    """Nothing can be written by then: whatever the library may still do, it is shut out."""
    path = linked(tmp_path)

    async def acts() -> None:
        async with scene(tmp_path) as it:
            await it.dialled()
            assert await it.transport.close()
            with (
                closing(sqlite3.connect(path, timeout=0)) as db,
                pytest.raises(sqlite3.OperationalError, match="locked"),
            ):
                db.execute("BEGIN IMMEDIATE")

    play(acts)
