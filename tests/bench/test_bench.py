"""The benchmark measures what it says: the same trees, real copies, bars that can fail."""

import json
import os
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench import clock
from tests.bench.ours import ID, Ours, live_folder
from tests.bench.peers import ALL, Peer, missing, present
from tests.bench.report import MISSED, UNKNOWN, Bar, Report
from tests.bench.trees import DATABASE, PAGE_BYTES, Tree, differing, mixed

LONG_AGO_S = 1_600_000_000
HERE = [kind for kind in ALL if kind.name not in missing()]


def content(folder: Path) -> dict[str, bytes]:
    """Return the files' bytes by relative path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with a session of 20 small files."""
    tree = Tree(live_folder(tmp_path), 20, database=False)
    tree.make()
    # rsync sees a change of the same size only in another second. zip knows none before 1980.
    for path in tree.folder.rglob("*"):
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return tmp_path


def test_the_same_session_is_made_each_time(project: Path, tmp_path: Path) -> None:
    """Runs on two days, or of two stores, are about the same bytes, also after a change."""
    again = Tree(tmp_path / "again", 20, database=False)
    again.make()
    assert content(again.folder) == content(live_folder(project))
    before = content(again.folder)
    changes = [tree.change(3) for tree in (again, Tree(live_folder(project), 20, database=False))]
    assert changes[0] == changes[1]
    after = content(again.folder)
    assert after == content(live_folder(project))
    assert sorted(path for path in after if after[path] != before[path]) == changes[0].paths


def test_half_of_it_can_be_compressed() -> None:
    """Neither noise, which flatters nobody, nor text, which flatters who compresses."""
    for size in (440, 50_000):
        data = mixed("key", size)
        assert len(data) == size
        assert 0.45 < len(zlib.compress(data)) / size < 0.8


def test_the_database_s_changed_pages_are_counted(tmp_path: Path) -> None:
    """By comparing the file before and after; the WAL is closed each time."""
    tree = Tree(tmp_path / "session", 0, database=True)
    tree.make()
    before = (tree.folder / DATABASE).read_bytes()
    change = tree.change(0, rows=10)
    after = (tree.folder / DATABASE).read_bytes()
    starts = range(0, len(after), PAGE_BYTES)
    differ = [at for at in starts if before[at : at + PAGE_BYTES] != after[at : at + PAGE_BYTES]]
    assert change.pages == len(differ)
    assert 10 <= change.pages <= 40
    assert [path.name for path in tree.folder.glob(f"{DATABASE}*")] == [DATABASE]
    with closing(sqlite3.connect(tree.folder / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_block_is_counted_once_and_whole() -> None:
    """A grown file's last block counts as a full one."""
    before = bytes(2 * PAGE_BYTES)
    assert differing(before, before) == b""
    assert len(differing(before, before[:-1] + b"x")) == PAGE_BYTES
    assert len(differing(before, before + b"x")) == PAGE_BYTES


@pytest.mark.long  # `make bench` itself is no part of the usual run either
@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.name)
def test_each_tool_copies_and_brings_back(kind: type[Peer], project: Path) -> None:
    """What is timed is a real copy: after a change and a second one all bytes come back."""
    (peer,) = [each for each in present(project / "peers") if type(each) is kind]
    peer.fresh()
    tree = Tree(live_folder(project), 20, database=False)
    peer.snapshot(tree.folder)
    first = clock.weigh(peer.store)
    tree.change(2)
    peer.snapshot(tree.folder)
    grown = clock.growth_bytes(first, clock.weigh(peer.store))
    whole = sum(first.values())
    assert 0 < grown < whole / 2 if kind.incremental else grown > whole / 2
    target = project / "target"
    target.mkdir()
    peer.restore(target)
    assert content(target) == content(tree.folder)
    assert peer.start()


def test_ours_stores_what_changed(project: Path) -> None:
    """Pack and manifest are counted; an unchanged session adds no snapshot."""
    ours = Ours(project)
    ours.fresh()
    assert ours.validate(ours.snapshot()).verdict == "good"
    tree = Tree(live_folder(project), 20, database=False)
    change = tree.change(2)
    before = clock.weigh(ours.store)
    ours.snapshot()
    stored = clock.new_bytes(before, clock.weigh(ours.store))
    assert len(change.blocks) / 3 < stored < len(change.blocks) * 2
    ours.snapshot()
    assert ours.manifests() == 2
    assert ours.manager.snapshots(ID)[-1].new_bytes < stored


def test_the_floor_writes_the_changed_blocks(project: Path) -> None:
    """Less would be no floor."""
    tree = Tree(live_folder(project), 20, database=False)
    change = tree.change(2)
    target = project / "floor"
    clock.floor(tree.folder, change, target)
    assert target.read_bytes() == change.blocks
    there = [path for path in tree.folder.rglob("*") if path.is_file() or path.is_dir()]
    assert clock.walk(tree.folder) == len(there)


def test_a_bar_is_missed_when_it_is_missed(tmp_path: Path) -> None:
    """And one that could not be measured is neither missed nor passed."""
    assert Bar("a", "b", 2.0, 2.0, "x").verdict == "pass"
    assert Bar("a", "b", 2.0, 2.01, "x").verdict == MISSED
    assert Bar("a", "b", 2.0, None, "x").verdict == UNKNOWN
    report = Report({})
    report.bar("a", "met", 1.0, 0.5)
    report.bar("a", "not met", 1.0, 1.5)
    report.bar("a", "nothing to compare with", 1.0, None)
    report.finish(tmp_path / "new" / "store.json")
    assert [bar.name for bar in report.missed] == ["not met"]
    written = json.loads((tmp_path / "new" / "store.json").read_text())
    assert [bar["passed"] for bar in written["bars"]] == [True, False, None]


def test_a_slow_machine_gets_fewer_rounds_but_some() -> None:
    """The run ends; what was measured less often says so by its n."""
    assert list(clock.rounds(5, 1e9)) == [0, 1, 2, 3, 4]
    assert list(clock.rounds(5, -1.0)) == [0, 1]
    assert list(clock.rounds(1, -1.0)) == [0]
