"""A control server on a real socket, in its own loop's thread, answered by a fake runner."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from supervisor.control.server import ControlServer
from supervisor.core.errors import SupervisorError

WAIT_S = 5.0


class FakeRequests:
    """Answers as it is told; `gate` holds back what is asked to wait."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self.items: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.finished = threading.Event()
        self.closed = threading.Event()

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Answer; `restart` waits at the gate, `stop` refuses, `pause` has a bug."""
        self.asked.append((command, args))
        if command in self.results:
            return self.results[command]
        if command == "restart":
            self.entered.set()
            await asyncio.to_thread(self.gate.wait, WAIT_S)
            self.finished.set()
        if command == "stop":
            raise SupervisorError("there is no bot 'x'", "the bots: echo")
        if command == "pause":
            raise KeyError("bug")
        if command == "resume":
            return {1, 2}
        return {"echo": args}

    async def stream(self, command: str, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Stream; `events` ends, `logs` waits for ever, `link` fails after one item."""
        self.asked.append((command, args))
        if command in self.items:
            for item in self.items[command]:
                yield item
            return
        try:
            yield {"n": 1}
            if command == "link":
                raise SupervisorError("the bot is not pairing")
            if command == "logs":
                await asyncio.Event().wait()
            yield {"n": 2}
        finally:
            self.closed.set()


class Running:
    """A started server, and plain ways to talk to it."""

    def __init__(self, path: Path, fake: FakeRequests) -> None:
        self.path = path
        self.fake = fake
        self.stop: Callable[[], None] = lambda: None

    def connect(self) -> socket.socket:
        """Return a connection whose every wait is bounded."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(WAIT_S)
        sock.connect(str(self.path))
        return sock

    def talk(self, data: bytes, *, end: bool = True) -> bytes:
        """Send bytes and read until the server hangs up."""
        with self.connect() as sock:
            with suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            with suppress(OSError):
                if end:
                    sock.shutdown(socket.SHUT_WR)
            got = b""
            with suppress(ConnectionResetError):
                while chunk := sock.recv(65536):
                    got += chunk
            return got

    def answers(self, data: bytes) -> list[dict[str, Any]]:
        """Send bytes and return the answered lines."""
        return [json.loads(line) for line in self.talk(data).splitlines()]


@contextmanager
def running(path: Path, pulse: Callable[[], int] = int, **timing: float) -> Iterator[Running]:
    """Run a server in a thread, and prove that it ends."""
    fake = FakeRequests()
    server = ControlServer(path, fake, pulse=pulse, **timing)
    ready = threading.Event()
    control: dict[str, Any] = {}

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            async with server:
                control["stop"] = lambda: loop.is_closed() or loop.call_soon_threadsafe(stop.set)
                ready.set()
                await stop.wait()
        except BaseException as error:
            control["error"] = error
            ready.set()
            raise

    def run() -> None:
        with suppress(SupervisorError):
            asyncio.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(WAIT_S)
    if "error" in control:
        thread.join(WAIT_S)
        raise control["error"]
    found = Running(path, fake)
    found.stop = control["stop"]
    try:
        yield found
    finally:
        fake.gate.set()
        control["stop"]()
        thread.join(WAIT_S)
        assert not thread.is_alive(), "the server did not end"
