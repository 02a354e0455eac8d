"""The chat server under hostile input: it refuses, and serves the next one."""

import asyncio
import contextlib
import json
import stat
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import keys
from bot.keys import BoxKey, Identity
from bot.protocol import LINE_BYTES, Frame, decode, encode, read_address
from bot.server import Server

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
OPS = st.sampled_from(
    [
        "login",
        "pair",
        "phone",
        "admin",
        "send",
        "link",
        "key",
        "got",
        "state",
        "ack",
        "reply",
        "bye",
    ]
)
NAMES = [
    "account",
    "sign",
    "key",
    "sig",
    "device",
    "id",
    "seq",
    "generation",
    "pid",
    "since",
    "token",
    "do",
    "ref",
    "mac",
    "eph",
    "box",
    "re",
    "next",
    "proof",
]
FRAMES = st.builds(
    lambda op, rest: {**rest, "op": op},
    OPS,
    st.dictionaries(st.sampled_from(NAMES), JSON, max_size=8),
)


class Visitor:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def recv(self) -> Frame:
        """Return the next frame; an empty one at the end."""
        line = await self.reader.readline()
        return decode(line) if line else {"op": ""}

    def send(self, op: str, **fields: Any) -> None:
        """Send a frame."""
        self.writer.write(encode({"op": op, **fields}))

    async def close(self) -> None:
        """Close."""
        self.writer.close()


async def visit(data: Path) -> Visitor:
    """Connect."""
    address = read_address(data)
    assert address is not None
    return Visitor(*await asyncio.open_connection(*address))


async def phone(data: Path, identity: Identity, key: BoxKey, account: str = "1") -> Visitor:
    """Log a phone in."""
    visitor = await visit(data)
    nonce = (await visitor.recv())["nonce"]
    sign, public = keys.b64(identity.public), keys.b64(key.public)
    sig = identity.sign(keys.transcript("phone login", nonce, account, sign, public))
    visitor.send("phone", account=account, sign=sign, key=public, sig=sig)
    return visitor


async def flood(data: Path, *payloads: bytes) -> None:
    """Send each payload on a connection of its own and read until the server closes it."""
    for payload in payloads:
        visitor = await visit(data)
        visitor.writer.write(payload)
        visitor.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            while await visitor.reader.read(65536):
                pass
        await visitor.close()


async def assert_alive(data: Path) -> None:
    """Check that the server still greets."""
    visitor = await visit(data)
    assert (await visitor.recv())["op"] == "hello"
    await visitor.close()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=400) | FRAMES.map(encode), min_size=1, max_size=6))
def test_any_bytes_leave_the_server_serving(tmp_path: Path, payloads: list[bytes]) -> None:
    """Bytes and half-right frames before a login: refused, no exception, the next is served."""

    async def scene() -> None:
        problems: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: problems.append(context))
        server = Server(tmp_path)
        async with asyncio.timeout(10):
            await server.listen(0)
            await flood(tmp_path, *payloads)
            await assert_alive(tmp_path)
            await server.close()
        assert problems == []

    asyncio.run(scene())


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(FRAMES, min_size=1, max_size=6))
def test_a_logged_in_phone_can_break_nothing(tmp_path: Path, frames: list[Frame]) -> None:
    """Half-right frames after a login: refused, no exception, the next is served."""
    identity, key = Identity(keys.transcript("x")[:32].ljust(32, b"x")), BoxKey(b"k" * 32)

    async def scene() -> None:
        problems: list[Any] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: problems.append(context))
        server = Server(tmp_path)
        async with asyncio.timeout(10):
            await server.listen(0)
            visitor = await phone(tmp_path, identity, key)
            assert (await visitor.recv())["op"] == "welcome"
            for frame in frames:
                visitor.writer.write(encode(frame))
            visitor.writer.write_eof()
            while (await visitor.recv())["op"]:
                pass
            await visitor.close()
            await assert_alive(tmp_path)
            await server.close()
        assert problems == []

    asyncio.run(scene())


def run(tmp_path: Path, scene: Any) -> None:
    """Run a scene with a server."""

    async def whole() -> None:
        server = Server(tmp_path)
        async with asyncio.timeout(10):
            await server.listen(0)
            try:
                await scene()
            finally:
                await server.close()

    asyncio.run(whole())


def test_lines_without_end_are_cut_off(tmp_path: Path) -> None:
    """A line longer than the limit, and nesting deeper than the parser goes, end the connection."""

    async def scene() -> None:
        await flood(tmp_path, b"x" * (3 * LINE_BYTES), b"[" * 60_000 + b"\n")
        await assert_alive(tmp_path)
        events = [json.loads(line) for line in (tmp_path / "server.log").read_text().splitlines()]
        reasons = [event["reason"] for event in events if event["event"] == "protocol_error"]
        assert reasons == [f"a line of more than {LINE_BYTES} bytes", "not a JSON line"]

    run(tmp_path, scene)


def test_a_number_belongs_to_one_phone(tmp_path: Path) -> None:
    """Another phone that claims the number is refused; a wrong signature too."""

    async def scene() -> None:
        owner, thief = (Identity(), BoxKey()), (Identity(), BoxKey())
        for who, answer in ((owner, "welcome"), (thief, "close"), (owner, "welcome")):
            visitor = await phone(tmp_path, *who)
            assert (await visitor.recv())["op"] == answer
            await visitor.close()
        visitor = await visit(tmp_path)
        await visitor.recv()
        sign, key = keys.b64(owner[0].public), keys.b64(owner[1].public)
        visitor.send("phone", account="1", sign=sign, key=key, sig=thief[0].sign(b"x"))
        assert (await visitor.recv())["op"] == "error"
        await visitor.close()

    run(tmp_path, scene)


def test_an_operator_needs_the_token(tmp_path: Path) -> None:
    """With the token: mute and stats. Without: refused. Muted, nobody else is answered."""

    async def scene() -> None:
        token = (tmp_path / "admin-token").read_text()
        assert stat.S_IMODE((tmp_path / "admin-token").stat().st_mode) == 0o600

        async def ask(**fields: Any) -> Frame:
            visitor = await visit(tmp_path)
            visitor.send("admin", **fields)
            while (frame := await visitor.recv())["op"] == "hello":
                pass
            await visitor.close()
            return frame

        assert (await ask(token="guess", do="stats"))["op"] == "error"  # noqa: S106 (a wrong one)
        assert (await ask(token=token, do="stats"))["messages"] == 0
        assert (await ask(token=token, do="mute", on=True))["muted"] is True
        silent = await visit(tmp_path)
        greeting = asyncio.create_task(silent.recv())
        assert (await ask(token=token, do="stats"))["messages"] == 0
        assert not greeting.done()
        assert (await ask(token=token, do="mute", on=False))["muted"] is False
        assert (await greeting)["op"] == "hello"
        await silent.close()

    run(tmp_path, scene)


def test_a_key_is_published_only_by_who_holds_the_one_before(tmp_path: Path) -> None:
    """A device with the right identity and the wrong keys can't move the published key."""

    async def scene() -> None:
        owner, owner_key = Identity(), BoxKey()
        device, first = Identity(), BoxKey()
        mine = await phone(tmp_path, owner, owner_key)
        await mine.recv()
        pairing = await visit(tmp_path)
        await pairing.recv()
        published = keys.published(device, 1, first.public)
        pairing.send("pair", sign=keys.b64(device.public), key=published)
        ref = (await pairing.recv())["ref"]
        mine.send("link", ref=ref, sign=keys.b64(device.public), mac="m")
        name = (await pairing.recv())["device"]
        pairing.send("pair_done")
        assert (await mine.recv())["op"] == "link_ok"

        deaf = await visit(tmp_path)
        nonce = (await deaf.recv())["nonce"]
        sig = device.sign(keys.transcript("login", nonce, name))
        deaf.send("login", device=name, sig=sig, generation=1, pid=1, since=0.5)
        welcome, probe = await deaf.recv(), await deaf.recv()
        assert welcome["key"]["id"] == 1
        # It answers the probe (with the real key), but advances with another one.
        aad = keys.transcript("probe", name, welcome["conn"])
        proof = keys.proof_of(first.open(probe, aad), name, welcome["conn"])
        deaf.send("probe_answer", proof=proof)
        assert (await deaf.recv())["op"] == "probe_ok"
        sealed = keys.seal(first.public, b"hi", b"")
        mine.send("send", id="m1", device=name, key=1, **sealed, sig="s")
        assert (await mine.recv())["op"] == "sent"
        message = await deaf.recv()
        new, wrong = BoxKey(), BoxKey()
        shared = wrong.shared(keys.unb64(welcome["eph"]), "advance")
        public = keys.b64(new.public)
        false = keys.proof_of(shared, name, welcome["conn"], 2, public)
        following = {**keys.published(device, 2, new.public), "proof": false}
        deaf.send("ack", seq=message["seq"], id="m1", next=following)
        assert (await deaf.recv())["op"] == "error"
        mine.send("key", device=name)
        assert (await mine.recv())["key"]["id"] == 1
        mine.send("send", id="m2", device=name, key=2, **sealed, sig="s")
        refused = await mine.recv()
        assert (refused["reason"], refused["key"]["id"]) == ("stale_key", 1)
        mine.send("state", id="m1")
        assert (await mine.recv())["state"] == "queued"
        for visitor in (mine, pairing, deaf):
            await visitor.close()

    run(tmp_path, scene)
