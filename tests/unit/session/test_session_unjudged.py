"""A copy of ours that can't be opened now says nothing of the session: its verdict waits."""

import errno
from pathlib import Path

import pytest

from supervisor.session.model import Unjudged
from tests.unit.session.diskkit import unopened
from tests.unit.session.sessionkit import ID, Place, fill


def _other_bytes(place: Place) -> None:
    """Change all that is opened to prove a copy whole."""
    for path in place.live.iterdir():
        if path.is_file():
            path.unlink()
    for path in (place.live / "keys").iterdir():
        path.unlink()
    (place.live / "keys").rmdir()
    fill(place.live, rows=21)
    creds = place.live / "creds.json"
    creds.write_text(creds.read_text() + " ")


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ESTALE, errno.EMFILE])
@pytest.mark.parametrize(("name", "which"), [("creds.json", 0), ("creds.json", 1), ("store.db", 0)])
def test_a_copy_that_cannot_be_opened_is_judged_later(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, error: int, which: int
) -> None:
    """The disk has failed us once: the snapshot is there, pending, and good at the next look."""
    manager = place.linked()
    _other_bytes(place)
    opened: list[str] = []

    def fails(path: str) -> bool:
        if not path.startswith(str(place.store / "tmp" / "work-")) or Path(path).name != name:
            return False
        opened.append(path)
        return len(opened) == which + 2  # the first is its making

    with monkeypatch.context() as patch:
        unopened(patch, fails, error)
        with pytest.raises(Unjudged, match="can't be looked into"):
            manager.backup(ID)
    newest = manager.snapshots(ID)[-1]
    assert (newest.seq, newest.verdict) == (2, "pending")
    assert place.manager().validate(ID, newest.id).verdict == "good"
