"""What is plainly no session does not come in, and neither does what finds no room."""

import os
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

from supervisor.core.errors import SupervisorError
from supervisor.session import incoming
from tests.unit.session.sessionkit import ID, Place, tree


class Disk(NamedTuple):
    """What is asked of a disk."""

    f_bavail: int
    f_frsize: int


@pytest.mark.parametrize("name", ["/", "/etc", "/etc/ssl", "/usr", "/usr/lib", "/bin", "/tmp"])  # noqa: S108 - it is only named
def test_a_folder_of_the_machine_is_refused(place: Place, name: str) -> None:
    """Whoever says yes to it: nothing is copied, the live session stays."""
    manager = place.linked()
    before = tree(place.live)
    with pytest.raises(SupervisorError, match="folder of the machine"):
        manager.import_(ID, name)
    assert tree(place.live) == before
    assert [path.name for path in place.live.parent.iterdir() if path.name.endswith(".new")] == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (".", "lies in it"),
        ("sessions", "lies in it"),
        (f"sessions/session-{ID}", "the live session itself"),
        (f"sessions/session-{ID}/keys", "the live session itself"),
        (".session-cache", "part of the snapshots' store"),
        (".session-cache/packs", "part of the snapshots' store"),
        (".session-cache/quarantine", "part of the snapshots' store"),
    ],
)
def test_what_is_our_own_is_no_session(place: Place, name: str, why: str) -> None:
    """Whoever says yes to it: the link goes on, and a hint tells what to do instead."""
    manager = place.linked()
    before = tree(place.live)
    with pytest.raises(SupervisorError, match=why) as refused:
        manager.import_(ID, place.root / name)
    assert refused.value.hint
    assert tree(place.live) == before
    assert manager.info(ID)["epoch"] == 1


def test_a_link_that_leads_back_to_itself_is_no_session(place: Place) -> None:
    """Neither does anything come out of it, nor go in there."""
    manager = place.linked()
    (place.root / "loop").symlink_to("loop")
    with pytest.raises(SupervisorError, match="neither a folder nor"):
        manager.import_(ID, place.root / "loop")
    with pytest.raises(SupervisorError, match="is no folder"):
        manager.export(ID, place.root / "loop" / "session")


def test_the_project_is_no_session_though_its_sessions_lie_elsewhere(
    place: Place, tmp_path: Path
) -> None:
    """A folder beside it may hold one."""
    manager = place.linked()
    project = tmp_path / "elsewhere" / "project"
    (project / "backup").mkdir(parents=True)
    for path in (project, project.parent):
        with pytest.raises(SupervisorError, match="is no session"):
            manager.refuse_import(ID, path, project)
    manager.refuse_import(ID, project / "backup", project)


def test_what_lies_in_quarantine_may_come_in(place: Place) -> None:
    """It was a session, and its hint says so."""
    manager = place.linked()
    before = tree(place.live)
    held = manager.clear(ID)
    assert held
    manager.import_(ID, place.store / "quarantine" / held)
    assert tree(place.live) == before


@pytest.mark.parametrize("name", ["{live}/out", "{live}", "{store}/out", "{store}/packs/a.tar.zst"])
def test_no_export_goes_into_a_session_or_the_store(place: Place, name: str) -> None:
    """The next snapshot would hold the session twice, and pruning what is no pack."""
    manager = place.linked()
    path = Path(name.format(live=place.live, store=place.store))
    (place.live.parent / "session- stray").mkdir()
    (place.root / "link").symlink_to(path.parent)
    before = tree(place.root)
    for where in (path, place.root / "link" / path.name):
        with pytest.raises(SupervisorError, match="would be written into") as refused:
            manager.export(ID, where)
        assert refused.value.hint
    assert tree(place.root) == before


@pytest.mark.parametrize(
    "name",
    ["/usr/src/app/s", "/dev/shm/s", "/run/media/usb/s", "/home/me/s", "/var/lib/bot/s"],  # noqa: S108 - the same
)
def test_where_sessions_do_lie_is_no_folder_of_the_machine(name: str) -> None:
    """Containers, sticks, services."""
    incoming.refuse_system_folder(Path(name))


def test_the_home_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing last part of a path is an easy mistake."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SupervisorError, match="folder of the machine"):
        incoming.refuse_system_folder(tmp_path)
    incoming.refuse_system_folder(tmp_path / "session-1")


def test_what_looks_like_a_session_raises_no_doubt(place: Place, tmp_path: Path) -> None:
    """A known kind, a database, JSON."""
    place.linked()
    assert incoming.doubts(place.live) == []
    (tmp_path / "any").mkdir()
    (tmp_path / "any" / "auth.json").write_text("{}")
    assert incoming.doubts(tmp_path / "any") == []


def test_what_may_be_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing recognised, too many files, another user's."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(5):
        (pictures / f"{number}.png").write_bytes(b"png")
    (doubt,) = incoming.doubts(pictures)
    assert "nothing in it looks like a session" in doubt
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert f"another user (uid {uid})" in incoming.doubts(pictures)[0]
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(incoming, "MANY_FILES", 3)
    assert incoming.doubts(pictures) == ["it has more than 3 files"]


def test_a_folder_around_a_session_raises_a_doubt(place: Place, tmp_path: Path) -> None:
    """A missing last part of a path is an easy mistake, here too."""
    (tmp_path / "backups").mkdir()
    place.linked().export(ID, tmp_path / "backups" / "monday")
    (doubt,) = incoming.doubts(tmp_path / "backups")
    assert "all its files lie deeper" in doubt
    assert incoming.doubts(tmp_path / "backups" / "monday") == []


def _room(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _path: Disk(size_bytes, 1))


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_what_takes_more_room_than_there_is_is_refused(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Before the disk is full: others write there, too. What was begun is gone."""
    manager = place.linked()
    big = tmp_path / "session-big"
    big.mkdir()
    (big / "creds.json").write_text("{}")
    (big / "data").write_bytes(os.urandom(3 << 20))
    source = big
    if form == "tar":
        source = tmp_path / "big.tar.zst"
        with (
            source.open("wb") as raw,
            zstandard.ZstdCompressor().stream_writer(raw) as packed,
            tarfile.open(fileobj=packed, mode="w|") as tar,
        ):
            tar.add(big, arcname="session-big")
    before = tree(place.live)
    _room(monkeypatch, 2 << 20)
    with pytest.raises(SupervisorError, match="more than the 2 MB that are free"):
        manager.import_(ID, source)
    assert tree(place.live) == before
    assert [p.name for p in place.live.parent.iterdir() if "new" in p.name] == []
    _room(monkeypatch, 4 << 20)
    manager.import_(ID, source)
    assert (place.live / "data").stat().st_size == 3 << 20


@pytest.mark.parametrize("name", ["out", "out.tar.zst"])
def test_an_export_and_an_import_tell_how_far_they_are(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From nothing to all of it, and never back."""
    monkeypatch.setattr("supervisor.session.progress._EVERY_S", 0.0)
    manager = place.linked()
    for number in range(5):
        (place.live / f"{number}.bin").write_bytes(os.urandom(1 << 20))
    manager.backup(ID)
    told: list[tuple[int, int]] = []
    manager.progress = lambda done, total: told.append((done, total))
    path = manager.export(ID, tmp_path / name)
    exported = list(told)
    told.clear()
    manager.import_(ID, path)
    for told_of in (exported, told):
        done = [one for one, _total in told_of]
        assert done == sorted(done)
        assert len({total for _one, total in told_of}) == 1
        assert len(set(done)) >= 5
        assert done[-1] == told_of[-1][1]
