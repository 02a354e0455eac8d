"""A file of the live session that its disk does not give back: all the rest is kept."""

import errno
import os
from pathlib import Path

import pytest

from supervisor.core.policy import Keep
from supervisor.session.model import SnapshotFailed
from tests.unit.session.sessionkit import ID, Place, with_snapshots, write_key


def sick(patch: pytest.MonkeyPatch, folder: Path, *names: str, times: int = 10**9) -> None:
    """Let the first `times` reads of these files in `folder` fail."""
    really, left = os.preadv, [times]

    def fails(fd: int, *args: object) -> int:
        where = Path(f"/proc/self/fd/{fd}").readlink()
        if where.is_relative_to(folder) and (where.name in names or not names) and left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(fd, *args)  # type: ignore[arg-type]  # as they came

    patch.setattr(os, "preadv", fails)


def test_one_file_that_cannot_be_read_leaves_the_rest(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept says what it lacks, is not called good, and no second one is taken of it."""
    (place.live / "keys").mkdir(parents=True)
    (place.live / "keys" / "two").write_bytes(b"second key")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    for text in ("first", "second"):
        write_key(place.live, text)
        assert manager.backup(ID).verdict == "good"
    write_key(place.live, "newest")
    with monkeypatch.context() as patch:
        (place.live / "keys" / "two").touch()
        sick(patch, place.live, "two")
        lacking = manager.backup(ID)
        assert (lacking.seq, lacking.verdict) == (3, "fuzzy")
        assert "keys/two can't be read" in lacking.why
        manifest = manager.store.find(ID, "3")
        assert [e.path for e in manifest.files if e.path.startswith("keys/")] == ["keys/one"]
        assert any("keys/two can't be read (Input/output error)" in n for n in manifest.notes)
        assert manager.backup(ID).seq == 3
    assert [s.verdict for s in manager.snapshots(ID)] == ["good", "good", "fuzzy"]
    whole = manager.backup(ID)
    assert (whole.seq, whole.verdict) == (4, "good")


def test_a_new_file_that_cannot_be_read_is_not_nothing_new(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that could be read is what the last good snapshot has; the session is more."""
    manager = with_snapshots(place, 1)
    (place.live / "keys" / "three").write_bytes(b"third key")
    sick(monkeypatch, place.live, "three")
    assert manager.backup(ID).verdict == "fuzzy"


@pytest.mark.parametrize("name", ["creds.json", "store.db"])
def test_a_copy_without_what_is_required_is_bad(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It is no session without that file."""
    manager = with_snapshots(place, 1)
    (place.live / name).touch()
    sick(monkeypatch, place.live, name)
    assert manager.backup(ID).verdict == "bad"


def test_a_read_that_fails_once_leaves_out_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next try of the same file reads it."""
    manager = with_snapshots(place, 1)
    write_key(place.live, "newest")
    sick(monkeypatch, place.live, "one", times=1)
    assert manager.backup(ID).verdict == "good"


def test_lacking_copies_cost_no_good_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come, in the same hours and days: the good ones of those stay."""
    manager = with_snapshots(place, 3)
    keep = Keep(last=1, hourly=2, daily=2)
    for n in range(6):
        write_key(place.live, f"lacking {n}")
        with monkeypatch.context() as patch:
            (place.live / "keys" / "two").touch()
            sick(patch, place.live, "two")
            assert place.manager(keep=keep).backup(ID).verdict == "fuzzy"
    left = {s.seq: s.verdict for s in manager.snapshots(ID)}
    assert left == {2: "good", 3: "good", 9: "fuzzy"}


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM])
def test_what_we_lack_ourselves_is_no_fault_of_a_file(
    place: Place, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Without a descriptor left the snapshot fails, and is whole another time."""
    manager = with_snapshots(place, 1)
    write_key(place.live, "newest")
    really = os.open

    def fails(path: object, *args: object, **how: object) -> int:
        if str(path).endswith("keys/one"):
            raise OSError(error, os.strerror(error))
        return really(path, *args, **how)  # type: ignore[arg-type]  # as they came

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(SnapshotFailed, match=os.strerror(error)):
            manager.backup(ID)
    assert manager.backup(ID).verdict == "good"


def test_a_spool_that_fails_is_no_fault_of_a_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's disk gives the same error as a sick file would: the snapshot fails."""
    manager = with_snapshots(place, 1)
    (place.live / "large").write_bytes(os.urandom(12 << 20))

    really = os.pwrite

    def fails(fd: int, data: bytes, at: int) -> int:
        if len(data) > 1000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return really(fd, data, at)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fails)
        with pytest.raises(SnapshotFailed, match="Input/output error"):
            manager.backup(ID)
    assert manager.backup(ID).verdict == "good"
