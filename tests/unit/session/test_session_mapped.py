"""Who has only mapped a file has it all the same: no descriptor tells of it, nor does stat."""

import ctypes
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.core.errors import SessionBusy
from supervisor.session.copying.writers import users, writers
from tests.unit.session.sessionkit import ID, Place

Write = Callable[[bytes], object]
_READ, _WRITE, _SHARED = mmap.PROT_READ, mmap.PROT_WRITE, mmap.MAP_SHARED


@contextmanager
def _mapping(path: Path, access: int = _READ | _WRITE) -> Iterator[Write]:
    """Map a file as C does (Python keeps a descriptor), and yield what writes at its beginning."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    fd = os.open(path, os.O_RDWR)
    size = os.fstat(fd).st_size
    at = libc.mmap(None, size, access, _SHARED, fd, 0)
    os.close(fd)
    try:
        yield lambda data: ctypes.memmove(at, data, len(data))
    finally:
        libc.munmap(at, size)


def test_a_mapping_counts_as_use(place: Place) -> None:
    """One that can be written is a writer's; another folder's is nobody's."""
    place.live.mkdir(parents=True)
    key = place.live / "key\nwith a line"
    key.write_bytes(b"A" * 8192)
    beside = place.live.with_name(f"{place.live.name}0")
    for access, writing in ((_READ, []), (_READ | _WRITE, [os.getpid()])):
        with _mapping(key, access):
            assert list(users(place.live)) == [os.getpid()]
            assert list(writers(place.live)) == writing
            assert list(users(beside)) == []
    assert list(users(place.live)) == []


def test_nothing_is_put_under_a_mapping(place: Place) -> None:
    """What its owner writes meanwhile would be lost."""
    manager = place.linked()
    with (
        _mapping(place.live / "keys" / "one"),
        pytest.raises(SessionBusy, match="open for writing"),
    ):
        manager.restore(ID)


def test_a_page_that_was_dirty_already_is_read_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write of it moves no time: neither while the bot runs nor after its end is it believed."""
    monkeypatch.setattr("supervisor.session.copying.capture.YOUNG_NS", -(10**15))
    manager = place.linked()
    key = place.live / "keys" / "one"
    for again in (b"THIRD", b"AGAIN"):
        with _mapping(key) as write:
            write(b"FIRST")
            assert manager.backup(ID).verdict == "fuzzy"
            write(again)
        snapshot = place.manager().backup(ID)
        assert snapshot.verdict == "good"
        out = manager.export(ID, place.root / f"out-{snapshot.seq}", snapshot.id)
        assert (out / "keys" / "one").read_bytes()[:5] == again
