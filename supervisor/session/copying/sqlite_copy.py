"""Copy live SQLite databases by SQLite's backup API. Run as a program of its own.

It is started as `python -I -S sqlite_copy.py`, with `{"within_s": s, "copies": [[live, copy,
inode], ...]}` as JSON on stdin, and answers `[[live, problem], ...]` on stdout: "" where it went
well. It imports nothing of ours. A process of its own, because closing a database file drops the
locks that any SQLite connection of the same process holds on it.

Nothing in the live folder is made, changed or eaten. So a database is opened only while we hold a
reader's lock on it ourselves, and only with what a reader needs beside it: with that lock held,
who closes it last neither checkpoints nor removes its -wal and -shm (wal.c, sqlite3WalClose),
which a reader would have to make anew. A rollback journal is never touched by `mode=ro` (pager.c,
SQLITE_READONLY_ROLLBACK). All else is left alone, and said.
"""

import fcntl
import json
import os
import sqlite3
import struct
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

# https://sqlite.org/fileformat2.html: the magic, and the version that a reader must know.
_MAGIC = b"SQLite format 3\0"
_READ_VERSION = 19
_WAL = 2
_HEADER_BYTES = 100
# os_unix.c: the bytes that readers share, and that who writes the file itself locks alone.
_SHARED_FIRST = 0x40000002
_SHARED_BYTES = 510
# Meanwhile nobody can write in rollback mode: about 1.5 ms a MB, and not every bot waits its turn.
_ROLLBACK_MAX_BYTES = 64 << 20
_RETRY_S = 0.005
_REPLACED = "another file lies there now"


class _LeftAloneError(Exception):
    """The database can't be opened without touching it, or not in time."""


def copy(live: str, target: str, inode: int, until: float) -> str:
    """Copy one database as it is at one moment. Returns why not, or "".

    `inode`: of the file that is meant. SQLite opens it by its name, which a link that came to lie
    on the way leads elsewhere.
    """
    try:
        fd = os.open(live, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return f"it can't be opened: {error.strerror}"
    try:
        if os.fstat(fd).st_ino != inode:
            return _REPLACED
        _lock(fd, fcntl.F_RDLCK, until)
        if not _is_wal(fd, live):
            # SQLite takes a reader's lock itself, and can't while a writer waits for ours.
            _lock(fd, fcntl.F_UNLCK, until)
        _backup(fd, live, target, until)
    except _LeftAloneError as error:
        return str(error)
    except (sqlite3.Error, OSError) as error:
        return f"it can't be copied: {error}"
    finally:
        os.close(fd)  # not before SQLite's own: that would drop its locks
    return ""


def _lock(fd: int, kind: int, until: float) -> None:
    """Take or drop the lock of a reader as OFD lock (fcntl(2)), which no other close can drop."""
    wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, _SHARED_FIRST, _SHARED_BYTES, 0)
    while True:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            if time.monotonic() > until:
                raise _LeftAloneError("somebody keeps it locked") from None
            time.sleep(_RETRY_S)
        else:
            return


def _is_wal(fd: int, live: str) -> bool:
    """Return the kind of a database that can be opened read-only without making a file."""
    head = os.pread(fd, _HEADER_BYTES, 0)
    if head[: len(_MAGIC)] != _MAGIC:
        raise _LeftAloneError("it is empty, or no plain SQLite database")
    if head[_READ_VERSION] == _WAL:
        for suffix in ("-wal", "-shm"):
            if not Path(live + suffix).is_file():
                raise _LeftAloneError(f"there is no {suffix}, and SQLite would make one")
        return True
    if os.fstat(fd).st_size > _ROLLBACK_MAX_BYTES:
        raise _LeftAloneError("it is so large that its writers would wait too long")
    return False


def _backup(fd: int, live: str, target: str, until: float) -> None:
    def progress(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > until:
            raise _LeftAloneError("it was busy all the time")

    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    # As bytes: a name need not be Unicode.
    uri = f"file:{quote(os.fsencode(live))}?mode=ro"
    wait_s = max(0.0, until - time.monotonic())
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=wait_s)) as source,
        closing(sqlite3.connect(target, isolation_level=None)) as copied,
    ):
        if not _opened_twice(fd):
            raise _LeftAloneError(_REPLACED)
        # It is synced as a part of the snapshot.
        copied.execute("PRAGMA synchronous=OFF")
        copied.execute("PRAGMA journal_mode=MEMORY")
        # All pages in one step: a copy in many begins anew whenever somebody writes.
        source.backup(copied, pages=-1, progress=progress, sleep=_RETRY_S)


def _opened_twice(fd: int) -> bool:
    """Return whether SQLite has opened the very file that we have."""
    ours, count = os.fstat(fd), 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own is closed by now
            count += os.path.samestat(os.fstat(int(name)), ours)
    return count > 1


def main() -> None:
    """Answer one list of databases; each may take its share of the time that is left."""
    asked = json.load(sys.stdin)
    end = time.monotonic() + asked["within_s"]
    answers = []
    for done, (live, target, inode) in enumerate(asked["copies"]):
        now = time.monotonic()
        problem = copy(live, target, inode, now + (end - now) / (len(asked["copies"]) - done))
        if problem:
            with suppress(FileNotFoundError):
                Path(target).unlink()
        answers.append([live, problem])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
