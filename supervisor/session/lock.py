"""One copy, ever: the lock file beside a session, and the bytes in it.

`sessions/.session-<id>.lock` is never unlinked and never swapped with the folder. Byte 0 is the
owner's (a supervisor or a lone command); byte n is held by generation n through a descriptor
that it inherits. The locks are open file description locks (fcntl(2), F_OFD_SETLK): they end
with the last descriptor of the open, whoever holds it, and not with any close in the process.
"""

import errno
import fcntl
import json
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from blake3 import blake3

from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.session import files

# struct flock of 64-bit Linux: l_type, l_whence, (pad), l_start, l_len, l_pid, (pad).
_FLOCK = struct.Struct("hhxxxxqqixxxx")
_BODY_BYTES = 4096


def boot_id() -> str:
    """Return the id of this boot: a pid means nothing in another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int:
    """Return when `pid` started, in clock ticks since boot (proc_pid_stat(5), field 22).

    Raises: ProcessLookupError when there is no such process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError as error:
        raise ProcessLookupError(pid) from error
    return int(text.rpartition(")")[2].split()[19])


class OwnerLock:
    """Byte 0 of a session's lock file, and the sight of the generations' bytes.

    `place`: where the session lies, if it has a folder of its own. Two configs may have the same
    one under two ids, and so two lock files beside it.
    """

    def __init__(self, sessions_dir: Path, session_id: str, place: Path | None = None) -> None:
        self.path = sessions_dir / f".session-{session_id}.lock"
        self._place = blake3(os.fsencode(place)).hexdigest() if place else ""
        self._shares = place is not None and place.name != f"session-{session_id}"
        self.session_id = session_id
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds byte 0."""
        return self._fd is not None

    def acquire(self, *, control: str = "") -> None:
        """Take byte 0 and write down who has it, where there is room for that.

        Raises: SessionBusy, with the owner's pid, when another process has it, or has the session's
        folder under another id; SupervisorError when the file cannot be trusted or the filesystem
        has no such locks.
        """
        if self._fd is not None:
            return
        fd = self._open()
        if not _set(fd, fcntl.F_WRLCK, 0, 1):
            body = _read_body(fd)
            os.close(fd)
            raise self._busy(body)
        try:
            _write_body(fd, control, self._place)
            self._refuse_second_id()
        except BaseException:
            os.close(fd)  # else we would be busy with ourselves for ever
            raise
        self._fd = fd

    def _refuse_second_id(self) -> None:
        """Raise SessionBusy if the session's folder is in use under another id."""
        for path in self.path.parent.glob(".session-*.lock") if self._shares else ():
            if path != self.path and _holder(path).get("place") == self._place:
                other = path.name.removeprefix(".session-").removesuffix(".lock")
                raise self._busy({"pid": _holder(path).get("pid")}, f", as session {other}")

    def carry(self) -> int | None:
        """Return the descriptor that holds byte 0, for the program that follows ours."""
        return self._fd

    def adopt(self, fd: int) -> None:
        """Hold byte 0 by a descriptor that holds it already; see `carry`."""
        self._fd = fd

    def release(self) -> None:
        """Give byte 0 back. Harmless when it is not held."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            try:
                os.ftruncate(fd, 0)
            finally:
                os.close(fd)

    def survivors(self) -> tuple[int, ...]:
        """Return the generations whose byte is still held by somebody. Holds no lock for it."""
        with self._seen() as fd:
            found: list[int] = []
            spans: list[tuple[int, int | None]] = [] if fd is None else [(1, None)]
            while spans:
                start, stop = spans.pop()
                assert fd is not None  # noqa: S101 - else there is nothing to look at
                held = _blocking(fd, start, stop)
                if held is not None:
                    first, end = held
                    found.append(first)
                    # The kernel names any of the locks there, not the lowest.
                    spans.append((start, first))
                    spans += [] if end is None else [(end, stop)]
            return tuple(sorted(found))

    def free(self, generation: int) -> bool:
        """Return whether nobody holds byte `generation`. Raises: SupervisorError if it's unseen."""
        with self._seen() as fd:
            return fd is None or _blocking(fd, generation, generation + 1) is None

    def spare_fd(self) -> int:
        """Open the file anew for a child who has no generation yet; see `give`."""
        return self._open()

    def give(self, fd: int, generation: int) -> None:
        """Lock byte `generation` for who has inherited `fd`: a lock is of the open file.

        Raises: SessionBusy when somebody already holds that byte.
        """
        if not _set(fd, fcntl.F_WRLCK, generation, 1):
            raise SessionBusy(
                f"generation {generation} of session {self.session_id} is already running",
                "stop the process that holds the session, then start again",
            )

    def generation_fd(self, generation: int) -> int:
        """Open the file anew with byte `generation` locked: for one child, who inherits it.

        The caller closes its copy once the child has it.
        Raises: SessionBusy when somebody already holds that byte.
        """
        fd = self._open()
        try:
            self.give(fd, generation)
        except SessionBusy:
            os.close(fd)
            raise
        return fd

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _open(self) -> int:
        files.make_private(self.path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise self._closed(error) from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise SupervisorError(f"the lock {self.path} is not a plain file", "remove it")
        if status.st_uid == os.geteuid():
            os.fchmod(fd, 0o600)
        return fd

    def _remedy(self, error: OSError) -> str:
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"run as the user whose it is, or give yourself the right to {self.path.parent}"
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            return "it must be a plain file of yours; remove what is in its place"
        return "nothing was changed: mend that, then do it again"

    @contextmanager
    def _seen(self) -> Iterator[int | None]:
        """Open the file to look only: on a disk that became read-only, too. None: there is none."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise self._closed(error) from error
        try:
            yield fd
        finally:
            os.close(fd)

    def _closed(self, error: OSError) -> SupervisorError:
        why = f"the lock {self.path} cannot be opened: {error.strerror}"
        return SupervisorError(why, self._remedy(error))

    def _busy(self, body: dict[str, object], how: str = "") -> SessionBusy:
        pid = body.get("pid")
        control = body.get("control")
        who = f"pid {pid}" if isinstance(pid, int) else "another process"
        return SessionBusy(
            f"session {self.session_id} is in use by {who}{how}",
            "let that one do it, or stop it first",
            pid=pid if isinstance(pid, int) else None,
            control=control if isinstance(control, str) and control else None,
        )


def _flock(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)


def _set(fd: int, kind: int, start: int, length: int) -> bool:
    """Try to lock; False when another open holds it. Raises: OSError for all else."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(kind, start, length))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _blocking(fd: int, start: int, stop: int | None) -> tuple[int, int | None] | None:
    """Return where one of the locks from `start` to `stop` begins and ends, or None for none.

    None as an end: no byte is behind it.
    """
    if stop is not None and start >= stop:
        return None
    length = 0 if stop is None else stop - start
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, start, length))
    kind, _whence, begin, held, _pid = _FLOCK.unpack(answer)
    if kind == fcntl.F_UNLCK:
        return None
    return max(begin, start), begin + held if held else None


def _holder(path: Path) -> dict[str, object]:
    """Return what a lock's body says of who has it; nothing if nobody does, or it can't be seen.

    Of a supervisor that died its bot may have the lock still: that has no pid here.
    """
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if _blocking(fd, 0, None) is not None:
                pid = {} if _blocking(fd, 0, 1) else {"pid": None}
                return {**_read_body(fd), **pid}
        finally:
            os.close(fd)
    return {}


def _write_body(fd: int, control: str, place: str) -> None:
    """Write down who has the lock. A full disk is no reason not to have it: prune needs it, too."""
    body = {
        "pid": os.getpid(),
        "start_ticks": start_ticks(os.getpid()),
        "boot_id": boot_id(),
        "control": control,
        **({"place": place} if place else {}),
    }
    os.ftruncate(fd, 0)
    try:
        os.pwrite(fd, json.dumps(body).encode(), 0)
    except OSError as error:
        if not files.is_full(error):
            raise


def _read_body(fd: int) -> dict[str, object]:
    with suppress(ValueError, RecursionError):
        body = json.loads(os.pread(fd, _BODY_BYTES, 0))
        if isinstance(body, dict):
            return body
    return {}
