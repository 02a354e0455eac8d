"""What the tests of the WhatsApp transport share: real databases of the library, and peers.

Nothing here ever reaches out: every client is told to go through a proxy on loopback.
"""

import socket
import sqlite3
import subprocess
import threading
import warnings
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        from neonize.aioze.client import ClientFactory

        # As it is imported it runs `uname` and leaves the pipe to it open: not our tests' fault.
        for left in list(vars(subprocess)["_active"]):
            left.wait()
            left.stdout.close()
    LACKING = ""
except ModuleNotFoundError:
    LACKING = "the library is not installed: pip install '.[whatsapp]' runs this"

needs_neonize = pytest.mark.skipif(bool(LACKING), reason=LACKING)
DEVICE = "4915112345678:7@s.whatsapp.net"
_MADE: dict[str, bytes] = {}


def database(path: Path) -> Path:
    """Write a database as the library makes it, without a device."""
    if not _MADE:
        assert ClientFactory.get_all_devices_from_db(str(path)) == []
        _MADE["image"] = path.read_bytes()
    path.write_bytes(_MADE["image"])
    return path


def add_device(path: Path, device: str = DEVICE, key: bytes = b"k" * 32) -> None:
    """Put a device into a database, as a link does."""
    row = {
        "jid": device,
        "registration_id": 1,
        "noise_key": b"n" * 32,
        "identity_key": key,
        "signed_pre_key": b"p" * 32,
        "signed_pre_key_id": 1,
        "signed_pre_key_sig": b"s" * 64,
        "adv_key": b"a" * 32,
        "adv_details": b"",
        "adv_account_sig": b"b" * 64,
        "adv_account_sig_key": b"c" * 32,
        "adv_device_sig": b"d" * 64,
    }
    with closing(sqlite3.connect(path)) as db, db:
        columns, marks = ", ".join(row), ", ".join("?" * len(row))
        sql = f"INSERT INTO whatsmeow_device ({columns}) VALUES ({marks})"  # noqa: S608 (our own)
        db.execute(sql, tuple(row.values()))


class SilentPeer:
    """A proxy that accepts, and says nothing until the block ends."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._came = threading.Condition()
        self._thread = threading.Thread(target=self._accept)
        self.proxy = f"socks5://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def visits(self) -> int:
        """How often somebody came."""
        return len(self._open)

    def visited(self, times: int = 1, timeout_s: float = 20.0) -> None:
        """Wait until so many have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._open) >= times, timeout_s), "nobody came"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._came:
                self._open.append(client)
                self._came.notify_all()

    def hang_up(self) -> None:
        """End what was accepted so far."""
        for client in self._open:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no more, and hang up."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.hang_up()
        for client in self._open:
            client.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def dead_proxy() -> str:
    """Return a proxy that refuses: a port that was just given back."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"socks5://127.0.0.1:{listener.getsockname()[1]}"
