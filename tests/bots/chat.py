"""The chat network of the bots that nobody adapted: a page for a browser, lines for the others.

It runs in the test's own process, so that a test can scan a code, send a message, and see what
the network saw: how often a code was shown, which device came back, and with which keys.
"""

import json
import select
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qs, urlsplit

import segno

WAIT_S = 60.0
_PAGE = Path(__file__).with_name("chat.html")
_LOOK_S = 0.2


def modules(text: str) -> list[str]:
    """Return the rows of a QR code: 1 is dark."""
    drawn = segno.make(text, error="l", micro=False)
    return ["".join("1" if cell else "0" for cell in row) for row in drawn.matrix]


@dataclass
class Device:
    """A linked device, as the network knows it."""

    id: str
    login: dict[str, str]  # what proves it
    chain: int = 0  # the last message that it has acknowledged
    replies: list[str] = field(default_factory=list)


class Chat:
    """What all connections share. A test reads the figures, and acts by `scan` and `send`."""

    def __init__(self) -> None:
        self.url = ""
        self.port = 0
        self.devices: dict[str, Device] = {}
        self.pairings = 0  # how often a code was shown
        self.came_back: list[str] = []  # the devices that were greeted, in order
        self.lost: list[str] = []  # what a device that had been linked came without
        self.conflicts = 0
        self.deaf = 0  # how often one came back with an older key than it had had
        self.closing = False
        self._codes: dict[str, bool] = {}
        self._online: dict[str, list[object]] = {}
        self._outbox: dict[str, list[str]] = {}
        self._changed = threading.Condition()

    # For a test.

    def wait(self, true: Callable[[], bool], words: str) -> None:
        """Wait until something is so."""
        with self._changed:
            assert self._changed.wait_for(true, WAIT_S), f"never {words}"

    def scan(self) -> None:
        """Scan the code that is shown, once it is."""
        with self._changed:
            assert self._changed.wait_for(lambda: False in self._codes.values(), WAIT_S), "no code"
            shown = next(code for code, scanned in self._codes.items() if not scanned)
            self._codes[shown] = True
            self._changed.notify_all()

    def ask(self, device: str, text: str) -> str:
        """Send a message to a device, and return its reply."""
        with self._changed:
            known = self.devices[device]
            before = len(known.replies)
            self._outbox.setdefault(device, []).append(text)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: len(known.replies) > before, WAIT_S), "no reply"
            return known.replies[-1]

    def online(self, device: str) -> bool:
        """Return whether a connection of this device is there."""
        return bool(self._online.get(device))

    # For the connections.

    def shown(self) -> str:
        """Return what a new code says."""
        with self._changed:
            self.pairings += 1
            code = f"2@{token_hex(40)},{token_hex(16)}"
            self._codes[code] = False
            self._changed.notify_all()
            return code

    def scanned(self, code: str, given_up: Callable[[], bool]) -> bool:
        """Wait until a code was scanned; False if nobody waits for it any more."""
        with self._changed:
            while not self._codes[code]:
                if self.closing or given_up():
                    del self._codes[code]
                    return False
                self._changed.wait(_LOOK_S)
            return True

    def link(self, **login: str) -> Device:
        """Link a device."""
        with self._changed:
            device = Device(f"97150{len(self.devices):07}:1@s.whatsapp.net", login)
            self.devices[device.id] = device
            self._changed.notify_all()
            return device

    def greet(self, device: str, chain: int | None = None) -> None:
        """Note that a device came back."""
        with self._changed:
            self.came_back.append(device)
            if chain is not None and chain < self.devices[device].chain:
                self.deaf += 1
            self._changed.notify_all()

    def miss(self, *names: str) -> None:
        """Note what a device that had been linked came without."""
        with self._changed:
            self.lost += names
            self._changed.notify_all()

    def enter(self, device: str, connection: object) -> None:
        """Note a connection; an earlier one of the same device is replaced."""
        with self._changed:
            self.conflicts += self.online(device)
            self._online.setdefault(device, []).append(connection)
            self._changed.notify_all()

    def leave(self, device: str, connection: object) -> None:
        """Note that a connection has ended."""
        with self._changed:
            self._online[device].remove(connection)
            self._changed.notify_all()

    def replaced(self, device: str, connection: object) -> bool:
        """Return whether a newer connection is there."""
        return self._online[device][-1] is not connection

    def outgoing(self, device: str) -> str | None:
        """Return the next message for a device."""
        with self._changed:
            waiting = self._outbox.get(device)
            return waiting.pop(0) if waiting else None

    def replied(self, device: str, said: dict[str, Any]) -> None:
        """Note what a device has received, and its reply."""
        with self._changed:
            self.devices[device].chain = said["ack"]
            self.devices[device].replies.append(said["reply"])
            self._changed.notify_all()


class _Page(BaseHTTPRequestHandler):
    chat: Chat

    def log_message(self, *_args: object) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        if where.path == "/stay":
            self._stay(parse_qs(where.query)["device"][0])
        elif where.path == "/":
            self._send(_PAGE.read_bytes(), "text/html; charset=utf-8")
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self._pair(said) if self.path == "/pair" else self._hello(said)
        if answer:
            self._send(json.dumps(answer).encode(), "application/json")

    def _hello(self, said: dict[str, Any]) -> dict[str, Any]:
        login = {"device": said["device"], "cookie": said["cookie"], "key": said["key"]}
        device = self.chat.devices.get(str(said["device"]))
        if device is not None and {**device.login, "device": device.id} == login:
            self.chat.greet(device.id)
            return {"device": device.id}
        if self.chat.devices:
            self.chat.miss(*(name for name, value in login.items() if value is None))
        code = self.chat.shown()
        return {"ref": code, "modules": modules(code)}

    def _pair(self, said: dict[str, Any]) -> dict[str, Any]:
        if not self.chat.scanned(said["ref"], self._gone):
            return {}
        device = self.chat.link(cookie=token_hex(16), key=token_hex(16))
        return {"device": device.id, **device.login}

    def _gone(self) -> bool:
        return bool(select.select([self.connection], [], [], 0)[0])

    def _stay(self, device: str) -> None:
        self.chat.enter(device, self)
        try:
            while not self.chat.closing:
                if select.select([self.connection], [], [], _LOOK_S)[0]:
                    return
        finally:
            self.chat.leave(device, self)

    def _send(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Wire(socketserver.StreamRequestHandler):
    chat: Chat

    def handle(self) -> None:
        with suppress(OSError, ValueError):  # it ended in the middle of a line
            self._serve(json.loads(self.rfile.readline()))

    def _serve(self, said: dict[str, Any]) -> None:
        if said["device"] is None:
            if self.chat.devices:
                self.chat.miss("creds")
            self._pair(said["identity"])
            return
        device = self.chat.devices.get(said["device"])
        if device is None or device.login != {"identity": said["identity"]}:
            self._tell(failure=401)
            return
        self.chat.enter(device.id, self)
        try:
            self._tell(success=True)
            self.chat.greet(device.id, said["chain"])
            self._talk(device)
        finally:
            self.chat.leave(device.id, self)

    def _talk(self, device: Device) -> None:
        while not self.chat.closing:
            if self.chat.replaced(device.id, self):
                self._tell(conflict="replaced")
                return
            if (text := self.chat.outgoing(device.id)) is not None:
                self._tell(message=text, n=device.chain + 1)
                self.chat.replied(device.id, json.loads(self.rfile.readline()))
            elif self._gone(_LOOK_S):
                return

    def _pair(self, identity: str) -> None:
        code = self.chat.shown()
        self._tell(qr=code, modules=modules(code))
        if self.chat.scanned(code, self._gone):
            self._tell(pair=self.chat.link(identity=identity).id)

    def _tell(self, **said: Any) -> None:
        self.wfile.write(json.dumps(said).encode() + b"\n")

    def _gone(self, within_s: float = 0.0) -> bool:
        # It says nothing unasked: what can be read is its end.
        return bool(select.select([self.connection], [], [], within_s)[0])


@contextmanager
def chatting() -> Iterator[Chat]:
    """Serve a chat network for the block."""
    chat = Chat()
    page = ThreadingHTTPServer(("127.0.0.1", 0), type("Page", (_Page,), {"chat": chat}))
    wire = socketserver.ThreadingTCPServer(("127.0.0.1", 0), type("Wire", (_Wire,), {"chat": chat}))
    page.daemon_threads = wire.daemon_threads = True
    page.block_on_close = wire.block_on_close = False
    chat.url = f"http://127.0.0.1:{page.server_address[1]}/"
    chat.port = wire.server_address[1]
    threads = [
        threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        for each in (page, wire)
    ]
    for thread in threads:
        thread.start()
    try:
        yield chat
    finally:
        chat.closing = True
        for server in (page, wire):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join(WAIT_S)
