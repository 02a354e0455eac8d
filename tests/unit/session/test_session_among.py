"""A session that is a few files among a project's own: only they are ever read, moved or made."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.session.belonging import Belonging
from supervisor.session.manager import SessionManager
from supervisor.session.model import NothingToRestore
from supervisor.session.proof import checks
from supervisor.session.proof.profile import Profile
from supervisor.session.restoring import delta
from tests.unit.session.amongkit import PARTS, AmongPlace, neighbours, session, session_and_project
from tests.unit.session.damagekit import DAMAGES
from tests.unit.session.diskkit import disk_at
from tests.unit.session.sessionkit import ID, fill, tree, write_key


@pytest.fixture
def among(tmp_path: Path) -> AmongPlace:
    """Return an empty project."""
    return AmongPlace(tmp_path)


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open no copies but where it is about damage: a process for each takes most of the time."""
    if "damage" not in request.fixturenames:
        monkeypatch.setattr(checks, "deep_problems", lambda *_args: [])


def all_gone(live: Path) -> None:
    """Remove the session, and nothing else."""
    (live / "creds.json").unlink()
    (live / "store.db").unlink()
    shutil.rmtree(live / "keys")


WAYS: dict[str, Callable[[Path], object]] = {
    **{name: way for name, way in DAMAGES.items() if callable(way)},
    "all gone": all_gone,
    "emptied folder": all_gone,
}


SOME = (("creds torn", False), ("all gone", False), ("database emptied", False), ("no creds", True))


@pytest.mark.parametrize(
    ("damage", "whole"),
    [
        pytest.param(damage, whole, marks=[] if (damage, whole) in SOME else pytest.mark.long)
        for damage in WAYS
        for whole in (False, True)
    ],
)
def test_only_the_session_comes_back(
    among: AmongPlace, monkeypatch: pytest.MonkeyPatch, damage: str, *, whole: bool
) -> None:
    """Whether little of it differs or all is replaced: the project is what it was, to stat too."""
    manager = among.linked()
    wanted, beside = session(among.live), neighbours(among.live)
    WAYS[damage](among.live)
    broken = session(among.live)
    if whole:
        monkeypatch.setattr(delta, "surely_much", lambda *_args: True)
    restored = manager.restore(ID)
    assert restored.action == "restored"
    assert session(among.live) == wanted
    assert neighbours(among.live) == beside
    assert among.live.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in (among.live).glob(".*")] == []
    if broken:
        assert restored.quarantined is not None
        held = among.store / "quarantine" / restored.quarantined
        if not held.is_dir():
            held = manager.export(ID, among.root / "out", restored.quarantined)
        assert tree(held) == broken


def test_a_snapshot_holds_the_session_and_nothing_else(among: AmongPlace) -> None:
    """The project's own may be as large as it likes, and holds other secrets."""
    manager = among.linked()
    (snapshot,) = manager.snapshots(ID)
    manager.export(ID, among.root / "out", snapshot.id)
    assert tree(among.root / "out") == session(among.live)
    info = manager.info(ID)
    assert info["exists"]
    assert info["files"] == 4
    assert info["path"] == str(among.live)


def test_no_other_folder_of_the_project_is_walked(
    among: AmongPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project may have a hundred thousand files: only what is named is looked into."""
    manager = session_and_project(among)
    really, walked = os.scandir, set[str]()

    def noting(fd: int | str) -> object:
        at = f"/proc/self/fd/{fd}" if isinstance(fd, int) else fd
        walked.add(os.path.realpath(at))
        return really(fd)

    monkeypatch.setattr(os, "scandir", noting)
    manager.backup(ID)
    manager.check(ID)
    own = {str(among.live), str(among.live / "keys")}
    assert {path for path in walked if path.startswith(str(among.live))} == own


def test_nothing_of_ours_appears_above_or_stays_in_the_project(among: AmongPlace) -> None:
    """The lock lies in `sessions`, private; what a restore stages is gone with its end."""
    manager = among.linked()
    WAYS["creds torn"](among.live)
    manager.restore(ID)
    lock = manager.lock_for(ID).path
    assert lock == among.root / "sessions" / f".session-{ID}.lock"
    assert lock.stat().st_mode & 0o777 == 0o600
    assert lock.parent.stat().st_mode & 0o777 == 0o700
    ours = {"project", "sessions", ".session-cache", "session-state.json"}
    assert {path.name for path in among.root.iterdir()} == ours
    manager.make_folder(ID)
    assert among.live.stat().st_mode & 0o777 == 0o755


def test_a_cleared_session_leaves_the_project(among: AmongPlace) -> None:
    """Only what is named goes to quarantine, and stays away; the folder remains."""
    manager = among.linked()
    was, beside = session(among.live), neighbours(among.live)
    held = manager.clear(ID)
    assert held is not None
    assert session(among.live) == {}
    assert neighbours(among.live) == beside
    assert tree(among.store / "quarantine" / held) == was
    with pytest.raises(NothingToRestore):
        manager.restore(ID)
    assert manager.fold_quarantine(ID)
    assert neighbours(among.live) == beside
    assert manager.clear("another") is None


def test_companions_of_a_database_go_with_it(among: AmongPlace) -> None:
    """A journal is copied and moved; shared memory is not kept, and goes before another comes."""
    manager = session_and_project(among)
    manager.note_linked(ID, "1:aa")
    (among.live / "store.db-wal").write_bytes(b"")
    manager.backup(ID)
    wanted, beside = session(among.live), neighbours(among.live)
    (among.live / "store.db").write_bytes(b"no database")
    (among.live / "creds.json").write_text("{torn")
    for end in ("-wal", "-journal", "-shm"):
        (among.live / f"store.db{end}").write_text(f"of another time {end}")
    assert manager.restore(ID).action == "restored"
    assert session(among.live) == wanted
    assert neighbours(among.live) == beside
    (among.live / "store.db-shm").write_text("of another time")
    manager.clear(ID)
    assert session(among.live) == {}


def test_a_folder_in_the_way_is_left_and_told(among: AmongPlace) -> None:
    """A database comes back with its journal, or not at all: that name may not be the project's."""
    manager = session_and_project(among)
    manager.note_linked(ID, "1:aa")
    (among.live / "store.db-journal").write_bytes(bytes(30))
    manager.backup(ID)
    exported = manager.export(ID, among.root / "out")
    (among.live / "store.db-journal").unlink()
    all_gone(among.live)
    (among.live / "store.db-journal").mkdir()
    (among.live / "store.db-journal" / "mine").write_text("of the project")
    for act in (lambda: manager.restore(ID), lambda: manager.import_(ID, exported)):
        with pytest.raises(SupervisorError, match="is a folder, and no part of the session"):
            act()
    manager.clear(ID)
    assert (among.live / "store.db-journal" / "mine").read_text() == "of the project"
    assert not list(among.live.glob(".*"))


def test_two_sessions_share_a_folder(among: AmongPlace) -> None:
    """Each has its own names: what becomes of one leaves the other's as they are."""
    manager = among.linked(
        parts={ID: PARTS, "two": ("*.sess",)}, paths={ID: among.live, "two": among.live}
    )
    (among.live / "two.sess").write_text("the other one")
    manager.note_linked("two", "2:bb")
    assert manager.backup("two").verdict == "good"
    one, looks = session(among.live), (among.live / "two.sess").lstat()
    assert manager.clear(ID)
    assert session(among.live) == {}
    assert (among.live / "two.sess").lstat() == looks
    (among.live / "two.sess").write_bytes(b"")
    fill(among.live)
    one = session(among.live)
    assert manager.restore("two").action == "restored"
    assert (among.live / "two.sess").read_text() == "the other one"
    assert session(among.live) == one
    assert manager.ids() == [ID, "two"]


def test_who_has_another_file_of_the_project_open_is_no_writer(among: AmongPlace) -> None:
    """An editor has the bot's source open all day; a database that is open is another matter."""
    manager = among.linked()
    WAYS["creds torn"](among.live)
    with (among.live / "store.db.bak").open("r+b"):
        assert manager.backup(ID).verdict == "bad"
        assert manager.restore(ID).action == "restored"
    with (
        (among.live / "store.db").open("r+b"),
        pytest.raises(SessionBusy, match="open for writing"),
    ):
        manager.clear(ID)


def test_a_kind_is_recognised_by_the_session_alone(among: AmongPlace) -> None:
    """The credentials of another program that lie beside it make it no session of that kind."""
    session_and_project(among)
    manager = among.manager(parts={ID: ("other.session",)})
    manager.backup(ID)
    (newest,) = manager.store.listing(ID).snapshots
    assert newest.profile == "generic"
    assert newest.at_rest is None
    named = among.manager()
    named.backup(ID)
    assert named.store.listing(ID).snapshots[-1].profile == "stillhere"


def test_a_kind_that_looks_for_a_pattern_finds_the_session_alone(among: AmongPlace) -> None:
    """With another bot's file of the same kind beside it, it is not taken for that one's."""

    def device(folder: Path) -> str | None:
        listed = {path.name for path in folder.iterdir()}
        found = [*folder.glob("*.session"), *folder.rglob("*.session")]
        assert listed == {path.name for path in found}
        return ",".join(sorted({path.read_text() for path in found})) or None

    kind = Profile(name="k", identity=device, identified_by=("*.session",), reports_same=True)
    session_and_project(among)
    (among.live / "mine.session").write_text("7")
    manager = among.manager(parts={ID: ("mine.session",)}, profile=kind)
    manager.note_linked(ID, "7")
    assert manager.backup(ID).verdict == "good"
    assert manager.check(ID).identity == "7"


def test_what_is_of_the_session_no_more_is_never_placed(among: AmongPlace) -> None:
    """An old snapshot that holds more than is named now writes over nothing of the project."""
    wide = (*PARTS, "bot.py", "secret")
    manager = among.linked(parts={ID: wide})
    manager.commit(manager.capture(ID, reason="sealed", generation=0, hot=False))
    (among.live / "bot.py").write_text("print('a newer bot')\n")
    beside = neighbours(among.live)
    narrow = among.manager()
    assert narrow.check(ID).verdict == "passed"
    all_gone(among.live)
    assert narrow.restore(ID).action == "restored"
    assert neighbours(among.live) == beside
    WAYS["creds torn"](among.live)
    assert narrow.restore(ID).action == "restored"
    assert neighbours(among.live) == beside
    assert narrow.backup(ID).verdict == "good"
    assert len(manager.snapshots(ID)) == 2, "it holds more than the session that is there"


def test_a_snapshot_of_other_names_ends_no_link(among: AmongPlace) -> None:
    """Whoever names other files has lost nothing: that is said, and the link stays."""
    among.linked()
    own, beside = session(among.live), neighbours(among.live)
    manager = among.manager(parts={ID: ("elsewhere.db",)})
    assert manager.check(ID).verdict == "absent"
    with pytest.raises(SupervisorError, match="holds nothing that is called") as raised:
        manager.restore(ID)
    assert not isinstance(raised.value, NothingToRestore)
    assert manager.record(ID).state == "linked"
    assert session(among.live) == own
    assert neighbours(among.live) == beside


def test_a_snapshot_that_holds_more_is_not_this_session(among: AmongPlace) -> None:
    """With fewer names a new one is taken, though none of its files has changed."""
    among.linked(parts={ID: (*PARTS, "bot.py")})
    narrow = among.manager()
    taken = narrow.backup(ID)
    assert tree(narrow.export(ID, among.root / "out", taken.id)) == session(among.live)
    assert narrow.backup(ID).id == taken.id


def test_a_store_on_another_disk_needs_no_room_there(
    among: AmongPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is put aside stays in the project's folder until it is folded; then it is gone."""
    among.store.mkdir()
    with disk_at(among.store):
        manager = among.linked()
        beside = neighbours(among.live)
        WAYS["creds torn"](among.live)
        broken = session(among.live)
        monkeypatch.setattr(delta, "surely_much", lambda *_args: True)
        held = manager.restore(ID).quarantined
        assert held is not None
        assert tree(among.live / f".{held}") == broken
        assert manager.check(ID).verdict == "passed"
        assert manager.fold_quarantine(ID)
        assert neighbours(among.live) == beside


def test_the_folder_itself_may_be_gone(among: AmongPlace) -> None:
    """It is made again as any folder is: it is the project's, and not private."""
    manager = among.linked()
    wanted = session(among.live)
    shutil.rmtree(among.live)
    assert manager.check(ID).verdict == "absent"
    old = os.umask(0o022)
    try:
        assert manager.restore(ID).action == "restored"
    finally:
        os.umask(old)
    assert session(among.live) == wanted
    assert among.live.stat().st_mode & 0o777 == 0o755


def test_another_users_session_needs_a_folder_of_its_own(among: AmongPlace) -> None:
    """Whoever writes into the folder at any time could lead root anywhere."""
    session_and_project(among)
    manager = among.manager(belongs=Belonging(12_345, 12_345))
    acts: tuple[Callable[[], object], ...] = (
        lambda: manager.backup(ID),
        lambda: manager.make_folder(ID),
        lambda: manager.clear(ID),
    )
    for act in acts:
        with pytest.raises(SupervisorError, match="lies among other files"):
            act()
    assert session(among.live)


def test_no_pattern_reaches_what_is_ours(tmp_path: Path) -> None:
    """Not the store, the state file, the sessions, nor what a restore stages, whatever it says."""
    (tmp_path / "anything").write_text("a session")
    manager = SessionManager(
        tmp_path / "sessions",
        tmp_path / "cache",
        tmp_path / "state.json",
        parts={ID: ("*",)},
        paths={ID: tmp_path},
    )
    manager.note_linked(ID, None)
    manager.backup(ID)
    assert manager.info(ID)["files"] == 1
    (tmp_path / "anything").write_bytes(b"")
    assert manager.restore(ID).action == "restored"
    assert (tmp_path / "anything").read_text() == "a session"
    manager.clear(ID)
    assert {path.name for path in tmp_path.iterdir()} == {"sessions", "cache", "state.json"}


def test_a_link_into_the_project_is_kept_as_a_link(among: AmongPlace) -> None:
    """What it leads to is not of the session: nothing of that is copied, and it is said."""
    manager = session_and_project(among)
    (among.live / "keys" / "code").symlink_to("../bot.py")
    (among.live / "keys" / "also").symlink_to("one")
    manager.backup(ID)
    (newest,) = manager.store.listing(ID).snapshots
    assert [note for note in newest.notes if "keys/code" in note]
    assert not [note for note in newest.notes if "keys/also" in note]


def test_a_database_in_use_is_copied_whole(among: AmongPlace) -> None:
    """A backup by hand while the bot writes is SQLite's own copy, and fuzzy."""
    manager = session_and_project(among)
    with closing(sqlite3.connect(among.live / "store.db")) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM keys")
        write_key(among.live, "meanwhile")
        assert manager.backup(ID).verdict == "fuzzy"
