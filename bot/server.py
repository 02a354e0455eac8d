"""The chat server: `python -m bot.server`. A WhatsApp-like network on this machine's loopback.

It listens on 127.0.0.1 only and writes where into `<data>/address`. It keeps its state over
restarts and kills. It holds public keys and sealed boxes: it can read no message and fake none.

Environment: STILLHERE_CHAT_DATA (default .chat-server/), STILLHERE_CHAT_PORT (default: any free
one, after a restart the same again if it is free), STILLHERE_CHAT_REF_TTL_S (how long a QR code
lives, default 20). An operator's requests need the token in `<data>/admin-token`.
"""

import asyncio
import contextlib
import fcntl
import hmac
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import NoReturn

from bot import keys
from bot.keys import BadKeyError
from bot.link import Link
from bot.protocol import (
    LINE_BYTES,
    REF_TTL_S,
    Frame,
    ProtocolError,
    data_dir,
    read_address,
    text,
    write_private,
)
from bot.server_device import DevicePeer, PairingPeer
from bot.server_hub import Conn, Hub, ServerLog
from bot.server_phone import PhonePeer
from bot.server_store import ServerStore

_HOST = "127.0.0.1"
_LOGIN_S = 30.0
_CONNECTIONS = 256


class Server:
    """The listening server."""

    def __init__(self, data: Path, *, ref_ttl_s: float = REF_TTL_S) -> None:
        self._data = data
        self._log = ServerLog(data / "server.log")
        self._store = ServerStore(data / "server.db")
        self._hub = Hub(self._store, self._log, ref_ttl_s)
        self._token = self._admin_token()
        self._speaking = asyncio.Event()
        self._speaking.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def _admin_token(self) -> str:
        path = self._data / "admin-token"
        with contextlib.suppress(OSError):
            if found := path.read_text(encoding="ascii").strip():
                return found
        fresh = keys.token(24)
        write_private(path, fresh)
        return fresh

    async def listen(self, port: int) -> tuple[str, int]:
        """Listen; return the address. Port 0: the port it had before, else any free one.

        Raises: OSError.
        """
        before = read_address(self._data)
        wanted = [port] if port else [before[1], 0] if before else [0]
        for attempt in wanted:
            try:
                self._server = await asyncio.start_server(
                    self._accept, _HOST, attempt, limit=LINE_BYTES, backlog=_CONNECTIONS
                )
                break
            except OSError:
                if attempt == wanted[-1]:
                    raise
        assert self._server is not None  # noqa: S101 (the loop ends with it or raises)
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        write_private(self._data / "address", f"{address[0]}:{address[1]}\n", sync=False)
        self._log("listening", port=address[1], pid=os.getpid())
        return address

    async def close(self) -> None:
        """Stop: cut all connections, close the database. Nothing that was promised is lost."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._log("stopped", pid=os.getpid())
        self._store.close()
        self._log.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _CONNECTIONS:
            writer.close()
            return
        self._tasks.add(task)
        conn = Conn(reader, writer)
        try:
            await self._talk(conn)
        except (ProtocolError, BadKeyError) as problem:
            self._log("protocol_error", conn=conn.id, reason=str(problem))
            conn.send("error", reason=str(problem))
        except TimeoutError:
            conn.send("error", reason=f"no login within {_LOGIN_S:g} s")
        except asyncio.CancelledError:
            pass  # the server stops; streams of Python 3.11 report a cancelled handler as an error
        finally:
            self._tasks.discard(task)
            conn.close()

    async def _talk(self, conn: Conn) -> None:
        first = await self._first(conn)
        if first is None:
            return
        match first["op"]:
            case "login":
                await DevicePeer(self._hub, conn).run(first)
            case "pair":
                await PairingPeer(self._hub, conn).run(first)
            case "phone":
                await PhonePeer(self._hub, conn).run(first)
            case "admin":
                self._admin(conn, first)
            case _:
                raise ProtocolError("say login, pair or phone first")

    async def _first(self, conn: Conn) -> Frame | None:
        """Say hello, unless muted; return the first frame. Muted, only an operator is heard."""
        reading = asyncio.ensure_future(conn.recv())
        speaking = asyncio.ensure_future(self._speaking.wait())
        try:
            await asyncio.wait((reading, speaking), return_when=asyncio.FIRST_COMPLETED)
            spoke = self._speaking.is_set()
            if spoke:
                conn.send("hello", v=1, nonce=conn.nonce)
            async with asyncio.timeout(_LOGIN_S):
                frame = await reading
            return frame if spoke or (frame and frame["op"] == "admin") else None
        finally:
            reading.cancel()
            speaking.cancel()

    def _admin(self, conn: Conn, frame: Frame) -> None:
        if not hmac.compare_digest(text(frame, "token").encode(), self._token.encode()):
            raise ProtocolError("wrong admin token")
        match text(frame, "do"):
            case "mute":
                if frame.get("on"):
                    self._speaking.clear()
                else:
                    self._speaking.set()
                self._log("muted" if frame.get("on") else "unmuted")
                conn.send("done", muted=bool(frame.get("on")))
            case "stats":
                online = {name: name in self._hub.devices for name in self._hub.devices}
                conn.send("done", **self._store.stats(), online=sorted(online))
            case _:
                raise ProtocolError("an operator may mute or ask for stats")


def _lock(data: Path) -> int | None:
    """Take the folder for this server; None if another one has it."""
    fd = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


async def _serve(data: Path, port: int, ref_ttl_s: float, link: Link) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for attempt in range(20):  # one that was just told to stop may need a moment
        if (lock := _lock(data)) is not None:
            break
        if attempt == 0:
            print("chat server: another one is using", data, flush=True)  # noqa: T201 (a program)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05)
            return 0
    if lock is None:
        print(f"chat server: {data} is in use by a running server", file=sys.stderr)  # noqa: T201 (a program)
        return 1
    server = Server(data, ref_ttl_s=ref_ttl_s)
    try:
        host, bound = await server.listen(port)
    except OSError as problem:
        print(f"chat server: can't listen on port {port}: {problem}", file=sys.stderr)  # noqa: T201 (a program)
        return 1
    print(f"chat server: listening on {host}:{bound}", flush=True)  # noqa: T201 (a program)
    link.ready(status=f"listening on {host}:{bound}")
    beat = asyncio.create_task(_beat(link))
    await stop.wait()
    beat.cancel()
    link.stopping()
    await server.close()
    link.released()
    return 0


async def _beat(link: Link) -> None:
    while link.watchdog_s:
        link.watchdog()
        await asyncio.sleep(link.watchdog_s / 3)


async def _leave_quickly(serving: Coroutine[None, None, int]) -> NoReturn:
    """Serve, and end the process at once: all is closed, and the interpreter's way out is slow."""
    status = await serving
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def main() -> int:
    """Run the server until SIGTERM or SIGINT."""
    os.umask(0o077)
    data = data_dir()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.chmod(0o700)
    try:
        port = int(os.environ.get("STILLHERE_CHAT_PORT") or 0)
        ref_ttl_s = float(os.environ.get("STILLHERE_CHAT_REF_TTL_S") or REF_TTL_S)
    except ValueError as problem:
        print(f"chat server: STILLHERE_CHAT_*: {problem}", file=sys.stderr)  # noqa: T201 (a program)
        return 2
    return asyncio.run(_leave_quickly(_serve(data, port, ref_ttl_s, Link())))


if __name__ == "__main__":
    sys.exit(main())
