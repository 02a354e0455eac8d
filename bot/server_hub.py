"""The chat server's middle: connections, the log, who is online, and what each kind of peer shares.

It owns the sockets and the table of who is online. It never blocks on one peer for another's sake:
who does not read what it is sent is disconnected.
"""

import asyncio
import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bot.keys import token
from bot.protocol import LINE_BYTES, Frame, ProtocolError, decode, encode
from bot.server_store import ServerStore

_UNREAD_BYTES = 4 * 1024 * 1024
_ESTABLISHED = 1  # the first byte of TCP_INFO


class ServerLog:
    """The server's log: one JSON object a line, with wall and monotonic time. Never a secret."""

    def __init__(self, path: Path) -> None:
        if path.exists() and path.stat().st_size > 8 * 1024 * 1024:
            path.replace(path.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        os.fchmod(self._fd, 0o600)

    def __call__(self, event: str, **fields: Any) -> None:
        """Write one event."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"t": now, "mono": round(time.monotonic(), 6), "event": event, **fields}
        os.write(self._fd, json.dumps(line).encode() + b"\n")  # one write: lines never mix

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Conn:
    """One connection: frames in, frames out."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.id = token(6)
        self.nonce = token(24)

    async def recv(self) -> Frame | None:
        """Return the next frame; None at the end.

        Raises: ProtocolError.
        """
        try:
            line = await self._reader.readline()
        except ValueError:
            raise ProtocolError(f"a line of more than {LINE_BYTES} bytes") from None
        except OSError:
            return None
        return decode(line) if line.endswith(b"\n") else None

    def send(self, op: str, **fields: Any) -> None:
        """Send a frame. Never waits: who does not read is cut off."""
        if self._writer.is_closing():
            return
        self._writer.write(encode({"op": op, **fields}))
        if self._writer.transport.get_write_buffer_size() > _UNREAD_BYTES:
            self._writer.transport.abort()

    def gone(self) -> bool:
        """Whether the other end closed it already, also if we have not read so far yet."""
        sock = self._writer.get_extra_info("socket")
        try:
            state: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        except (OSError, AttributeError):
            return True
        return self._writer.is_closing() or state != _ESTABLISHED

    def close(self) -> None:
        """Close it, after what was sent is out."""
        self._writer.close()


class Online(Protocol):
    """A device that is connected, as others see it."""

    def pump(self) -> None:
        """Deliver the next message, if there is one and the last is done."""

    def end(self, code: int, reason: str) -> None:
        """Send the device away."""


class Pairing(Protocol):
    """A bot that shows a QR code, as the phone's side sees it."""

    sign: str

    def offer(self, phone: Conn, frame: Frame, account: Frame) -> None:
        """Hand over what the phone said after it scanned the code."""


class Hub:
    """All that the peers of one server share."""

    def __init__(self, store: ServerStore, log: ServerLog, ref_ttl_s: float) -> None:
        self.store = store
        self.log = log
        self.ref_ttl_s = ref_ttl_s
        self.devices: dict[str, Online] = {}
        self.phones: dict[str, set[Conn]] = {}
        self.pairings: dict[str, Pairing] = {}

    def tell_phones(self, account: str, op: str, **fields: Any) -> None:
        """Send a frame to each connected phone of the account."""
        for conn in self.phones.get(account, ()):
            conn.send(op, **fields)

    def pump(self, device_id: str) -> None:
        """Deliver to the device what waits for it, if it is online."""
        if (peer := self.devices.get(device_id)) is not None:
            peer.pump()
