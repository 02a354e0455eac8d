"""Sessions go elsewhere and come back whole, and nothing else comes in with them."""

import errno
import fcntl
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
import zstandard

from supervisor.core.errors import SupervisorError
from supervisor.session import transfer
from supervisor.session.model import NothingToRestore
from tests.unit.session.sessionkit import ID, Place, modes, tree


@pytest.mark.parametrize("name", ["out", "out.tar.zst"])
def test_export_and_import_bring_it_back(place: Place, tmp_path: Path, name: str) -> None:
    """Byte for byte, with odd names and links; in a new epoch that its first return adopts."""
    manager = place.linked()
    (place.live / "away").symlink_to("creds.json")
    Path(os.fsdecode(os.fsencode(place.live) + b"/odd\xff")).write_text("odd")
    (place.live / "empty").mkdir()
    manager.backup(ID)
    wanted = tree(place.live)
    path = manager.export(ID, tmp_path / name)
    assert not {mode for folder, mode in modes(path) if mode & 0o077}
    (place.live / "keys" / "one").write_text("of the old one")
    old = tree(place.live)
    quarantined = manager.import_(ID, path)
    assert quarantined
    assert tree(place.live) == wanted
    assert tree(place.store / "quarantine" / quarantined) == old
    assert manager.check(ID).verdict == "passed"
    info = manager.info(ID)
    assert (info["state"], info["epoch"]) == ("none", 2)
    manager.note_verified(ID, "1:aa", "roundtrip", 0.1)
    info = place.manager().info(ID)
    assert (info["state"], info["epoch"], info["restore_count"]) == ("linked", 2, 0)
    shutil.rmtree(place.live)
    with pytest.raises(NothingToRestore):
        manager.restore(ID)


def test_an_older_snapshot_may_be_exported_by_name(place: Place, tmp_path: Path) -> None:
    """Also one of an ended epoch: that is how it comes back, if a person means it."""
    manager = place.linked()
    wanted = tree(place.live)
    manager.clear(ID)
    manager.export(ID, tmp_path / "out", snapshot="1")
    assert tree(tmp_path / "out") == wanted
    manager.import_(ID, tmp_path / "out")
    assert tree(place.live) == wanted
    with pytest.raises(NothingToRestore):
        manager.export(ID, tmp_path / "other")


def test_nothing_is_overwritten_by_an_export(place: Place, tmp_path: Path) -> None:
    """The path must be new; a failed one leaves nothing."""
    manager = place.linked()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "precious").write_text("precious")
    with pytest.raises(SupervisorError, match="there already"):
        manager.export(ID, tmp_path / "there")
    (place.store / "packs" / place.packs()[0]).write_bytes(b"sick")
    before = sorted(path.name for path in tmp_path.iterdir())
    for name in ("out", "out.tar.zst"):
        with pytest.raises(SupervisorError):
            manager.export(ID, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_export_takes_no_folder_of_others_for_its_own(place: Place, tmp_path: Path) -> None:
    """Whatever it is called; what a killed export left there is removed by the next."""
    manager = place.linked()
    for name in (".out.part", f"{transfer.DRAFTS}held"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes").write_text("precious")
    (tmp_path / f"{transfer.DRAFTS}dead").mkdir()
    held = os.open(tmp_path / f"{transfer.DRAFTS}held", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)  # another export, under way
    try:
        manager.export(ID, tmp_path / "out")
        manager.export(ID, tmp_path / "out.tar.zst")
    finally:
        os.close(held)
    assert (tmp_path / ".out.part" / "notes").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.glob(f"{transfer.DRAFTS}*")) == [
        f"{transfer.DRAFTS}held"
    ]
    assert (tmp_path / f"{transfer.DRAFTS}held" / "notes").read_text() == "precious"


def test_an_export_may_have_the_longest_name_there_is(place: Place, tmp_path: Path) -> None:
    """Its draft has a name of its own."""
    manager = place.linked()
    manager.export(ID, tmp_path / ("n" * 255))
    assert tree(tmp_path / ("n" * 255)) == tree(place.live)


_TYPES = {
    "link": tarfile.SYMTYPE,
    "dir": tarfile.DIRTYPE,
    "name": tarfile.LNKTYPE,
    "pipe": tarfile.FIFOTYPE,
    "device": tarfile.CHRTYPE,
}


def _archive(path: Path, *members: tuple[str, str, str]) -> Path:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            if kind == "file":
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content.encode()))
            else:
                member.type = _TYPES[kind]
                member.linkname = content
                tar.addfile(member)
    path.write_bytes(zstandard.compress(raw.getvalue()))
    return path


@pytest.mark.parametrize(
    "members",
    [
        [("../outside", "file", "x")],
        [("/tmp/outside", "file", "x")],  # noqa: S108 - never written
        [("a", "link", ".."), ("a/outside", "file", "x")],
        [("a/../../outside", "file", "x")],
        [("a", "file", "x"), ("a", "file", "y")],
        [("empty", "dir", "")],
        [("creds.json", "file", "{torn")],
        [("a", "file", "x"), ("b", "name", "/etc/passwd")],
        [("a", "file", "x"), ("b", "name", "../outside")],
        [("a", "link", "/etc/passwd"), ("b", "name", "a")],
        [("a", "file", "x"), ("b", "name", "none")],
    ],
)
def test_an_enemys_archive_changes_nothing(
    place: Place, tmp_path: Path, members: list[tuple[str, str, str]]
) -> None:
    """Nothing outside, nothing through a link, nothing that is no whole session."""
    manager = place.linked()
    wanted = tree(place.live)
    path = _archive(tmp_path / "bad.tar.zst", *members)
    before = sorted(path.name for path in place.live.parent.iterdir())
    with pytest.raises(SupervisorError) as refused:
        manager.import_(ID, path)
    assert refused.value.hint
    assert tree(place.live) == wanted
    assert sorted(path.name for path in place.live.parent.iterdir()) == before
    assert not (tmp_path / "outside").exists()
    assert manager.info(ID)["epoch"] == 1


def test_what_tar_writes_by_itself_comes_in(place: Place, tmp_path: Path) -> None:
    """A second name of a file is a file of its own; what can be no part of a session is said."""
    manager = place.manager()
    path = _archive(
        tmp_path / "by-hand.tar.zst",
        ("./session-9/", "dir", ""),
        ("./session-9/creds.json", "file", '{"device": 1}'),
        ("./session-9/again.json", "name", "./session-9/creds.json"),
        ("./session-9/queue", "pipe", ""),
        ("./session-9/null", "device", ""),
    )
    manager.import_(ID, path)
    assert tree(place.live) == dict.fromkeys(["again.json", "creds.json"], b'{"device": 1}')
    assert (place.live / "again.json").stat().st_nlink == 1
    said = [note.split(" is ")[0] for note in manager.left_out]
    assert said == ["session-9/queue", "session-9/null"]


def test_what_a_folder_holds_that_cannot_come_in_is_said(place: Place, tmp_path: Path) -> None:
    """As a snapshot does."""
    manager = place.linked()
    manager.export(ID, tmp_path / "out")
    os.mkfifo(tmp_path / "out" / "queue")
    manager.import_(ID, tmp_path / "out")
    assert list(manager.left_out) == ["queue is a pipe: left out"]


def test_why_nothing_can_be_exported_is_said(place: Place, tmp_path: Path) -> None:
    """None at all, none that is whole, none of this link: each has another remedy."""

    def refused(match: str, hint: str) -> None:
        with pytest.raises(NothingToRestore, match=match) as error:
            place.manager().export(ID, tmp_path / "out")
        assert hint in error.value.hint

    refused("it has no snapshot", "session backup")
    manager = place.linked()
    manager.export(ID, tmp_path / "good")
    manager.condemn(ID, "1", "for a test")
    refused("none of its snapshots is whole", "session check")
    manager.import_(ID, tmp_path / "good")
    refused("of an earlier link", "--snapshot")


def test_a_folder_that_cannot_be_read_whole_is_refused(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of a session would pass for the whole of it."""
    manager = place.linked()
    manager.export(ID, tmp_path / "out")
    really = os.scandir

    def refused(folder: str | int) -> object:
        path = Path(f"/proc/self/fd/{folder}").readlink() if isinstance(folder, int) else folder
        if str(path).endswith("out/keys"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return really(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(SupervisorError, match="keys/ can't be read"):
        manager.import_(ID, tmp_path / "out")
    assert manager.info(ID)["epoch"] == 1


def test_a_torn_archive_is_refused(place: Place, tmp_path: Path) -> None:
    """At any place where it may be cut."""
    manager = place.linked()
    whole = manager.export(ID, tmp_path / "out.tar.zst").read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 5):
        (tmp_path / "torn.tar.zst").write_bytes(whole[:length])
        with pytest.raises(SupervisorError):
            manager.import_(ID, tmp_path / "torn.tar.zst")
    with pytest.raises(SupervisorError, match="neither"):
        manager.import_(ID, tmp_path / "nothing-there")


@pytest.mark.parametrize(
    ("kind", "pax"),
    [
        (tarfile.REGTYPE, {"mtime": "1e300"}),
        (tarfile.REGTYPE, {"mtime": "nan"}),
        (tarfile.SYMTYPE, {"linkpath": "a\0b"}),
    ],
)
def test_an_archive_of_what_no_disk_holds_is_refused(
    place: Place, tmp_path: Path, kind: bytes, pax: dict[str, str]
) -> None:
    """A time after all times, a name with a NUL: said in words, and the live session stays."""
    manager = place.linked()
    before = tree(place.live)
    info = tarfile.TarInfo("creds.json")
    info.type, info.pax_headers = kind, pax
    path = tmp_path / "odd.tar.zst"
    packed = zstandard.ZstdCompressor().compress(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024))
    path.write_bytes(packed)
    with pytest.raises(SupervisorError, match="is torn or no"):
        manager.import_(ID, path)
    assert tree(place.live) == before
