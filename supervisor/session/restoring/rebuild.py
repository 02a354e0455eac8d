"""Write stored files into a new folder, each blob proved by its hash. Touches no live session.

What is read back is not looked at again: the bytes were proved in memory, a failed write is an
error of its sync, and the store still has them.
"""

import os
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from supervisor.session import files
from supervisor.session.progress import Progress, Tally
from supervisor.session.restoring.durable import synced
from supervisor.session.scan import Seen, seen_from
from supervisor.session.storage.entries import Blob, Entry
from supervisor.session.storage.manifest import Manifest
from supervisor.session.storage.packs import BlobReader
from supervisor.session.storage.store import Store

_HOLE_BYTES = 4096
# From here on a second thread pays: both the kernel and zstd work without Python's lock.
_MANY_BYTES = 4 << 20
_THREADS = 2
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# What to write, and where.
Job = tuple[Entry, str]
# What stat said of each file when it was written, by its path in the snapshot.
Looks = dict[str, Seen]


def build(
    manifest: Manifest,
    target: Path,
    store: Store,
    *,
    only: Iterable[str] = (),
    progress: Progress | None = None,
) -> None:
    """Write a snapshot's files into the new folder `target`.

    `only`: just these files. Everything is on the disk afterwards, private, with the times it
    had. Raises: DamagedBlob, OSError; what was written is left for the caller to remove.
    """
    wanted = frozenset(only)
    if not wanted:
        build_tree(manifest.files, target, store, progress)
        return
    build_files([entry for entry in manifest.files if entry.path in wanted], target, store)


def build_files(entries: Iterable[Entry], target: Path, store: Store) -> None:
    """Write just these files into the new folder `target`; nothing is synced.

    Raises: DamagedBlob, OSError; what was written is left for the caller to remove.
    """
    files.make_private(target)
    jobs: list[Job] = []
    for entry in entries:
        files.make_private((target / entry.path).parent)
        jobs.append((entry, f"{target}/{entry.path}"))
    write_files(jobs, store)


def build_tree(
    entries: Iterable[Entry], target: Path, store: Store, progress: Progress | None = None
) -> Looks:
    """Write these entries into the new folder `target`: all on the disk, and private.

    Returns how the files look. Raises: DamagedBlob, OSError; what was written is left for the
    caller to remove.
    """
    files.make_private(target)
    folders: list[Entry] = []
    jobs: list[Job] = []
    with synced(target) as written:
        for entry in entries:
            if entry.seen.kind == "dir":
                path = target / entry.path
                path.mkdir(0o700)
                path.chmod(0o700)
                folders.append(entry)
            else:
                jobs.append((entry, f"{target}/{entry.path}"))
        looks = write_files(jobs, store, progress)
        for entry in reversed(folders):
            times = (entry.seen.mtime_ns, entry.seen.mtime_ns)
            os.utime(target / entry.path, ns=times)
        written += [path for entry, path in jobs if entry.seen.kind == "file"]
    return looks


def write_files(jobs: Iterable[Job], store: Store, progress: Progress | None = None) -> Looks:
    """Write files and links, none of which is there yet; nothing is synced.

    Returns how the files look. Raises: DamagedBlob, OSError.
    """
    # A large one that came last would be waited for by all threads but one.
    todo = deque(sorted(jobs, key=lambda job: -job[0].seen.size))
    total = sum(entry.seen.size for entry, _path in todo)
    work = _Work(todo, store, Tally(progress, total))
    if total < _MANY_BYTES:
        work.run()
        return work.looks
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = [pool.submit(work.run) for _ in range(_THREADS)]
    for part in parts:
        part.result()
    return work.looks


def write_blobs(blobs: Iterable[Blob], target: Path, store: Store) -> None:
    """Write these, one after the other, into the new file `target`; nothing is synced.

    Raises: DamagedBlob, OSError.
    """
    fd = files.create(target)
    try:
        with store.reader() as reader:
            for blob in blobs:
                files.write_all(fd, reader.read(blob))
    finally:
        os.close(fd)


class _Work:
    """What is still to be written; each thread takes from it what comes next."""

    def __init__(self, todo: deque[Job], store: Store, tally: Tally) -> None:
        self._todo = todo
        self._store = store
        self._tally = tally
        self._failed = Event()
        self.looks: Looks = {}

    def run(self) -> None:
        try:
            with self._store.reader() as reader:
                while not self._failed.is_set():
                    try:
                        entry, path = self._todo.popleft()
                    except IndexError:
                        break
                    seen = _write(entry, path, reader, self._tally)
                    if seen is not None:
                        self.looks[entry.path] = seen
        except BaseException:
            self._failed.set()
            raise


def _write(entry: Entry, path: str, reader: BlobReader, tally: Tally) -> Seen | None:
    if entry.seen.kind == "link":
        os.symlink(entry.seen.target, path)  # noqa: PTH211 - a Path for each would cost more
        return None
    seen = entry.seen
    fd = os.open(path, _FLAGS, 0o600)
    try:
        hole = False
        for blob in entry.blobs:
            data = reader.read(blob)
            hole = blob.raw >= _HOLE_BYTES and not data[0] and not data.strip(b"\0")
            if hole:
                os.lseek(fd, blob.raw, os.SEEK_CUR)  # a hole, as it may have been
            else:
                files.write_all(fd, data)
            tally.add(blob.raw)
        if hole:
            os.ftruncate(fd, seen.size)
        # Group and others get nothing: a session is a credential.
        os.fchmod(fd, seen.mode & 0o700)
        os.utime(fd, ns=(seen.mtime_ns, seen.mtime_ns))
        return seen_from(os.fstat(fd))
    finally:
        os.close(fd)
