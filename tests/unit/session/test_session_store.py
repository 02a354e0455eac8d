"""The store: a page for a changed row, nothing for what is there, and no chain without an end."""

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.core.errors import SupervisorError
from supervisor.session import lock
from supervisor.session.copying import capture
from supervisor.session.copying.pieces import GROUP_BYTES, WHOLE_BYTES
from supervisor.session.storage import commit
from supervisor.session.storage.entries import Blob
from supervisor.session.storage.manifest_json import entries_beside, split
from supervisor.session.storage.packs import BlobReader, PackWriter
from supervisor.session.storage.patches import PAGE_BYTES, changed_runs
from tests.unit.session.sessionkit import ID, Place, tree, write_key

PACK = "session-x.{:06}.20261124T220000Z.pack"
LARGE_BYTES = WHOLE_BYTES * 2


def _stored(folder: Path, seq: int, data: bytes, under: Blob | None = None) -> Blob:
    """Store `data` in a pack of its own, over what is stored as `under`."""
    (folder / "packs").mkdir(exist_ok=True)
    writer = PackWriter(folder, PACK.format(seq))
    digest = blake3(data).hexdigest()
    if under is None:
        blob = writer.add(digest, data)
    else:
        with BlobReader(folder / "packs") as reader:
            blob = writer.add_over(digest, data, under, reader.read(under))
    writer.seal(folder / "packs")
    writer.close()
    return blob


@st.composite
def versions(draw: st.DrawFn) -> list[bytes]:
    """A group of bytes as it changes: pages written over, bytes added, and cut."""
    now = bytearray(draw(st.integers(1, GROUP_BYTES)))
    found = [bytes(now)]
    for number in range(draw(st.integers(1, 6))):
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(now) - 1))
            part = bytes([number + 1]) * min(draw(st.integers(1, 2 * PAGE_BYTES)), len(now) - at)
            now[at : at + len(part)] = part
        if draw(st.booleans()):
            now = now[: draw(st.integers(1, GROUP_BYTES))].ljust(draw(st.integers(1, 9)), b"+")
        if draw(st.booleans()):
            now += b"-" * min(draw(st.integers(1, 3 * PAGE_BYTES)), GROUP_BYTES - len(now))
        if bytes(now) != found[-1]:
            found.append(bytes(now))
    return found


@settings(max_examples=60, deadline=None, database=None)
@given(data=versions())
def test_patches_give_back_every_version(
    tmp_path_factory: pytest.TempPathFactory, data: list[bytes]
) -> None:
    """However often a group changes, grows and shrinks: each version is read as it was."""
    folder = tmp_path_factory.mktemp("packs")
    blobs: list[Blob] = []
    for seq, version in enumerate(data):
        blobs.append(_stored(folder, seq, version, blobs[-1] if blobs else None))
    with BlobReader(folder / "packs") as reader:
        assert [reader.read(blob) for blob in blobs] == data


@given(old=st.binary(max_size=3 * PAGE_BYTES), new=st.binary(max_size=3 * PAGE_BYTES))
def test_changed_runs_are_all_that_changed(old: bytes, new: bytes) -> None:
    """What lies outside of them is the same; they begin at pages and do not touch."""
    runs = changed_runs(old, new)
    merged = bytearray(old[: len(new)].ljust(len(new), b"\0"))
    for at, end in runs:
        assert at % PAGE_BYTES == 0
        merged[at:end] = new[at:end]
    assert merged == new
    assert all(first[1] < second[0] for first, second in itertools.pairwise(runs))


def _large(place: Place) -> Path:
    path = place.live / "large.bin"
    path.write_bytes(os.urandom(LARGE_BYTES))
    return path


def _poke(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(16))


def test_a_changed_page_costs_a_page(place: Place) -> None:
    """Sixteen bytes in a large file: one page, however often; and every version comes back."""
    manager = place.linked()
    path = _large(place)
    manager.backup(ID)
    versions = {}
    for number in range(12):
        _poke(path, number * 700)
        snapshot = manager.backup(ID)
        assert snapshot.new_bytes < PAGE_BYTES * 9
        versions[snapshot.id] = path.read_bytes()
    for snapshot in manager.snapshots(ID):
        if snapshot.id in versions:
            manager.restore_from_backup(ID, snapshot.id)
            assert path.read_bytes() == versions[snapshot.id]


def test_an_overdue_snapshot_is_a_full_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs no older pack, so that pruning sets the older ones free."""
    monkeypatch.setattr(commit, "_DRAGGED_MIN_BYTES", 1)
    monkeypatch.setattr(commit, "DRAGGED", 1.5)
    monkeypatch.setattr(capture, "YOUNG_NS", -(10**18))  # what did not change is not read again
    manager = place.linked()
    path = _large(place)
    manager.backup(ID)
    packs = []
    for number in range(8):
        _poke(path, number * PAGE_BYTES)  # a page that keeps its pack, which holds much else
        (place.live / "more.bin").write_bytes(os.urandom(100_000))
        packs.append(len(manager.store.find(ID, manager.backup(ID).id).packs))
    assert min(packs[1:]) == 1
    assert max(packs) > 1
    for snapshot in manager.snapshots(ID):
        assert manager.verify(ID, snapshot.id) == ""
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    manager.restore(ID)
    assert tree(place.live) == wanted


def test_too_many_packs_are_overdue(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot never needs more packs than a process may have open."""
    monkeypatch.setattr(commit, "_PACKS_MAX", 3)
    manager = place.linked()
    counts = []
    for number in range(9):
        (place.live / f"file-{number}").write_text(f"{number}")
        counts.append(len(manager.store.find(ID, manager.backup(ID).id).packs))
    assert max(counts) == 4
    assert counts.count(1) == 2


def test_stat_proves_nothing_in_another_boot(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut may leave the size and the times of bytes that never reached the disk."""
    manager = place.linked()
    monkeypatch.setattr(capture, "YOUNG_NS", -(10**18))  # nothing is young
    path = place.live / "keys" / "one"
    before = path.stat()
    read: set[Path] = set()
    really = os.preadv

    def preadv(fd: int, buffers: Any, offset: int) -> int:
        read.add(Path(f"/proc/self/fd/{fd}").readlink())
        return really(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert manager.backup(ID).seq == 1
    assert not read
    with monkeypatch.context() as patch:
        patch.setattr("supervisor.session.copying.stat_boot.boot_id", lambda: "another boot")
        assert manager.backup(ID).seq == 1
    assert read == {path for path in place.live.rglob("*") if path.is_file()}
    assert path.stat() == before
    assert lock.boot_id() != "another boot"


def test_a_moved_file_costs_nothing(place: Place) -> None:
    """The same bytes under another name are there already."""
    manager = place.linked()
    path = _large(place)
    manager.backup(ID)
    path.rename(place.live / "moved.bin")
    assert manager.backup(ID).new_bytes == 0


def test_a_list_that_cannot_be_read_costs_no_session(place: Place) -> None:
    """A manifest torn while we run: the live session still passes, and the next one is whole."""
    manager = place.linked()
    victim = place.store / place.manifests()[0]
    status = victim.stat()
    raw = bytearray(victim.read_bytes())
    raw[-30] ^= 1
    victim.write_bytes(raw)
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))  # and nothing shows it
    for each in (manager, place.manager()):
        assert each.check(ID).verdict == "passed"
    write_key(place.live, "after")
    healed = manager.backup(ID)
    assert healed.verdict == "good"
    wanted = tree(place.live)
    shutil.rmtree(place.live)
    assert place.manager().restore(ID).snapshot == healed
    assert tree(place.live) == wanted


def _as_first_format(path: Path) -> None:
    """Rewrite a manifest as version 1 of the format had it: packs by their place in a list."""
    head, lines = split(path.read_bytes(), path.name)
    seqs = list(head["packs"])
    files = []
    for line in lines.split(b",\n "):
        entry = json.loads(line)
        for blob in entry.get("blobs", []):
            blob[1] = seqs.index(str(blob[1]))
        files.append(json.dumps(entry))
    del head["digest"], head["boot"]
    head |= {"format": 1, "packs": [head["packs"][seq][0] for seq in seqs]}
    body = (json.dumps(head)[1:-1] + ',\n"files": [\n ' + ",\n ".join(files) + "\n]}\n").encode()
    path.write_bytes(b'{"digest": "' + blake3(body).hexdigest().encode() + b'",\n' + body)


def test_a_store_of_the_first_format_is_restored_and_continued(place: Place) -> None:
    """An upgrade costs one full snapshot, and no session."""
    place.linked()
    wanted = tree(place.live)
    old = place.store / place.manifests()[0]
    _as_first_format(old)
    manager = place.manager()
    assert manager.verify(ID, "1") == ""
    shutil.rmtree(place.live)
    assert manager.restore(ID).action == "restored"
    assert tree(place.live) == wanted
    snapshot = manager.backup(ID)
    assert snapshot.seq == 2
    assert list(manager.store.find(ID, "2").packs) == [2]
    manager.mark_proof(ID, 0, "roundtrip")
    assert place.manager().verify(ID, "1") == ""


def test_an_older_snapshots_entries_are_shared_where_they_are_the_same(place: Place) -> None:
    """Line for line the same is the same object; all else is read, and nothing is missing."""
    manager = place.linked()
    write_key(place.live, "changed")
    manager.backup(ID)
    old, new = manager.store.listing(ID).snapshots
    now = {entry.path: entry for entry in new.files}
    beside = entries_beside(old, now)
    assert beside == {entry.path: entry for entry in old.files}
    shared = {path for path, entry in beside.items() if entry is now[path]}
    assert {"keys/two", "creds.json"} <= shared
    assert "keys/one" not in shared


@pytest.mark.parametrize("name", ["²", "1" * 5000, "\0", "", "..", "/", "1²", "-1", "0"])
def test_no_name_of_a_snapshot_fails_otherwise_than_by_not_being_there(
    place: Place, name: str
) -> None:
    """Digits that are no number, and more of them than Python reads, among them."""
    manager = place.linked()
    with pytest.raises(SupervisorError, match="has no snapshot"):
        manager.restore_from_backup(ID, name)
    assert {manager.store.find(ID, known).seq for known in ("1", "001", "000001")} == {1}
