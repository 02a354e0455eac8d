"""The notify socket of one generation: systemd's sd_notify protocol, with credentials checked.

sd_notify(3): datagrams of KEY=VALUE lines. The kernel says who sent one (unix(7),
SCM_CREDENTIALS); a message of a stranger is counted and dropped.
"""

import array
import asyncio
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from supervisor.process.carried import Listening

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_MESSAGE_BYTES = 65536
_FDS_MAX = 16
# More than a socket queues (net.unix.max_dgram_qlen: 10 to 512): all that a dead process had said.
_MESSAGES_MAX = 1024

Message = dict[str, str]


class NotifySocket:
    """One generation's socket. `on_message` gets each trusted message; `trusts(pid)` decides.

    `on_stranger` is told of each other one.
    """

    def __init__(
        self,
        path: Path,
        on_message: Callable[[Message], None],
        trusts: Callable[[int], bool],
        on_stranger: Callable[[], None] = lambda: None,
        *,
        uid: int | None = None,
        carried: Listening | None = None,
    ) -> None:
        """`uid`: whose the bot is; None: ours. `carried`: a socket that is bound already."""
        self.path = path
        self.strangers = 0 if carried is None else carried.strangers
        self.truncated = 0 if carried is None else carried.truncated
        self._on_message = on_message
        self._trusts = trusts
        self._on_stranger = on_stranger
        self._uid = os.geteuid() if uid is None else uid
        if carried is not None:
            self._socket = socket.socket(fileno=carried.fd)
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self.drain)
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self._socket.bind(str(path))
            path.chmod(0o600)
            if self._uid != os.geteuid():  # in a folder that is ours: nobody has swapped it
                os.chown(path, self._uid, -1, follow_symlinks=False)
        except OSError:
            self._socket.close()
            raise
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self.drain)

    def carry(self) -> Listening | None:
        """Return what another one needs to go on; None once it is closed."""
        if self._socket.fileno() < 0:
            return None
        return Listening(
            fd=self._socket.fileno(),
            path=str(self.path),
            strangers=self.strangers,
            truncated=self.truncated,
        )

    def drain(self) -> None:
        """Take all that is there now; bounded, for somebody may go on sending."""
        refused: set[int] = set()  # who is looked up once, and not for each message of a flood
        for _ in range(_MESSAGES_MAX):
            if self._socket.fileno() < 0:
                return
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(
                    _MESSAGE_BYTES,
                    socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * _FDS_MAX),
                    socket.MSG_CMSG_CLOEXEC,
                )
            except BlockingIOError:
                return
            pid, uid = _sender(ancillary)
            if flags & socket.MSG_TRUNC:
                self.truncated += 1
            elif uid != self._uid or pid in refused or not self._trusts(pid):
                if uid == self._uid:
                    refused.add(pid)  # to look for it takes a while; a wrong uid is seen at once
                self.strangers += 1
                self._on_stranger()
            else:
                self._on_message(parse(data))

    def close(self) -> None:
        """Stop listening; harmless when done twice."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            with suppress(OSError):
                self.path.unlink()


def parse(data: bytes) -> Message:
    """Return the assignments of a datagram; what is none is left out."""
    message: Message = {}
    for line in data.decode("utf-8", "replace").split("\n"):
        key, equals, value = line.partition("=")
        if equals and key:
            message[key] = value
    return message


def _sender(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """Return the sender's pid and uid (-1: unknown); descriptors that came along are closed."""
    pid, uid = -1, -1
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS and len(data) >= _CREDENTIALS.size:
            pid, uid, _ = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])
        elif kind == socket.SCM_RIGHTS:
            fds = array.array("i")
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
            for fd in fds:
                os.close(fd)
    return pid, uid
