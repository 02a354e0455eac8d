"""The phone's connection to the chat server: a socket, a thread that reads it, requests in turn.

Also an operator's requests (`ask_admin`), which need the token that only this user can read.
"""

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.protocol import Frame, ProtocolError, decode, encode, read_address

_PUSHED = ("reply", "status")


class PhoneError(Exception):
    """What went wrong, and what to do. `gone`: the server is away; trying again may help."""

    def __init__(self, message: str, hint: str = "", *, gone: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.gone = gone


class Wire:
    """One connection. `pushed` is called by its thread with what comes unasked."""

    def __init__(self, data: Path, timeout_s: float, pushed: Callable[[Frame], None]) -> None:
        self._sock = _dial(data, timeout_s)
        self._pushed = pushed
        self._answers: queue.Queue[Frame | None] = queue.Queue()
        self._write = threading.Lock()
        self.alive = True
        self._thread = threading.Thread(target=self._read, name="phone", daemon=True)
        self._thread.start()
        try:
            self.nonce = str(self.expect("hello", timeout_s)["nonce"])
        except PhoneError:
            self.close()
            raise

    def send(self, op: str, **fields: Any) -> None:
        """Send a frame. A lost connection shows at the next `expect`."""
        with contextlib.suppress(OSError), self._write:
            self._sock.sendall(encode({"op": op, **fields}))

    def expect(self, op: str, timeout_s: float) -> Frame:
        """Return the next answer, which must be this one.

        Raises: PhoneError: with the server's reason, if it refused.
        """
        try:
            frame = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            self.close()  # a late answer must not be taken for the next request's
            hint = "it accepts connections and says nothing: restart it"
            raise PhoneError("the chat server does not answer", hint, gone=True) from None
        if frame is None:
            self.alive = False
            hint = "start it: make dev"
            raise PhoneError("the chat server closed the connection", hint, gone=True)
        if frame["op"] == op:
            return frame
        reason = str(frame.get("reason", f"{frame['op']} came, not {op}"))
        hint = {"no_device": "link it: make scan"}.get(reason, "")
        raise PhoneError({"no_device": "no such device is linked"}.get(reason, reason), hint)

    def _read(self) -> None:
        """Read until the end. Runs in a thread of its own."""
        buffer = bytearray()
        with contextlib.suppress(OSError, ProtocolError):
            while chunk := self._sock.recv(65536):
                buffer += chunk
                while (end := buffer.find(b"\n")) >= 0:
                    frame = decode(bytes(buffer[: end + 1]))
                    del buffer[: end + 1]
                    if frame["op"] in _PUSHED:
                        self._pushed(frame)
                    else:
                        self._answers.put(frame)
        self.alive = False
        self._answers.put(None)

    def close(self) -> None:
        """Close the connection and end its thread."""
        self.alive = False
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5)
        self._sock.close()


def _dial(data: Path, timeout_s: float) -> socket.socket:
    address = read_address(data)
    try:
        if address is None:
            raise ConnectionRefusedError
        sock = socket.create_connection(address, timeout=timeout_s)
    except OSError:
        raise PhoneError(
            "the chat server is not running", "start it: make dev", gone=True
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(None)
    return sock


def ask_admin(data: Path, do: str, *, timeout_s: float = 5.0, **fields: Any) -> Frame:
    """Ask the server as its operator: `mute` (on=True or False) or `stats`.

    Raises: PhoneError.
    """
    token = (data / "admin-token").read_text(encoding="ascii").strip()
    with _dial(data, timeout_s) as sock, sock.makefile("rb") as lines:
        sock.settimeout(timeout_s)
        sock.sendall(encode({"op": "admin", "token": token, "do": do, **fields}))
        for line in lines:
            frame = decode(line)
            if frame["op"] == "done":
                return frame
            if frame["op"] == "error":
                raise PhoneError(str(frame["reason"]))
    raise PhoneError("the chat server closed the connection", gone=True)
