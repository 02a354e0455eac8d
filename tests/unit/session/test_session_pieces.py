"""A large file of which most is known: all is hashed, and only what changed is kept."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.session import files
from supervisor.session.copying import pieces
from supervisor.session.copying.pieces import GROUP_BYTES, Piece, Spooled, read_pieces
from supervisor.session.copying.spool import Spool

_GROUPS = 5


@contextmanager
def _file(data: bytes) -> Iterator[tuple[int, Spool]]:
    with tempfile.TemporaryDirectory() as folder, Spool(Path(folder)) as spool:
        path = Path(folder, "file")
        path.write_bytes(data)
        fd = os.open(path, os.O_RDWR)
        try:
            yield fd, spool
        finally:
            os.close(fd)
            spool.close()


def _content(found: Sequence[Piece], spool: Spool) -> bytes:
    parts = []
    for piece in found:
        assert isinstance(piece, Spooled)
        parts.append(spool.get(piece.start, piece.length))
    return b"".join(parts)


@settings(deadline=None)
@given(
    size=st.integers(GROUP_BYTES * 2 + 1, GROUP_BYTES * _GROUPS),
    resize=st.integers(-GROUP_BYTES, GROUP_BYTES),
    changed=st.sets(st.integers(0, _GROUPS * GROUP_BYTES - 1), max_size=4),
)
def test_what_is_known_is_kept_and_the_rest_is_read(
    size: int, resize: int, changed: set[int]
) -> None:
    """Whatever changed, and however much longer or shorter the file became."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_LARGE_BYTES", GROUP_BYTES * 2)
        with _file(os.urandom(size)) as (fd, spool):
            known, read_bytes = read_pieces(fd, size, (), spool, sparse=False)
            assert read_bytes == size
            new_size = max(size + resize, GROUP_BYTES * 2)
            os.ftruncate(fd, new_size)
            for at in changed:
                if at < new_size:
                    os.pwrite(fd, os.urandom(8)[: new_size - at], at)
            found, read_bytes = read_pieces(fd, new_size, known.pieces, spool, sparse=False)
            wanted = os.pread(fd, new_size, 0)
            assert read_bytes == new_size
            assert _content(found.pieces, spool) == wanted
            for number, (piece, old) in enumerate(zip(found.pieces, known.pieces, strict=False)):
                begin = number * GROUP_BYTES
                touched = any(begin - 8 < at < begin + GROUP_BYTES for at in changed)
                if not touched and begin + GROUP_BYTES <= min(size, new_size):
                    assert piece is old


@pytest.mark.parametrize("most", [1000, GROUP_BYTES + 1, GROUP_BYTES * 3])
def test_reads_that_come_short_are_gone_on_with(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """A hash of fewer bytes than a group has would be one of other bytes."""
    monkeypatch.setattr(pieces, "_LARGE_BYTES", GROUP_BYTES)
    real = os.preadv

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        return real(fd, [buffers[0][:most]], offset)

    # Of zeros all groups are alike: a shifted one would pass for another.
    data = bytes(GROUP_BYTES * 3) + os.urandom(GROUP_BYTES * 2)
    with _file(data) as (fd, spool):
        known, _bytes = read_pieces(fd, len(data), (), spool, sparse=False)
        monkeypatch.setattr(os, "preadv", preadv)
        found, read_bytes = read_pieces(fd, len(data), known.pieces, spool, sparse=False)
    assert (found.pieces, read_bytes) == (known.pieces, len(data))


def test_a_file_that_ends_early_is_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was cut after it was looked at: whoever copies it sees fewer bytes than it had."""
    monkeypatch.setattr(pieces, "_LARGE_BYTES", GROUP_BYTES)
    data = os.urandom(GROUP_BYTES * 5)
    for left in (0, 10, GROUP_BYTES * 2 - 1, GROUP_BYTES * 2, GROUP_BYTES * 4 + 1):
        with _file(data) as (fd, spool):
            known, _bytes = read_pieces(fd, len(data), (), spool, sparse=False)
            os.ftruncate(fd, left)
            found, read_bytes = read_pieces(fd, len(data), known.pieces, spool, sparse=False)
            assert read_bytes == left
            assert _content(found.pieces, spool) == data[:left]


def test_of_a_file_that_ends_in_its_first_half_no_more_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have grown again meanwhile: then the hashes of the rest stand at other places."""
    monkeypatch.setattr(pieces, "_LARGE_BYTES", GROUP_BYTES)
    data = bytes(GROUP_BYTES * 6)
    real = files.fill

    def fill(fd: int, view: memoryview, offset: int) -> int:
        if offset < GROUP_BYTES * 3 and len(view) > GROUP_BYTES:
            return real(fd, view[:GROUP_BYTES], offset) if offset == 0 else 0
        return real(fd, view, offset)

    with _file(data) as (fd, spool):
        known, _bytes = read_pieces(fd, len(data), (), spool, sparse=False)
        monkeypatch.setattr(files, "fill", fill)
        found, read_bytes = read_pieces(fd, len(data), known.pieces, spool, sparse=False)
    assert (len(found.pieces), read_bytes) == (1, GROUP_BYTES)


def test_a_database_is_known_by_its_first_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its first group is not read again."""
    monkeypatch.setattr(pieces, "_LARGE_BYTES", GROUP_BYTES)
    data = b"SQLite format 3\0" + os.urandom(GROUP_BYTES * 3)
    with _file(data) as (fd, spool):
        known, _bytes = read_pieces(fd, len(data), (), spool, sparse=False)
        found, _bytes = read_pieces(fd, len(data), known.pieces, spool, sparse=False)
    assert (known.format, found.format) == ("sqlite", "sqlite")
