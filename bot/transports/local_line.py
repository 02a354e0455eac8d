"""A connection of the bot's device to the local chat server: frames in, frames out."""

import asyncio

from bot.protocol import LINE_BYTES, Frame, ProtocolError, decode, encode, number, text

ANSWER_S = 5.0  # a server that accepts and says nothing is tried again after this


class ClosedError(Exception):
    """The server closed the session and said why: `code reason`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code


class Line:
    """A connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: tuple[str, int]) -> "Line":
        """Connect.

        Raises: OSError, TimeoutError.
        """
        async with asyncio.timeout(ANSWER_S):
            return cls(*await asyncio.open_connection(*address, limit=2 * LINE_BYTES))

    async def recv(self) -> Frame:
        """Return the next frame.

        Raises: OSError at the end of the connection, ProtocolError, ClosedError.
        """
        try:
            line = await self._reader.readline()
        except ValueError:
            raise ProtocolError("a line that is too long") from None
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the connection ended")
        frame = decode(line)
        if frame["op"] == "close":
            raise ClosedError(number(frame, "code"), text(frame, "reason"))
        return frame

    async def expect(self, op: str) -> Frame:
        """Return the next frame, which must come soon and be this one.

        Raises: OSError, TimeoutError, ProtocolError, ClosedError.
        """
        async with asyncio.timeout(ANSWER_S):
            frame = await self.recv()
        if frame["op"] != op:
            raise ProtocolError(f"{frame['op'][:20]!r} came, not {op!r}")
        return frame

    def send(self, op: str, **fields: object) -> None:
        """Send a frame."""
        self._writer.write(encode({"op": op, **fields}))

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()
