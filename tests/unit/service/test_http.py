"""The HTTP server that strangers reach: what it takes, what it refuses, and whom it waits for."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.service.monitoring.http import (
    FIELDS_MOST,
    HEAD_BYTES,
    Answer,
    HttpServer,
    Limits,
    Request,
)

GOOD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAIT_S = 20.0
T = TypeVar("T")
# What whoever reads along the way could take for something else than we do.
REFUSED_400 = {
    "no request line": b"\r\n\r\n",
    "no version": b"GET /\r\nHost: a\r\n\r\n",
    "two blanks": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a blank at its end": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "version in small letters": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "a long version": b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    "a NUL in the path": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path that is not ASCII": b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a whole URL": b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "an asterisk": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\n\n",
    "one bare line feed": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n",
    "a folded field": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a field without a colon": b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "a field without a name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "a NUL in a field": b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "a body": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    "a body of no number": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "chunks": b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


async def page(request: Request) -> Answer:
    """Answer with what was asked for."""
    return Answer(HTTPStatus.OK, request.path.encode())


@asynccontextmanager
async def served(
    answer: Callable[[Request], Awaitable[Answer]] = page, **named: Any
) -> AsyncIterator[int]:
    """Serve on a port of this machine; yield it."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    server = HttpServer([listener], answer, **named)
    try:
        yield port
    finally:
        await server.close()


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int) -> "Client":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def says(self, data: bytes) -> None:
        """Send; a server that has hung up meanwhile is no fault of ours."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def hears(self) -> bytes:
        """Return all that comes until the other side ends, and end."""
        heard = b""
        with suppress(ConnectionError):
            while chunk := await self.reader.read(1 << 16):
                heard += chunk
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
        return heard


async def ask(port: int, data: bytes) -> tuple[int, bytes, bytes]:
    """Return the status, the head and the body of the answer."""
    client = await Client.to(port)
    await client.says(data)
    return split(await client.hears())


def split(heard: bytes) -> tuple[int, bytes, bytes]:
    """Return the parts of an answer; its length must be as it says."""
    head, _, body = heard.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    assert found is not None, heard
    length = re.search(rb"\r\nContent-Length: (\d+)", head)
    assert length is not None
    assert not body or int(length[1]) == len(body)
    return int(found[1]), head, body


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, within a bound."""

    async def bounded() -> T:
        async with asyncio.timeout(WAIT_S):
            return await scenario

    return asyncio.run(bounded())


def asked(data: bytes, **named: Any) -> tuple[int, bytes, bytes]:
    """Ask a server of its own."""

    async def scenario() -> tuple[int, bytes, bytes]:
        async with served(**named) as port:
            return await ask(port, data)

    return run(scenario())


def test_a_page_comes_with_its_length_and_the_connection_ends() -> None:
    """And nothing keeps it, or guesses what it is."""
    status, head, body = asked(b"GET /a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, body) == (200, b"/a")
    for line in (b"Connection: close", b"Cache-Control: no-store", b"Content-Length: 2"):
        assert line in head.split(b"\r\n")
    assert b"X-Content-Type-Options: nosniff" in head


def test_head_tells_the_length_and_sends_no_body() -> None:
    """As RFC 9110 has it."""
    status, head, body = asked(GOOD.replace(b"GET", b"HEAD"))
    assert (status, body) == (200, b"")
    assert b"Content-Length: 1" in head.split(b"\r\n")


def test_http_1_0_needs_no_host() -> None:
    """Small probes speak it."""
    assert asked(b"GET / HTTP/1.0\r\n\r\n")[0] == 200


def test_a_request_may_come_byte_by_byte() -> None:
    """Where it is cut on its way means nothing."""

    async def scenario() -> None:
        async with served() as port:
            client = await Client.to(port)
            for byte in GOOD:
                await client.says(bytes([byte]))
            assert split(await client.hears())[0] == 200

    run(scenario())


@pytest.mark.parametrize("data", REFUSED_400.values(), ids=REFUSED_400)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """400, and no page is asked for anything."""
    heard: list[Request] = []

    async def hear(request: Request) -> Answer:
        heard.append(request)
        return await page(request)

    assert asked(data, answer=hear)[0] == 400
    assert not heard


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_only_get_and_head(method: str) -> None:
    """405 says which there are."""
    status, head, _ = asked(GOOD.replace(b"GET", method.encode()))
    assert status == 405
    assert b"Allow: GET, HEAD" in head.split(b"\r\n")


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.0"])
def test_another_http_is_not_spoken(version: str) -> None:
    """505."""
    assert asked(GOOD.replace(b"1.1", version.encode()))[0] == 505


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_a_header_has_a_most_of_bytes(more: int, status: int) -> None:
    """To the byte: one more is refused."""
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    head = start + b"x" * (HEAD_BYTES - len(start) + more)
    assert asked(head + b"\r\n\r\n")[0] == status


@pytest.mark.parametrize(("count", "status"), [(FIELDS_MOST, 200), (FIELDS_MOST + 1, 431)])
def test_a_header_has_a_most_of_fields(count: int, status: int) -> None:
    """However short they are."""
    fields = b"Host: a\r\n" + b"X: y\r\n" * (count - 1)
    assert asked(b"GET / HTTP/1.1\r\n" + fields + b"\r\n")[0] == status


def test_a_header_without_an_end_is_not_collected() -> None:
    """431 long before the megabyte has been taken in."""
    assert asked(b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20))[0] == 431


@pytest.mark.parametrize(("host", "status"), [("mine", 200), ("evil.example", 421)])
def test_a_foreign_name_is_misdirected(host: str, status: int) -> None:
    """A browser led here by a name of its own gets no page."""
    data = GOOD.replace(b"localhost", host.encode())
    assert asked(data, serves=lambda name: name == "mine")[0] == status


def test_who_begins_and_dawdles_is_told_so() -> None:
    """408; who asked nothing at all is only let go."""
    limits = Limits(head_s=0.02)
    assert asked(b"GET /", limits=limits)[0] == 408

    async def silent() -> bytes:
        async with served(limits=limits) as port:
            return await (await Client.to(port)).hears()

    assert run(silent()) == b""


def test_a_page_that_takes_too_long_is_given_up() -> None:
    """503: the client is not kept for ever."""

    async def never(_: Request) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    assert asked(GOOD, answer=never, limits=Limits(answer_s=0.02))[0] == 503


def test_a_page_that_fails_tells_strangers_nothing() -> None:
    """500 without the reason, which goes to us; the next one is answered."""
    told: list[dict[str, Any]] = []

    async def fails(request: Request) -> Answer:
        if request.path == "/bad":
            raise RuntimeError("the secret is 42")
        return await page(request)

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with served(fails) as port:
            status, _, body = await ask(port, GOOD.replace(b"/ ", b"/bad "))
            assert status == 500
            assert b"secret" not in body
            assert (await ask(port, GOOD))[0] == 200

    run(scenario())
    assert [str(context["exception"]) for context in told] == ["the secret is 42"]


def test_the_longest_dawdler_makes_room() -> None:
    """One more than there may be: it is answered, the first of those who wait goes, no other."""

    async def scenario() -> None:
        async with served(limits=Limits(connections=2)) as port:
            first, second = await Client.to(port), await Client.to(port)
            await first.says(b"GET /")
            assert (await ask(port, GOOD))[0] == 200
            assert await first.hears() == b""
            await second.says(GOOD)
            assert split(await second.hears())[0] == 200

    run(scenario())


def test_when_nobody_dawdles_one_more_is_refused() -> None:
    """503 at once: who is being answered is not driven out."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Answer:
        begun.set()
        await go.wait()
        return await page(request)

    async def scenario() -> None:
        async with served(slow, limits=Limits(connections=1)) as port:
            first = await Client.to(port)
            await first.says(GOOD)
            await begun.wait()
            assert split(await (await Client.to(port)).hears())[0] == 503
            go.set()
            assert split(await first.hears())[0] == 200

    run(scenario())


def test_who_does_not_read_makes_room() -> None:
    """Who never takes its answer dawdles like one that never asks."""
    gone = asyncio.Event()

    async def long(request: Request) -> Answer:
        gone.set()
        return Answer(HTTPStatus.OK, b"x" * (64 << 20 if request.path == "/long" else 1))

    async def scenario() -> None:
        async with served(long, limits=Limits(connections=1)) as port:
            with socket.create_connection(("127.0.0.1", port)) as deaf:
                deaf.sendall(GOOD.replace(b"/ ", b"/long "))
                await gone.wait()
                assert (await ask(port, GOOD))[0] == 200

    run(scenario())


def test_it_closes_with_clients_inside() -> None:
    """They hear the end, and nothing listens any more."""

    async def scenario() -> int:
        async with served() as port:
            client = await Client.to(port)
            await client.says(b"GET /")
        assert await client.hears() == b""
        return port

    port = run(scenario())
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


PIECES = (
    *(b"GET", b"HEAD", b"POST", b" ", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\r\n\r\n", b"\n"),
    *(b"\r", b"\0", b"Host: a", b"Host:", b"Content-Length: 0", b"Transfer-Encoding: x", b":"),
    *(b"x" * 5000, b"X: y\r\n" * 40, GOOD, GOOD[:-2], b"\xff", b"\t"),
)
BYTES = st.one_of(st.sampled_from(PIECES), st.binary(max_size=8))
REQUESTS = st.lists(BYTES, max_size=12).map(b"".join)
# A second look, written another way: what a request that gets a page must be.
FIRST = re.compile(rb"(?:GET|HEAD) /[!-~]* HTTP/1\.[0-9]")
FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
KNOWN = {200, 400, 405, 408, 431, 505}


async def survives(data: bytes) -> None:
    """Whatever it is sent, the server answers in HTTP or hangs up, and serves the next."""
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with served() as port:
        client = await Client.to(port)
        await client.says(data)
        with suppress(OSError):
            client.writer.write_eof()
        if heard := await client.hears():
            status = split(heard)[0]
            assert status in KNOWN
            if status == 200:
                first, *fields = data[: data.index(b"\r\n\r\n")].split(b"\r\n")
                assert FIRST.fullmatch(first)
                assert all(FIELD.fullmatch(field) for field in fields)
        assert (await ask(port, GOOD))[0] == 200
    assert not failures


@settings(max_examples=200, deadline=None)
@given(REQUESTS)
def test_any_bytes_are_survived(data: bytes) -> None:
    """An answer that is HTTP, or none; a page only for what RFC 9112 allows."""
    run(survives(data))


@pytest.mark.long
@pytest.mark.timeout(900)
@settings(max_examples=10_000, deadline=None)
@given(REQUESTS)
def test_any_bytes_are_survived_for_long(data: bytes) -> None:
    """The same, ten thousand times."""
    run(survives(data))
