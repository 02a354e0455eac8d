"""What a LevelDB opens without a word, and its snapshot knows better: as Chromium writes it."""

import os
import shutil
from pathlib import Path

import pytest

from tests.unit.session.leveldbkit import Edit, Set, log_of
from tests.unit.session.sessionkit import ID, Place, write_key

# It goes on with an old log and names none; what is in its one table comes later.
FIRST = Edit(log=0, first=True)
EDITS = [FIRST, Edit(new=((9, 650),))]


def _write(folder: Path, edits: list[Edit], **more: list[bytes]) -> Path:
    """Write a set, as of long ago."""
    Set(edits=edits, **more).write(folder)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    return folder


@pytest.mark.parametrize("edits", [[FIRST], EDITS])
def test_a_log_that_no_manifest_names_is_missed(place: Place, edits: list[Edit]) -> None:
    """It would be replayed, if it were there."""
    manager = place.linked()
    folder = _write(place.live / "state", edits)
    assert manager.backup(ID).verdict == "good"
    (folder / "000008.log").unlink()
    assert manager.check(ID, quick=True).why == "state/000008.log is missing"
    assert manager.backup(ID).verdict == "bad"
    assert manager.restore(ID).action == "restored"
    assert (folder / "000008.log").stat().st_size


def test_a_log_that_went_into_a_table_is_not_missed(place: Place) -> None:
    """The manifest says so: it names a later one."""
    manager = place.linked()
    folder = _write(place.live / "state", EDITS)
    assert manager.backup(ID).verdict == "good"
    more, _ends = log_of([edit.encoded() for edit in [*EDITS, Edit(log=10)]])
    (folder / "MANIFEST-000002").write_bytes(more)
    (folder / "000008.log").unlink()
    (folder / "000010.log").write_bytes(b"")
    assert manager.check(ID).verdict == "passed"
    assert manager.backup(ID).verdict == "good"


def test_a_manifest_that_was_cut_where_a_record_ends_is_damage(place: Place) -> None:
    """LevelDB would remove the table that it names no more."""
    manager = place.linked()
    folder = _write(place.live / "state", EDITS)
    manifest = folder / "MANIFEST-000002"
    size, (first, *_rest) = manifest.stat().st_size, log_of([FIRST.encoded()])[1]
    assert manager.backup(ID).verdict == "good"
    for short in (first, size - 3):
        os.truncate(manifest, short)
        why = f"state/MANIFEST-000002 is torn: {short} bytes instead of {size}"
        assert manager.check(ID, quick=True).why == why
        assert manager.backup(ID).verdict == "bad"
        assert manager.restore(ID).action == "restored"
        assert manifest.stat().st_size == size


def test_a_manifest_that_was_cut_while_the_log_grew_is_damage(place: Place) -> None:
    """Nothing else is as it was, but the log begins with what it had."""
    manager = place.linked()
    folder = _write(place.live / "state", EDITS)
    assert manager.backup(ID).verdict == "good"
    with (folder / "000008.log").open("ab") as log:
        log.write(b"more")
    os.utime(folder / "000009.ldb")
    os.truncate(folder / "MANIFEST-000002", log_of([FIRST.encoded()])[1][0])
    assert "MANIFEST-000002 is torn" in manager.check(ID, quick=True).why


def test_a_set_that_was_made_anew_is_no_damage(place: Place) -> None:
    """It is shorter in all, and nothing of the old one is left: the bot threw it away."""
    manager = place.linked()
    folder = _write(place.live / "state", EDITS)
    assert manager.backup(ID).verdict == "good"
    shutil.rmtree(folder)
    Set(edits=[FIRST], records=[b"new"]).write(folder)
    write_key(place.live, "moved on")
    assert manager.check(ID).verdict == "passed"
    assert manager.backup(ID).verdict == "good"
    assert manager.restore(ID).action == "kept"
