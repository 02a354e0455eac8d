"""The control socket's place in the file system: bound by one supervisor, under a lock of its own.

What cleans /tmp goes by age and not by use: `missing` says that the socket or the lock is gone, or
another's, and `take` makes them anew. It answers nobody, and removes only what is its own.
"""

import errno
import fcntl
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

from supervisor.control import paths
from supervisor.core.errors import SupervisorError

BACKLOG = 64
Inode = tuple[int, int]


def peer(connection: socket.socket) -> tuple[int, int]:
    """Return (pid, uid) of the other end, by the kernel's word."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return pid, uid


class Binding:
    """Holds `path` from `take` or `adopt` to `release`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lock: int | None = None
        self.inode: Inode | None = None

    def adopt(self, lock: int, inode: Inode) -> None:
        """Go on where the program before ours listened."""
        self.lock, self.inode = lock, inode

    def missing(self) -> bool:
        """Say whether who looks for us would not find us, or could take our place."""
        return self._lock_is_gone() or _inode(self._path) != self.inode

    def take(self) -> socket.socket:
        """Listen there, anew if we did; a dead supervisor's socket is replaced, a live one's never.

        Raises: SupervisorError if another supervisor listens there, or the place is not ours.
        """
        paths.prepare(self._path.parent)
        # The lock closes the race of two supervisors that both find a stale socket.
        lock = self._locked() if self.lock is None or self._lock_is_gone() else self.lock
        try:
            self._replace_stale()
            listener = self._bound()
        except BaseException:
            if lock != self.lock:
                os.close(lock)
            raise
        if self.lock is not None and self.lock != lock:
            os.close(self.lock)
        self.lock, self.inode = lock, _inode(self._path)
        return listener

    def release(self) -> None:
        """Remove the socket, if it is still ours, and give the lock back."""
        if self.inode is not None and _inode(self._path) == self.inode:
            with suppress(OSError):
                self._path.unlink()
        self.inode = None
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    @property
    def _lock_path(self) -> Path:
        return self._path.with_suffix(".lock")

    def _lock_is_gone(self) -> bool:
        if self.lock is None:
            return True
        held = os.fstat(self.lock)
        return _inode(self._lock_path) != (held.st_dev, held.st_ino)

    def _locked(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            lock = os.open(self._lock_path, flags, 0o600)
        except OSError as error:
            raise self._barred(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(lock, 32, 0).decode("ascii", "replace")
            os.close(lock)
            raise _taken(pid) from None
        os.fchmod(lock, 0o600)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock

    def _bound(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
            listener.bind(os.fspath(self._path))
            self._path.chmod(0o600)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise self._barred(error) from error
        return listener

    def _barred(self, error: OSError) -> SupervisorError:
        return SupervisorError(f"cannot listen at {self._path}: {error.strerror or error}")

    def _replace_stale(self) -> None:
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with probe:
            probe.setblocking(False)  # noqa: FBT003 - the socket module's signature
            if self.inode is not None and _inode(self._path) == self.inode:
                self._path.unlink(missing_ok=True)  # our own, where only the lock was gone
                return
            try:
                probe.connect(os.fspath(self._path))
            except FileNotFoundError:
                return
            except OSError as error:
                # Only a refused connection proves that nobody listens (EAGAIN: a full queue).
                if error.errno not in (errno.ECONNREFUSED, errno.ENOTSOCK):
                    raise _taken("") from error
                self._path.unlink(missing_ok=True)
                return
            raise _taken(str(peer(probe)[0]))


def _inode(path: Path) -> Inode | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _taken(pid: str) -> SupervisorError:
    who = f" (pid {pid})" if pid.isdigit() else ""
    return SupervisorError(
        f"another supervisor{who} already runs for this config",
        "stop it first, or look at it with: stillhere status; two bots of one folder stand in"
        " one config: stillhere init",
    )
