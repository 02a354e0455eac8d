"""A LevelDB folder is proved whole, or it is said what is not, whatever bytes lie in it."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.session.proof import leveldb, leveldb_format
from supervisor.session.proof.leveldb import problem
from supervisor.session.proof.leveldb_format import (
    BLOCK_BYTES,
    FULL,
    HEADER,
    State,
    crc32c,
    unmasked,
)
from tests.unit.session.leveldbkit import Edit, Set, log_of, masked, physical, table
from tests.unit.session.sessionkit import ID, Place, write_key


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """Return a whole set."""
    return Set().write(tmp_path / "set")


def test_the_checksum_is_castagnolis() -> None:
    """RFC 3720 B.4, and masked as LevelDB does."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert all(unmasked(masked(value)) == value for value in (0, 1, 0xDEADBEEF, 0xFFFFFFFF))


def test_a_whole_set_is_proved(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read to its end: no word in it is unknown, and no verdict is not a pass."""
    told: list[bytes] = []
    apply = State.apply

    def tell(self: State, record: bytes) -> None:
        told.append(record)
        apply(self, record)

    monkeypatch.setattr(State, "apply", tell)
    leveldb._prove(str(whole), leveldb.look(str(whole)), deep=True)
    assert len(told) == len(Set().edits)
    assert problem(str(whole)) == ""
    assert problem(str(whole), deep=False) == ""


def test_a_new_and_empty_one_is_whole(tmp_path: Path) -> None:
    """As LevelDB leaves it between making it and opening it: no log yet, no table."""
    data = Set(edits=[Edit(log=0, first=True)], records=[])
    folder = data.write(tmp_path / "set")
    (folder / "000008.log").unlink()
    (folder / "000009.ldb").unlink()
    assert problem(str(folder)) == ""


# A table whose index would lie behind its end.
FAR = table(650)[:602] + b"\xff\xff\x03" + b"\1" * 37 + table(650)[-8:]
DAMAGE = {
    "CURRENT is empty": ("CURRENT", b""),
    "CURRENT is torn": ("CURRENT", b"MANIFEST-0000"),
    "CURRENT is missing": ("CURRENT", None),
    "names no manifest": ("CURRENT", b"\0" * 16),
    "MANIFEST-000005 is missing": ("CURRENT", b"MANIFEST-000005\n"),
    "MANIFEST-000002 is missing": ("MANIFEST-000002", None),
    "MANIFEST-000002 is empty": ("MANIFEST-000002", b""),
    "it says no whole state": ("MANIFEST-000002", b"\0" * 500),
    "table 000009.ldb is missing": ("000009.ldb", None),
    "000009.ldb is torn: 649 bytes instead of 650": ("000009.ldb", table(649)),
    "000009.ldb does not end": ("000009.ldb", table(650)[:-1] + b"\0"),
    "000009.ldb ends in an index": ("000009.ldb", FAR),
    "000008.log is missing": ("000008.log", None),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_what_is_missing_or_torn_is_named(whole: Path, said: str) -> None:
    """Also by the quick look, which computes no checksum."""
    name, data = DAMAGE[said]
    if data is None:
        (whole / name).unlink()
    else:
        (whole / name).write_bytes(data)
    assert said in problem(str(whole))
    assert said in problem(str(whole), deep=False)


def test_a_table_may_have_its_old_name(whole: Path) -> None:
    """Before LevelDB 1.14 it was .sst."""
    (whole / "000009.ldb").rename(whole / "000009.sst")
    assert problem(str(whole)) == ""


def test_a_manifest_cut_anywhere_is_noticed(whole: Path) -> None:
    """At every offset, but where LevelDB would come to the very same state without the rest."""
    data = Set()
    data.write(whole)
    path = whole / "MANIFEST-000002"
    content = path.read_bytes()
    offsets = {*range(0, len(content), 193), *range(100), *range(len(content) - 150, len(content))}
    offsets |= {end + more for end in data.edit_ends for more in (-1, 0, 1)}
    silent = set()
    for offset in sorted(offset for offset in offsets if 0 <= offset < len(content)):
        os.truncate(path, 0)
        path.write_bytes(content[:offset])
        complete = sum(end <= offset for end in data.edit_ends)
        if not problem(str(whole)):
            silent.add(complete)
            assert data.whole_after(complete), f"cut at {offset}"
    assert silent <= {1}, "nothing but a database that is not opened yet"


def test_a_log_cut_anywhere_loses_its_end_as_in_leveldb(whole: Path) -> None:
    """A torn last record is dropped by LevelDB itself, so it is no damage, at any offset."""
    path = whole / "000008.log"
    content = path.read_bytes()
    offsets = {*range(0, len(content), 1001), *range(40), *range(len(content) - 40, len(content))}
    offsets |= {BLOCK_BYTES + more for more in range(-9, 9)}
    for offset in sorted(offsets, reverse=True):
        os.truncate(path, offset)
        assert problem(str(whole)) == "", f"cut at {offset}"


def test_a_log_broken_in_its_middle_is_damage(whole: Path) -> None:
    """What comes later is whole, so LevelDB would lose what it had."""
    path = whole / "000008.log"
    content = path.read_bytes()
    for at in (9, BLOCK_BYTES + 100):
        path.write_bytes(content[:at] + b"\xff" + content[at + 1 :])
        assert "000008.log is torn at byte" in problem(str(whole))
    path.write_bytes(content[:-1] + b"\xff")
    assert problem(str(whole)) == "", "its last record alone: a crash may leave that"
    path.write_bytes(content + bytes(4000))
    assert problem(str(whole)) == "", "zeros are space that was reserved"


@pytest.mark.parametrize("kept", [1, 4, 6, 7, 8, 500, 899, 906])
def test_a_log_that_was_torn_and_taken_up_again_is_none(tmp_path: Path, kept: int) -> None:
    """A killed browser leaves a half record, and its next run goes on behind it.

    LevelDB drops that block's rest and opens, for ever: a session that the browser accepts is not
    to be taken from it. But IndexedDB's sets are opened strictly, and deleted if that fails.
    """
    torn = physical(FULL, b"d" * 900)[:kept]
    content = log_of([b"b" * 30])[0] + torn + physical(FULL, b"e" * 12) + physical(FULL, b"f" * 950)
    content += bytes(-len(content) % BLOCK_BYTES) + physical(FULL, b"g" * 40)
    for name, strict in (("leveldb", False), ("https_x_0.indexeddb.leveldb", True)):
        whole = Set().write(tmp_path / name)
        (whole / "000008.log").write_bytes(content)
        assert bool(problem(str(whole))) == strict


def test_a_length_that_changed_in_the_middle_of_a_log_is_damage(whole: Path) -> None:
    """It looks as if the next record began within this one; but this one is finished."""
    content = bytearray(log_of([b"b" * 300, b"c" * 300, b"d" * 40_000])[0])
    content[4] ^= 64
    (whole / "000008.log").write_bytes(content)
    assert "000008.log is torn at byte 0" in problem(str(whole))


def test_a_tables_index_with_a_flipped_bit_is_damage(whole: Path) -> None:
    """Without it LevelDB finds nothing in the table."""
    path = whole / "000009.ldb"
    content = path.read_bytes()
    for at in (0, 8, 9, 15, 25):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        assert "000009.ldb has a broken index" in problem(str(whole))


def test_a_manifest_with_a_flipped_bit_is_damage(whole: Path) -> None:
    """LevelDB opens no manifest whose checksums are wrong, not even at its end."""
    path = whole / "MANIFEST-000002"
    content = path.read_bytes()
    for at in (8, 40, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        assert "MANIFEST-000002 is torn" in problem(str(whole))


def test_another_dialect_gets_no_verdict(whole: Path) -> None:
    """A word that we don't know, with the right checksum, means something to somebody."""
    manifest, _ends = log_of([b"\x81\x40\x05hello", *(edit.encoded() for edit in Set().edits)])
    (whole / "MANIFEST-000002").write_bytes(manifest)
    (whole / "000009.ldb").unlink()
    assert problem(str(whole)) == ""
    assert not leveldb.is_ours({"CURRENT", "MANIFEST-000004", "000007.sst", "OPTIONS-000009"})
    assert not leveldb.is_ours({"CURRENT", "bot.log", "12.ldb"})
    assert leveldb.is_ours({"MANIFEST-000004", "000007.ldb"}), "CURRENT is lost"


def test_a_set_that_moves_meanwhile_gets_no_verdict(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running bot's set changes under the reader: that is not damage."""
    (whole / "000009.ldb").unlink()
    assert problem(str(whole))
    looks: Iterator[int] = iter(range(100))
    look = leveldb.look
    monkeypatch.setattr(
        leveldb, "look", lambda folder: look(folder) | {"CURRENT": (16, next(looks))}
    )
    assert problem(str(whole)) == ""
    assert next(looks) < 10


@settings(max_examples=80, deadline=None, database=None)
@given(
    name=st.sampled_from(["CURRENT", "MANIFEST-000002", "000008.log", "000009.ldb"]),
    data=st.binary(max_size=300)
    | st.lists(st.binary(max_size=60), max_size=5).map(lambda bodies: log_of(bodies)[0])
    | st.binary(max_size=60).map(lambda body: physical(1, body)),
    at=st.integers(0, 800),
)
def test_no_bytes_crash_the_reader(name: str, data: bytes, at: int) -> None:
    """Whatever lies in the place of a file, or in its middle, there is an answer."""
    with tempfile.TemporaryDirectory() as root:
        whole = Set(records=[b"r" * 40, b"s" * 50]).write(Path(root, "set"))
        for content in (data, (whole / name).read_bytes()[:at] + data):
            (whole / name).write_bytes(content)
            assert isinstance(problem(str(whole)), str)
            assert isinstance(problem(str(whole), deep=False), str)


@settings(max_examples=60, deadline=None, database=None)
@given(st.binary(max_size=3 * BLOCK_BYTES))
def test_records_end_where_the_bytes_end(data: bytes) -> None:
    """No bytes make the reader of records stand still or read past the end."""
    found = list(leveldb_format.physical(data, 2000))
    assert [record.at for record in found] == sorted({record.at for record in found})
    assert all(record.at + HEADER.size <= len(data) for record in found)


# --- in a session ---------------------------------------------------------------------------


def test_a_damaged_set_is_seen_before_the_start_and_comes_back(place: Place) -> None:
    """By the quick check where it can be, by the full one else; then the snapshot is restored."""
    manager = place.linked()
    Set().write(place.live / "state")
    assert manager.backup(ID).verdict == "good"
    assert manager.check(ID).verdict == "passed"
    content = (place.live / "state" / "MANIFEST-000002").read_bytes()
    (place.live / "state" / "MANIFEST-000002").write_bytes(content[: len(content) // 2])
    for quick in (True, False):
        check = manager.check(ID, quick=quick)
        assert check.verdict == "damaged"
        assert "state/CURRENT" in check.why
    manager.set_seat(ID, None)
    assert manager.restore(ID).action == "restored"
    assert (place.live / "state" / "MANIFEST-000002").read_bytes() == content


def test_a_bit_that_flipped_is_seen_by_the_full_check(place: Place) -> None:
    """In a process of its own, since checksums take time: in what came since the snapshot."""
    manager = place.linked()
    written = Set()
    path = written.write(place.live / "state") / "000008.log"
    content, known = path.read_bytes(), written.record_ends[0]
    os.truncate(path, known)
    assert manager.backup(ID).verdict == "good"
    flipped = known + 9
    path.write_bytes(content[:flipped] + b"\xff" + content[flipped + 1 :])
    assert manager.check(ID, quick=True).verdict == "passed"
    assert "000008.log is torn at byte" in manager.check(ID).why


@pytest.mark.parametrize("grown", [False, True])
def test_a_log_that_was_overwritten_from_its_start_is_damage(place: Place, *, grown: bool) -> None:
    """LevelDB would take all of it for a torn end, and open without it."""
    manager = place.linked()
    path = Set().write(place.live / "state") / "000008.log"
    assert manager.backup(ID).verdict == "good"
    whole = path.read_bytes()
    path.write_bytes(os.urandom(len(whole) + grown))
    assert manager.check(ID, quick=True).why == "state/000008.log was overwritten"
    assert manager.backup(ID).verdict == "bad"
    assert manager.restore(ID).action == "restored"
    assert path.read_bytes() == whole


def test_a_log_that_shrank_is_damage(place: Place) -> None:
    """LevelDB would open it without its end; but it had more, and logs only grow."""
    manager = place.linked()
    path = Set().write(place.live / "state") / "000008.log"
    assert manager.backup(ID).verdict == "good"
    size = path.stat().st_size
    for short in (size - 1, 0):
        os.truncate(path, short)
        why = manager.check(ID, quick=True).why
        assert f"state/000008.log is torn: {short} bytes instead of {size}" in why


def test_a_log_that_shrank_beside_a_manifest_that_grew_is_damage(place: Place) -> None:
    """It is the same set: the manifest begins as it did."""
    manager = place.linked()
    folder = Set().write(place.live / "state")
    assert manager.backup(ID).verdict == "good"
    more, _ends = log_of([*(edit.encoded() for edit in Set().edits), Edit(first=True).encoded()])
    (folder / "MANIFEST-000002").write_bytes(more)
    os.truncate(folder / "000008.log", 17)
    assert "000008.log is torn: 17 bytes" in manager.check(ID, quick=True).why
    snapshot = manager.backup(ID)
    assert (snapshot.verdict, "000008.log is torn" in snapshot.why) == ("bad", True)


@pytest.mark.parametrize("edits", [Set().edits, [Edit(log=8, first=True, key=b"n" * 90_000)]])
def test_a_set_that_was_made_anew_is_no_damage(place: Place, edits: list[Edit]) -> None:
    """It has the same numbers, and less in its log: the bot threw the old one away."""
    manager = place.linked()
    folder = Set().write(place.live / "state")
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    assert manager.backup(ID).verdict == "good"
    shutil.rmtree(folder)
    Set(edits=edits, records=[b"n" * 10]).write(folder)
    write_key(place.live, "moved on")
    assert manager.check(ID).verdict == "passed"
    assert manager.backup(ID).verdict == "good"
    assert manager.restore(ID).action == "kept"
