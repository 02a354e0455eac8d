"""The control socket: JSON lines in, JSON lines out, for this user (and root) only.

A request: {"command": NAME, "args": {...}}. An answer: {"ok": true, "result": ...} or {"ok": false,
"error": {"message", "hint"}}; a stream: {"item": {...}} lines, then {"end": true}. While work goes
on, {"alive": true, "pulse": n} says so, with another number where it gets further. It never acts by
itself: all is passed to the handler.
"""

import asyncio
import errno
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from loguru import logger

from supervisor.control.binding import Binding, peer
from supervisor.control.requests import CALLS, Requests, parse
from supervisor.core.errors import SupervisorError

LINE_BYTES = 64 * 1024
CONNECTIONS = 64
_SLOW_S = 10.0  # an asker that does not read for so long is given up


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What outlives the supervisor's program: descriptors, and where the socket lies.

    `asker`: the connection of who asked for the upgrade, and waits for its answer.
    """

    listener: int
    lock: int
    inode: tuple[int, int]
    asker: int | None = None

    def descriptors(self) -> list[int]:
        """Return all that has to stay open."""
        return [self.listener, self.lock, *([] if self.asker is None else [self.asker])]


def _refusal(error: SupervisorError) -> dict[str, Any]:
    return {"ok": False, "error": {"message": error.message, "hint": error.hint}}


def _unexpected(command: str, error: BaseException) -> SupervisorError:
    """Turn a bug into an answer; its traceback goes to the supervisor's own log."""
    logger.opt(exception=error).error("{} failed: {!r}", command, error)
    return SupervisorError(
        f"{command} failed inside the supervisor: {type(error).__name__}",
        "its own log has the traceback",
    )


def _settle(task: "asyncio.Task[Any]") -> None:
    """Fetch the outcome of a call whose asker may be gone, so that none goes unseen."""
    if not task.cancelled():
        task.exception()


class ControlServer:
    """Listens at `path` for as long as it is started. Times in seconds.

    `look_s`: how often it looks whether its socket is still there, so that it can be found.
    `pulse`: returns a number that grows while long work makes progress.
    """

    def __init__(
        self,
        path: Path,
        handler: Requests,
        *,
        alive_s: float = 2.0,
        idle_s: float = 60.0,
        close_s: float = 2.0,
        look_s: float = 30.0,
        pulse: Callable[[], int] = int,
    ) -> None:
        self.path = path
        self._pulse = pulse
        self._handler = handler
        self._alive_s = alive_s
        self._idle_s = idle_s
        self._close_s = close_s
        self._listener: socket.socket | None = None
        self._binding = Binding(path)
        self._look_s = look_s
        self._looking: asyncio.TimerHandle | None = None
        self._trouble = ""  # the last that kept us from listening anew
        self._carried: Carried | None = None
        self._upgrading: int | None = None  # the connection of who asked for it
        self._connections: dict[asyncio.Task[None], socket.socket] = {}
        self._calls: set[asyncio.Task[Any]] = set()

    async def start(self, carried: Carried | None = None) -> None:
        """Listen; `carried`: where the program before ours did.

        Raises: SupervisorError if another supervisor listens there, or the place is not ours.
        """
        self._carried = carried
        if carried is not None:
            self._listener = socket.socket(fileno=carried.listener)
            self._binding.adopt(carried.lock, carried.inode)
        else:
            self._listener = self._binding.take()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._listener, self._accept)
        self._looking = loop.call_later(self._look_s, self._look)

    @property
    def calls(self) -> int:
        """How many wait for an answer; who follows something does not count."""
        return len(self._calls)

    def carry(self) -> Carried | None:
        """Return what the program that follows ours needs to listen on, and to answer."""
        lock, inode = self._binding.lock, self._binding.inode
        if self._listener is None or lock is None or inode is None:
            return None
        listener, asker = self._listener.fileno(), self._upgrading
        return Carried(listener=listener, lock=lock, inode=inode, asker=asker)

    async def part(self) -> None:
        """End the streams: who follows learns that this was the end, and may come again."""
        kept = self._upgrading
        tasks = {task for task, sock in self._connections.items() if sock.fileno() != kept}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._close_s)

    def answer_carried(self, result: Any) -> None:
        """Tell who asked the program before ours for an upgrade what came of it."""
        if self._carried is None or self._carried.asker is None:
            return
        with socket.socket(fileno=self._carried.asker) as asker, suppress(OSError):
            asker.setblocking(False)  # noqa: FBT003 - the socket module's signature
            asker.sendall(json.dumps({"ok": True, "result": result}).encode() + b"\n")

    async def close(self) -> None:
        """Stop listening, end all connections, remove the socket; bounded."""
        if self._looking is not None:
            self._looking.cancel()
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(set(self._connections), timeout=self._close_s)
        self._binding.release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _look(self) -> None:
        """Listen anew where our socket was swept away: nobody could reach us for ever after."""
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(self._look_s, self._look)
        if self._listener is None or not self._binding.missing():
            return
        try:
            listener = self._binding.take()
        except SupervisorError as error:
            if error.message != self._trouble:
                logger.warning("no command can reach this supervisor: {}", error.message)
            self._trouble = error.message
            return
        self._trouble = ""
        logger.info("{} was gone, and is there again", self.path)
        self._accept()  # who came before it went
        loop.remove_reader(self._listener)
        self._listener.close()
        self._listener = listener
        loop.add_reader(listener, self._accept)

    # asyncio's own Server loses what it accepts while it is being closed (3.11: an assertion, and
    # a transport that nobody closes); hence an accept of our own.
    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                # It stays readable: without a pause this would be a busy loop.
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                loop.call_later(1.0, self._accept_again)
            return
        connection.setblocking(False)  # noqa: FBT003 - the socket module's signature
        task = asyncio.ensure_future(self._attend(connection))
        self._connections[task] = connection
        task.add_done_callback(self._left)

    def _accept_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _left(self, task: "asyncio.Task[None]") -> None:
        # Here and not in the task: one that is cancelled before its first step runs nothing.
        self._connections.pop(task).close()
        _settle(task)

    async def _attend(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_BYTES)
        try:
            await self._serve(reader, writer)
            writer.transport.set_write_buffer_limits(high=0)  # the last words, to a slow reader
            async with asyncio.timeout(_SLOW_S):
                await writer.drain()
        except (OSError, TimeoutError):
            pass  # The asker is gone, or never asked.
        except asyncio.CancelledError:
            # The server closes: a follower learns that this was the end.
            writer.write(b'{"end": true}\n')
        finally:
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(self._close_s):
                    await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, uid = peer(writer.get_extra_info("socket"))
        if uid not in (os.geteuid(), 0):
            await self._say(writer, _refusal(SupervisorError("this supervisor is another user's")))
            return
        if len(self._connections) > CONNECTIONS:
            await self._say(writer, _refusal(SupervisorError("too many connections")))
            return
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line = end.partial
                if not line.strip():
                    return
            except asyncio.LimitOverrunError:
                problem = SupervisorError(f"the request is longer than {LINE_BYTES} bytes")
                await self._say(writer, _refusal(problem))
                return
            if line.strip():
                await self._answer(line, writer)

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            command, args = parse(line)
        except SupervisorError as error:
            await self._say(writer, _refusal(error))
            return
        if command == "ping":
            await self._say(writer, {"ok": True, "result": {"pid": os.getpid()}})
        elif command in CALLS:
            await self._call(command, args, writer)
        else:
            await self._stream(command, args, writer)

    async def _call(self, command: str, args: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if command == "upgrade" and self._upgrading is None:
            self._upgrading = writer.get_extra_info("socket").fileno()
            try:
                await self._do(command, args, writer)
            finally:
                self._upgrading = None
        else:
            await self._do(command, args, writer)

    async def _do(self, command: str, args: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        # A task of its own: an asker that hangs up must not cut a restore in two.
        task = asyncio.ensure_future(self._handler.call(command, args))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        task.add_done_callback(_settle)
        while not (await asyncio.wait({task}, timeout=self._alive_s))[0]:
            await self._say(writer, {"alive": True, "pulse": self._pulse()})
        try:
            answer = {"ok": True, "result": task.result()}
            json.dumps(answer)
        except SupervisorError as error:
            answer = _refusal(error)
        except asyncio.CancelledError:
            answer = _refusal(SupervisorError(f"{command} was given up: the supervisor stops"))
        except Exception as error:  # noqa: BLE001 - a bug in one request must not end the server
            answer = _refusal(_unexpected(command, error))
        await self._say(writer, answer)

    async def _stream(
        self, command: str, args: dict[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        pending: asyncio.Future[dict[str, Any]] | None = None
        items: AsyncIterator[dict[str, Any]] | None = None
        try:
            items = aiter(self._handler.stream(command, args))
            while True:
                pending = asyncio.ensure_future(anext(items))
                while not (await asyncio.wait({pending}, timeout=self._alive_s))[0]:
                    await self._say(writer, {"alive": True}, patient=True)
                await self._say(writer, {"item": pending.result()}, patient=True)
        except StopAsyncIteration:
            await self._say(writer, {"end": True})
        except SupervisorError as error:
            await self._say(writer, _refusal(error))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug in one request must not end the server
            await self._say(writer, _refusal(_unexpected(command, error)))
        finally:
            if pending is not None and not pending.done():
                pending.cancel()
                await asyncio.wait({pending}, timeout=self._close_s)
            close = getattr(items, "aclose", None)
            if close is not None:
                with suppress(Exception):  # the asker is gone; the stream has told its error
                    await close()

    async def _say(
        self, writer: asyncio.StreamWriter, answer: dict[str, Any], *, patient: bool = False
    ) -> None:
        """Write one line. A follower may stall (Ctrl-Z): it loses the oldest; an asker may not."""
        writer.write(json.dumps(answer).encode() + b"\n")
        async with asyncio.timeout(None if patient else _SLOW_S):
            await writer.drain()
