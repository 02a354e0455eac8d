"""journald's native protocol: an entry with fields, in one datagram.

https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: `NAME=value` lines; a value with a newline has its name
alone on a line, its length as 64 bits little-endian, and then itself. What is too large for a
datagram goes as a sealed memory file. It never blocks: what journald has no room for now is lost,
and counted.
"""

import array
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Journald:
    """Sends entries. Raises OSError from the constructor where nobody listens. Of any thread."""

    def __init__(self, path: Path = SOCKET, *, identifier: str = "stillhere") -> None:
        self._identifier = identifier
        self._lost = 0
        self._address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.setblocking(False)  # noqa: FBT003 - the socket module's signature
            self._socket.connect(self._address)
        except OSError:
            self._socket.close()
            raise

    def send(self, message: str, priority: int, fields: Mapping[str, object]) -> bool:
        """Send one entry; say whether journald took it. `priority`: syslog(3)'s, 0 to 7.

        Fields with no value (None, "") are left out. Names are upper case, digits and underscores.
        """
        entry = {
            "MESSAGE": message,
            "PRIORITY": priority,
            "SYSLOG_IDENTIFIER": self._identifier,
            **fields,
        }
        if self._lost:
            entry["STILLHERE_LOST"] = self._lost
        data = b"".join(
            _field(name, value) for name, value in entry.items() if value not in (None, "")
        )
        try:
            # Not as connected: its socket may have been made anew since.
            self._socket.sendto(data, self._address)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS) or not self._send_file(data):
                self._lost += 1
                return False
        self._lost = 0
        return True

    def _send_file(self, data: bytes) -> bool:
        try:
            fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(fd, rest) :]
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))
                self._socket.sendmsg([], [rights], 0, self._address)
            finally:
                os.close(fd)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Send no more."""
        with suppress(OSError):
            self._socket.close()


def _field(name: str, value: object) -> bytes:
    text = str(value).encode("utf-8", "replace")
    if b"\n" not in text:
        return name.encode() + b"=" + text + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(text)) + text + b"\n"
