"""Sparse files: a hole costs a place in the manifest for each group, so that there is a bound."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.session.copying.pieces import LARGEST_BYTES
from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import ID, Place

_PROGRAM = """
import resource, sys
from supervisor.session.manager import SessionManager
manager = SessionManager(*sys.argv[2:])
manager.note_verified(sys.argv[1], None, "identity", 1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
snapshot = manager.backup(sys.argv[1])
print(snapshot.verdict, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _linked(place: Place) -> SessionManager:
    place.live.mkdir(parents=True)
    (place.live / "auth.bin").write_bytes(b"key")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID).verdict == "good"
    return manager


def test_a_file_that_is_too_large_is_left_out_and_said(place: Place) -> None:
    """A terabyte of nothing would need a manifest of gigabytes: the rest is kept."""
    manager = _linked(place)
    huge = place.live / "huge"
    huge.touch()
    os.truncate(huge, 1 << 40)
    snapshot = manager.backup(ID)
    assert (snapshot.verdict, snapshot.why) == ("fuzzy", "huge is too large to be kept")
    manifest = manager.store.find(ID, str(snapshot.seq))
    assert manifest.notes[-1] == "huge has 1024 GB, where 16 are the most: left out"
    assert "huge" not in {entry.path for entry in manifest.files}
    assert manager.backup(ID).seq == snapshot.seq
    huge.unlink()
    assert manager.backup(ID).verdict == "good"


@pytest.mark.long
def test_the_largest_hole_is_kept_in_bounded_memory(place: Place) -> None:
    """16 GB of nothing with a word at its end: kept, and with less than 256 MB."""
    _linked(place)
    large = place.live / "large"
    with large.open("wb") as file:
        file.seek(LARGEST_BYTES - 4)
        file.write(b"word")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, ID, place.root / "sessions", place.store, place.state],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
        text=True,
    )
    verdict, peak_kib = done.stdout.split()
    assert verdict == "good"
    assert int(peak_kib) < 256 << 10
