"""Guards around the library's database: nothing of it may ever turn into a new device unseen.

The library opens whatever lies there: of a missing or an empty file it makes a new device, which
asks for a QR code as if nothing had ever been linked. So the session is looked at before the
library may touch it, and a marker of ours beside the database says which device was linked.

Once the library has the database open, this process must not open it with another SQLite, and not
close a descriptor of it: POSIX locks belong to the process, and the library's would be gone. What
is done meanwhile goes through one descriptor that stays open, with locks of its own (OFD).

It changes nothing that it refuses. No message of it has a digit of an address or of a key: a reason
with `401` in it would be taken for a logout.
"""

import contextlib
import fcntl
import json
import os
import sqlite3
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from bot.keys import BadKeyError, BoxKey, fingerprint
from bot.protocol import write_private
from bot.session import SessionLostError
from bot.transports import InUseError

DATABASE = "whatsapp.db"
MARKER = "linked.json"
_MAGIC = b"SQLite format 3\0"
# Where SQLite's locks lie in every database file: the pending byte, the reserved, 510 shared ones.
_LOCKS_AT, _LOCK_BYTES = 0x40000000, 512


@dataclass(frozen=True, slots=True)
class Device:
    """A linked device. `id`: its address, as the library writes it."""

    id: str
    fingerprint: str

    @property
    def identity(self) -> str:
        """What others may know: the device and its key's fingerprint."""
        return f"{self.id}:{self.fingerprint}"


def hold(folder: Path) -> int:
    """Take the folder for this process, until it ends; return the descriptor that holds it.

    The supervisor's lock covers its own bots. This is for one that was started by hand.

    Raises: InUseError.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise InUseError("another process uses this session: stop it first") from None
    except OSError:
        return fd  # a filesystem without such locks: the supervisor's has to do
    return fd


def check(folder: Path) -> Device | None:
    """Return the device whose session this is; None: the folder was never linked.

    Call it before the library opens the database, never after.

    Raises: SessionLostError with the reason; sqlite3.OperationalError where the file is not to
    blame (a full disk, a lock).
    """
    marker = _read_marker(folder)
    if marker is not None and marker.get("ended"):
        raise SessionLostError(str(marker["ended"]))
    path = folder / DATABASE
    if not path.exists():
        if marker is not None:
            raise SessionLostError(f"{DATABASE} is missing, and a device was linked here")
        return None
    devices = _devices_at_rest(path)
    if marker is None:
        return devices[0] if devices else None  # as the library chooses
    for device in devices:
        if (device.id, device.fingerprint) == (marker.get("device"), marker.get("fingerprint")):
            return device
    what = "another device's" if devices else "empty of the device that was linked here"
    raise SessionLostError(f"{DATABASE} is {what}")


def note_linked(folder: Path, device: Device) -> None:
    """Write down that this device is linked here."""
    marker = {"device": device.id, "fingerprint": device.fingerprint, "linked_at": time.time()}
    write_private(folder / MARKER, json.dumps(marker) + "\n")


def is_noted(folder: Path) -> bool:
    """Return whether it is written down that a device is linked here."""
    return (folder / MARKER).exists()


def note_ended(folder: Path, reason: str) -> None:
    """Write down that the network ended the link: the library deletes the device at that moment.

    Should the bot die before anybody heard why, the next one still says it.
    """
    with contextlib.suppress(SessionLostError):
        marker = _read_marker(folder) or {}
        write_private(folder / MARKER, json.dumps({**marker, "ended": reason}) + "\n")


def _read_marker(folder: Path) -> dict[str, object] | None:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (IsADirectoryError, ValueError, RecursionError):
        raise SessionLostError(f"{MARKER} can't be read") from None
    if not isinstance(marker, dict):
        raise SessionLostError(f"{MARKER} can't be read")
    return marker


def _devices_at_rest(path: Path) -> list[Device]:
    """Return the devices of a database that nobody has open.

    Raises: SessionLostError, sqlite3.OperationalError.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except IsADirectoryError:
        head = b"?"
    if head != _MAGIC:
        raise SessionLostError(f"{path.name} is {'no database' if head else 'empty'}")
    # For writing: what a crash left half done is rolled back, as the library would.
    uri = f"{path.resolve().as_uri()}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            if db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise SessionLostError(f"{path.name} is damaged")
            return _devices(db)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as problem:
        raise SessionLostError(f"{path.name} is damaged ({problem.sqlite_errorname})") from None


def _devices(db: sqlite3.Connection) -> list[Device]:
    """Return the devices that a database holds; none if the library never finished making it.

    Raises: SessionLostError, sqlite3.DatabaseError.
    """
    has = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'whatsmeow_device'"
    if db.execute(has).fetchone() is None:
        return []
    rows = db.execute("SELECT jid, identity_key FROM whatsmeow_device ORDER BY rowid").fetchall()
    try:
        return [Device(jid, fingerprint(BoxKey(key).public)) for jid, key in rows]
    except (BadKeyError, TypeError):
        raise SessionLostError(f"{DATABASE} holds a device without a key") from None


class OpenDatabase:
    """The database while the library has it open. Its descriptor stays open to the very end."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / DATABASE, os.O_RDWR | os.O_CLOEXEC)

    def devices(self) -> list[Device]:
        """Return the devices in it, between two transactions of the library.

        Raises: BlockingIOError if it is writing (try again), SessionLostError, sqlite3.Error.
        """
        self._lock(fcntl.F_RDLCK, _LOCKS_AT + 2, _LOCK_BYTES - 2)
        try:
            image = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        finally:
            self._lock(fcntl.F_UNLCK, _LOCKS_AT + 2, _LOCK_BYTES - 2)
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
            db.deserialize(image)
            return _devices(db)

    def seal(self) -> None:
        """Shut the library out of the database until this process ends.

        The library can't close it. But once this lock is held no transaction of it is open, and
        none can begin: what is in the file is all, and nothing more will be written.

        Raises: BlockingIOError if it is in a transaction: try again.
        """
        self._lock(fcntl.F_WRLCK, _LOCKS_AT, _LOCK_BYTES)

    def _lock(self, kind: int, start: int, length: int) -> None:
        fields = struct.pack("hhqqi0q", kind, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, fields)
