"""A small HTTP/1.1 server for our own pages: GET and HEAD, one request a connection, all bounded.

It knows no page and nothing of bots. What it reads comes from strangers: a request that RFC 9112
does not allow is refused, and whoever dawdles makes room for who comes after.
"""

import asyncio
import errno
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

HEAD_BYTES = 8192
FIELDS_MOST = 64
_CHUNK_BYTES = 4096
# What is still sent after our answer is read so that the answer is not lost (RFC 9112, 9.6).
_LINGER_BYTES = 64 * 1024
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_NAME = re.compile(_TOKEN)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_BARE = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds. `connections`: at a time; one more drives out who has waited longest."""

    connections: int = 32
    head_s: float = 5.0
    answer_s: float = 10.0
    send_s: float = 10.0
    linger_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Request:
    """`path` without the query; `headers` by lower-case name."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class Refused(Exception):  # noqa: N818 - what happens to the request
    """The request is answered with this status, and nothing else is done."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class HttpServer:
    """Serves what `answer` returns on listening sockets, which it closes.

    `serves(host)`: whether we go by that name (the Host field); None: by any.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        answer: Callable[[Request], Awaitable[Answer]],
        *,
        serves: Callable[[str], bool] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._listeners = list(listeners)
        self._answer = answer
        self._serves = serves
        self._limits = limits or Limits()
        self._loop = asyncio.get_running_loop()
        # In the order in which they came, and whether each still waits for its client.
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self._waiting: dict[asyncio.Task[None], None] = {}
        for listener in self._listeners:
            listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
            self._loop.add_reader(listener, self._accept, listener)

    async def close(self) -> None:
        """Stop listening and end all connections."""
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners.clear()
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(set(self._connections), timeout=self._limits.linger_s)

    # Connections. asyncio's own server has no bound to their number.

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                # It stays readable: without a pause this would be a busy loop.
                self._loop.remove_reader(listener)
                self._loop.call_later(1.0, self._accept_again, listener)
            return
        connection.setblocking(False)  # noqa: FBT003 - the socket module's signature
        if len(self._connections) >= self._limits.connections and not self._make_room():
            _say_at_once(connection, Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"too many at once\n"))
            connection.close()
            return
        task = self._loop.create_task(self._attend(connection))
        self._connections[task] = connection
        self._waiting[task] = None
        task.add_done_callback(self._left)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _make_room(self) -> bool:
        """End the connection that has kept us waiting longest; False: none does."""
        for task in self._waiting:
            del self._waiting[task]
            task.cancel()
            return True
        return False

    def _left(self, task: asyncio.Task[None]) -> None:
        # Here and not in the task: one that is cancelled before its first step runs nothing.
        self._waiting.pop(task, None)
        self._connections.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a connection failed", "exception": error}
            self._loop.call_exception_handler(context)

    async def _attend(self, connection: socket.socket) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - a coroutine runs in one
        with suppress(OSError, TimeoutError):
            bodiless = False
            try:
                head = await self._head(connection)
                if head is None:
                    return
                self._waiting.pop(me, None)
                request = parse(head)
                bodiless = request.method == "HEAD"
                answer = await self._answered(request)
            except Refused as error:
                answer = Answer(error.status, f"{error}\n".encode())
            self._waiting[me] = None
            async with asyncio.timeout(self._limits.send_s):
                await self._loop.sock_sendall(connection, packed(answer, bodiless=bodiless))
            connection.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(self._limits.linger_s):
                await self._discard(connection)

    async def _head(self, connection: socket.socket) -> bytes | None:
        """Return the request's head; None when the client leaves before its end."""
        head = bytearray()
        try:
            async with asyncio.timeout(self._limits.head_s):
                while (end := head.find(b"\r\n\r\n")) < 0:
                    if _BARE.search(head):
                        raise Refused(HTTPStatus.BAD_REQUEST, "a line that does not end with CRLF")
                    if len(head) > HEAD_BYTES:
                        break
                    chunk = await self._loop.sock_recv(connection, _CHUNK_BYTES)
                    if not chunk:
                        return None
                    head += chunk
        except TimeoutError:
            if not head:
                return None  # it asked for nothing: there is nothing to answer
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the request took too long") from None
        if not 0 <= end <= HEAD_BYTES:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise Refused(status, f"more than {HEAD_BYTES} bytes of header")
        return bytes(head[:end])

    async def _answered(self, request: Request) -> Answer:
        host = request.headers.get("host")
        if self._serves is not None and host is not None and not self._serves(host):
            # A page of a browser that was led here by a name of its own (DNS rebinding).
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
        try:
            async with asyncio.timeout(self._limits.answer_s):
                return await self._answer(request)
        except Refused:
            raise
        except TimeoutError:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no answer in time") from None
        except Exception as error:  # noqa: BLE001 - a bug in one page must not end the server
            context = {"message": f"{request.path} failed", "exception": error}
            self._loop.call_exception_handler(context)
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "it failed; see our log") from None

    async def _discard(self, connection: socket.socket) -> None:
        rest = _LINGER_BYTES
        while rest > 0 and (chunk := await self._loop.sock_recv(connection, _CHUNK_BYTES)):
            rest -= len(chunk)


def parse(head: bytes) -> Request:
    """Return the request of a head without its empty line.

    Raises: Refused for anything but a GET or HEAD that RFC 9112 allows, without a body.
    """
    first, *lines = head.split(b"\r\n")
    found = _REQUEST.fullmatch(first)
    if found is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "not a request line")
    method, target, major, minor = found.groups()
    if major != b"1":
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 only")
    headers = _fields(lines)
    if "host" not in headers and minor != b"0":
        raise Refused(HTTPStatus.BAD_REQUEST, "no Host")
    if method not in (b"GET", b"HEAD"):
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "GET and HEAD only")
    # A body could not be told from a second request by whoever stands between.
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        raise Refused(HTTPStatus.BAD_REQUEST, "a body is not read here")
    if not target.startswith(b"/"):
        raise Refused(HTTPStatus.BAD_REQUEST, "not a path")
    return Request(method.decode(), target.partition(b"?")[0].decode(), headers)


def _fields(lines: Sequence[bytes]) -> dict[str, str]:
    if len(lines) > FIELDS_MOST:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        raise Refused(status, f"more than {FIELDS_MOST} header fields")
    headers: dict[str, str] = {}
    for line in lines:
        raw, colon, rest = line.partition(b":")
        value = rest.strip(b" \t")
        if not colon or not _NAME.fullmatch(raw) or not _VALUE.fullmatch(value):
            raise Refused(HTTPStatus.BAD_REQUEST, "not a header field")
        name = raw.decode().lower()
        if name in headers:
            if name in ("host", "content-length"):
                raise Refused(HTTPStatus.BAD_REQUEST, f"two fields {name}")
            headers[name] += ", " + value.decode("latin-1")
        else:
            headers[name] = value.decode("latin-1")
    return headers


def packed(answer: Answer, *, bodiless: bool = False) -> bytes:
    """Return the bytes of an answer; `bodiless`: to a HEAD."""
    status = answer.status
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head if bodiless else head + answer.body


def _say_at_once(connection: socket.socket, answer: Answer) -> None:
    """Send without waiting: who does not take it is not waited for."""
    with suppress(OSError):
        connection.send(packed(answer))
