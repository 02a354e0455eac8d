"""Packs: the bytes of the snapshots. One immutable file per snapshot, a run of zstd frames."""

import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import zstandard
from blake3 import blake3

from supervisor.session import files
from supervisor.session.model import AWAY, DamagedBlob, UnreadableBlob
from supervisor.session.storage.entries import Blob, Patch
from supervisor.session.storage.patches import changed_runs, overlay

_LEVEL = 1
# Written at once, and read back at once.
_CHUNK_BYTES = 1 << 20
# A snapshot may refer to more packs than a process may have open.
_OPEN_MAX = 64


class PackWriter:
    """Grows one pack as a draft in `tmp`; `seal` makes it durable and proves it."""

    def __init__(self, tmp: Path, name: str) -> None:
        self.name = name
        self._tmp = tmp
        self._draft: Path | None = None
        self._fd = -1
        self._end = 0
        self._waiting = bytearray()
        self._digest = blake3()
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    @property
    def stored_bytes(self) -> int:
        """How large the pack has become."""
        return self._end

    def add(self, digest: str, data: bytes | memoryview) -> Blob:
        """Append `data`, whose BLAKE3 is `digest`. Raises: OSError."""
        offset, stored = self._append(data)
        return Blob(digest, self.name, offset, stored, len(data))

    def add_all(self, contents: Mapping[str, bytes]) -> dict[str, Blob]:
        """Append many at once, by their BLAKE3; two threads compress them. Raises: OSError."""
        frames = self._compressor.multi_compress_to_buffer(list(contents.values()), threads=2)
        return {
            digest: Blob(digest, self.name, *self._append_frame(frames[at].tobytes()), len(data))
            for at, (digest, data) in enumerate(contents.items())
        }

    def add_over(self, digest: str, data: bytes, under: Blob, old: bytes) -> Blob:
        """Append what of `data` is not in `old`, which is the content of `under`.

        It is stored whole where patches would no longer be few. Raises: OSError.
        """
        runs = changed_runs(old, data)
        kept = overlay(under.patches, runs) if len(data) >= under.raw else None
        if kept is None:
            return self.add(digest, data)
        new = [Patch(at, self.name, *self._append(data[at:end]), end - at) for at, end in runs]
        base_bytes = under.base_bytes or under.raw
        patches = (*kept, *new)
        return Blob(digest, under.pack, under.offset, under.stored, len(data), patches, base_bytes)

    def _append(self, data: bytes | memoryview) -> tuple[int, int]:
        """Return where the frame is, and how long."""
        return self._append_frame(self._compressor.compress(data))

    def _append_frame(self, frame: bytes) -> tuple[int, int]:
        offset = self._end
        self._end += len(frame)
        self._waiting += frame
        if len(self._waiting) >= _CHUNK_BYTES:
            self._flush()
        return offset, len(frame)

    def _flush(self) -> Path:
        if self._draft is None:
            self._draft, self._fd = files.new_draft(self._tmp)
        files.write_all(self._fd, self._waiting)
        self._digest.update(self._waiting)
        self._waiting = bytearray()
        return self._draft

    def seal(self, folder: Path) -> None:
        """Sync the pack, move it to `folder`, and read it back from the disk.

        Raises: OSError; DamagedBlob when the disk does not give back what was written. The pack
        is gone then.
        """
        target = folder / self.name
        try:
            draft = self._flush()
            os.fsync(self._fd)
            draft.rename(target)
            self._draft = None
            files.sync_dir(folder)
            self._read_back(target)
        except BaseException:
            with suppress(OSError):
                target.unlink()
            raise

    def _read_back(self, target: Path) -> None:
        if _digest_of(target) != self._digest.digest():
            raise DamagedBlob(f"{self.name} holds other bytes than were written to it")

    def close(self) -> None:
        """Close the descriptor; an unsealed pack goes."""
        if self._draft is not None:
            with suppress(OSError):
                self._draft.unlink()
            self._draft = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _digest_of(path: Path) -> bytes:
    """Return the BLAKE3 of what the disk gives back, not of what the page cache still knows."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        digest = blake3()
        offset = 0
        while data := os.pread(fd, _CHUNK_BYTES, offset):
            digest.update(data)
            offset += len(data)
        return digest.digest()
    finally:
        os.close(fd)


class BlobReader:
    """Reads blobs back, each one proved by its hash. Keeps some of the packs it met open.

    `distrusted` collects those that could not be read: the same bytes elsewhere are not meant.
    `away`: says why the folder as a whole is not there, if so.
    """

    def __init__(
        self,
        folder: Path,
        distrusted: set[Blob] | None = None,
        away: Callable[[], str] = lambda: "",
    ) -> None:
        self._folder = folder
        self._ask_away = away
        self._away = ""
        self._distrusted = set[Blob]() if distrusted is None else distrusted
        self._fds: OrderedDict[str, int] = OrderedDict()
        self._decompressor = zstandard.ZstdDecompressor()

    def read(self, blob: Blob) -> bytes:
        """Return the blob's bytes. Raises: DamagedBlob; the blob is distrusted from then on."""
        try:
            return self._read(blob)
        except DamagedBlob:
            self._distrusted.add(blob)
            raise

    def _read(self, blob: Blob) -> bytes:
        data = self._frame(blob.pack, blob.offset, blob.stored, blob.base_bytes or blob.raw)
        if blob.patches:
            whole = bytearray(data[: blob.raw].ljust(blob.raw, b"\0"))
            for at, pack, offset, stored, raw in blob.patches:
                whole[at : at + raw] = self._frame(pack, offset, stored, raw)
            data = bytes(whole)
        if blake3(data).hexdigest() != blob.hash:
            raise DamagedBlob(f"{blob.pack} holds other bytes at {blob.offset}")
        return data

    def _frame(self, pack: str, offset: int, stored: int, raw: int) -> bytes:
        try:
            frame = files.read_at(self._open(pack), stored, offset)
            if len(frame) != stored:
                raise DamagedBlob(f"{pack} ends early")
            # The size comes first: a wrong frame could ask for any amount of memory.
            if zstandard.frame_content_size(frame) != raw:
                raise DamagedBlob(f"{pack} holds other bytes at {offset}")
            return self._decompressor.decompress(frame)
        except OSError as error:
            raise self._unreadable(pack, error) from error
        except zstandard.ZstdError as error:
            raise DamagedBlob(f"{pack} is damaged at {offset}") from error

    def drop_cache(self, pack: str) -> None:
        """Make the next reads of `pack` come from the disk. Raises: DamagedBlob."""
        try:
            os.posix_fadvise(self._open(pack), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise self._unreadable(pack, error) from error

    def _unreadable(self, pack: str, error: OSError) -> DamagedBlob:
        """Return what it means: a pack that is gone is damage, all else may pass."""
        if error.errno in (errno.ENOENT, errno.ELOOP):
            self._away = self._away or self._ask_away()
            if not self._away:
                return DamagedBlob(f"{pack} can't be read: {error.strerror}")
            return UnreadableBlob(f"{pack} can't be read: {self._away}", AWAY)
        return UnreadableBlob(f"{pack} can't be read: {error.strerror}")

    def _open(self, pack: str) -> int:
        fd = self._fds.get(pack)
        if fd is not None:
            self._fds.move_to_end(pack)
            return fd
        if len(self._fds) >= _OPEN_MAX:
            os.close(self._fds.popitem(last=False)[1])
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = self._fds[pack] = os.open(self._folder / pack, flags)
        return fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
