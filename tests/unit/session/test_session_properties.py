"""Whatever lies in a session comes back byte for byte."""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.session.sessionkit import ID, Place, tree

NAMES = st.binary(min_size=1, max_size=8).filter(
    lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b"..")
)
CONTENTS = (
    st.binary(max_size=300)
    | st.integers(1, 40).map(lambda n: b"\0" * (n * 4096))
    | st.integers(0, 3).map(lambda n: os.urandom(64) * (16384 + n * 1024 + n))
)
CHANGES = st.lists(
    st.tuples(NAMES, NAMES, st.sampled_from(["file", "deep", "link", "drop", "append"]), CONTENTS),
    min_size=1,
    max_size=12,
)


def _apply(live: bytes, changes: list[tuple[bytes, bytes, str, bytes]]) -> None:
    for first, second, kind, content in changes:
        path = live + b"/" + first
        inside = path + b"/" + second
        if kind == "deep":
            if not os.path.lexists(path):
                os.mkdir(path)  # noqa: PTH102 - the names are bytes
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - bytes
                path = inside
        if kind == "link" and not os.path.lexists(path):
            os.symlink(second, path)  # noqa: PTH211 - the names are bytes
        if os.path.islink(path) or os.path.isdir(path):  # noqa: PTH112, PTH114 - bytes
            continue
        if kind == "drop":
            if os.path.exists(path):  # noqa: PTH110 - the names are bytes
                os.unlink(path)  # noqa: PTH108 - the names are bytes
        elif kind != "link":
            with open(path, "ab" if kind == "append" else "wb") as file:  # noqa: PTH123 - bytes
                file.write(content)


@settings(max_examples=12, deadline=None, database=None)
@given(st.lists(CHANGES, min_size=1, max_size=3))
def test_every_snapshot_restores_byte_for_byte(
    rounds: list[list[tuple[bytes, bytes, str, bytes]]],
) -> None:
    """Odd names, links, empty folders, holes, and files of many blocks, over several snapshots."""
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        manager = place.manager()
        place.live.mkdir(parents=True)
        manager.note_linked(ID, "1:aa")
        wanted = {}
        for changes in rounds:
            (place.live / "always").write_bytes(os.urandom(8))
            _apply(os.fsencode(place.live), changes)
            snapshot = manager.backup(ID)
            if snapshot.verdict == "good":
                wanted[snapshot.id] = tree(place.live)
        for name, content in wanted.items():
            shutil.rmtree(place.live)
            assert manager.restore_from_backup(ID, name).action == "restored"
            assert tree(place.live) == content
