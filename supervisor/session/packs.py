"""Packs: the bytes of the snapshots. One immutable file per snapshot, a run of zstd frames."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import zstandard
from blake3 import blake3

from supervisor.session import files
from supervisor.session.manifest import Blob
from supervisor.session.model import DamagedBlob

_LEVEL = 1


class PackWriter:
    """Grows one pack in a scratch folder; `seal` makes it durable and proves it."""

    def __init__(self, scratch: Path, name: str) -> None:
        self.name = name
        self.blobs: list[Blob] = []
        self._draft = scratch / name
        self._fd = -1
        self._end = 0
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)

    @property
    def stored_bytes(self) -> int:
        """How large the pack has become."""
        return self._end

    def add(self, digest: str, data: bytes) -> Blob:
        """Append `data`, whose BLAKE3 is `digest`. Raises: OSError."""
        if self._fd < 0:
            self._fd = files.create(self._draft)
        frame = self._compressor.compress(data)
        files.write_all(self._fd, frame)
        blob = Blob(digest, self.name, self._end, len(frame), len(data))
        self._end += len(frame)
        self.blobs.append(blob)
        return blob

    def seal(self, folder: Path) -> None:
        """Sync the pack, move it to `folder`, and read it back from the disk.

        Raises: OSError; DamagedBlob when the disk does not give back what was written. The pack
        is gone then.
        """
        target = folder / self.name
        try:
            os.fsync(self._fd)
            self._draft.rename(target)
            files.sync_dir(folder)
            with BlobReader(folder) as reader:
                reader.drop_cache(self.name)
                for blob in self.blobs:
                    reader.read(blob)
        except BaseException:
            with suppress(OSError):
                target.unlink()
            raise

    def close(self) -> None:
        """Close the descriptor; an unsealed pack goes with its scratch folder."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class BlobReader:
    """Reads blobs back, each one proved by its hash. Keeps the packs it met open.

    `distrusted` collects the hashes of those that could not be read.
    """

    def __init__(self, folder: Path, distrusted: set[str] | None = None) -> None:
        self._folder = folder
        self._distrusted = set[str]() if distrusted is None else distrusted
        self._fds: dict[str, int] = {}
        self._decompressor = zstandard.ZstdDecompressor()

    def read(self, blob: Blob) -> bytes:
        """Return the blob's bytes. Raises: DamagedBlob; the blob is distrusted from then on."""
        try:
            return self._read(blob)
        except DamagedBlob:
            self._distrusted.add(blob.hash)
            raise

    def _read(self, blob: Blob) -> bytes:
        try:
            frame = files.read_at(self._open(blob.pack), blob.stored, blob.offset)
            if len(frame) != blob.stored:
                raise DamagedBlob(f"{blob.pack} ends early")
            # The size comes first: a wrong frame could ask for any amount of memory.
            if zstandard.frame_content_size(frame) != blob.raw:
                raise DamagedBlob(f"{blob.pack} holds other bytes at {blob.offset}")
            data = self._decompressor.decompress(frame)
        except OSError as error:
            raise DamagedBlob(f"{blob.pack} can't be read: {error.strerror}") from error
        except zstandard.ZstdError as error:
            raise DamagedBlob(f"{blob.pack} is damaged at {blob.offset}") from error
        if blake3(data).hexdigest() != blob.hash:
            raise DamagedBlob(f"{blob.pack} holds other bytes at {blob.offset}")
        return data

    def drop_cache(self, pack: str) -> None:
        """Make the next reads of `pack` come from the disk. Raises: DamagedBlob."""
        try:
            os.posix_fadvise(self._open(pack), 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise DamagedBlob(f"{pack} can't be read: {error.strerror}") from error

    def _open(self, pack: str) -> int:
        if pack not in self._fds:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fds[pack] = os.open(self._folder / pack, flags)
        return self._fds[pack]

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
