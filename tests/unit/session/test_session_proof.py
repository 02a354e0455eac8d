"""What a verdict rests on: what can't be read now, or for lack of room, is no proof of anything."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3

from supervisor.core.errors import SupervisorError
from supervisor.session.manager import SessionManager
from supervisor.session.model import Snapshot, UnreadableBlob
from supervisor.session.proof import validate
from supervisor.session.scan import Seen
from supervisor.session.storage.entries import Blob, EntryReader, made
from supervisor.session.storage.listing import InFile
from supervisor.session.storage.packs import BlobReader
from tests.unit.session.leveldbkit import Set
from tests.unit.session.sessionkit import ID, Place, fill, tree, write_key


def _committed(manager: SessionManager, reason: str) -> Snapshot:
    """Take a snapshot that has no verdict yet."""
    capture = manager.capture(ID, reason=reason, generation=1, hot=False)
    return manager.commit(capture, validate=False)


def _fail_lists(monkeypatch: pytest.MonkeyPatch, fails: Callable[[str], bool]) -> None:
    """Have the list of a snapshot unreadable where `fails` says so of its name."""
    real = InFile.lines

    def lines(self: InFile) -> bytes:
        if fails(self.path.stem):
            raise UnreadableBlob(f"{self.path.name} can't be read: Input/output error")
        return real(self)

    def entries(self: InFile) -> object:
        if fails(self.path.stem):
            raise UnreadableBlob(f"{self.path.name} can't be read: Input/output error")
        return real_entries(self)

    real_entries = InFile.entries
    monkeypatch.setattr(InFile, "lines", lines)
    monkeypatch.setattr(InFile, "entries", entries)


def test_a_list_that_is_read_at_the_second_try_condemns_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read error passes: the snapshot waits for its verdict, and gets the right one."""
    write = place.linked()
    write_key(place.live, "later")
    snapshot = _committed(write, "later")
    errors = [True]
    with monkeypatch.context() as patch:
        _fail_lists(patch, lambda name: name == snapshot.id and bool(errors) and errors.pop())
        assert place.manager().validate(ID, snapshot.id).verdict == "pending"
    assert place.manager().validate(ID, snapshot.id).verdict == "good"


def test_a_copy_is_not_good_because_the_older_list_cannot_be_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compared with nothing, a session in which a database was emptied would look whole."""
    fill(place.live)
    with closing(sqlite3.connect(place.live / "more.db")) as database, database:
        database.execute("CREATE TABLE a(b)")
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    good = manager.backup(ID, "linked")
    (place.live / "more.db").write_bytes(b"")
    emptied = _committed(manager, "emptied")
    with monkeypatch.context() as patch:
        _fail_lists(patch, lambda name: name == good.id)
        assert place.manager().validate(ID, emptied.id).verdict == "pending"
    assert place.manager().validate(ID, emptied.id).verdict == "bad"


def test_one_that_cannot_be_read_is_compared_with_the_good_one_before_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list on a bad sector must not hold up every later verdict."""
    fill(place.live)
    log = Set().write(place.live / "set") / "000008.log"
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    assert manager.backup(ID, "first").verdict == "good"
    write_key(place.live, "second")
    second = manager.backup(ID, "second")
    os.truncate(log, log.stat().st_size - 1)  # which only an older list can tell
    third = _committed(manager, "third")
    _fail_lists(monkeypatch, lambda name: name == second.id)
    assert place.manager().validate(ID, third.id).verdict == "bad"


def test_whether_it_was_json_is_not_guessed_for_good(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older file can't be read now: a torn one is not called whole for that."""
    fill(place.live)
    (place.live / "app.json").write_text('{"a": 1}')
    manager = place.manager()
    manager.note_linked(ID, "1:aa")
    manager.backup(ID, "linked")
    (place.live / "app.json").write_text('{"a": ')
    torn = _committed(manager, "torn")
    hashed = blake3(b'{"a": 1}').hexdigest()
    real = BlobReader.read

    def read(self: BlobReader, blob: Blob) -> bytes:
        if blob.hash == hashed:
            raise UnreadableBlob(f"{blob.pack} can't be read: Input/output error")
        return real(self, blob)

    with monkeypatch.context() as patch:
        patch.setattr(BlobReader, "read", read)
        assert place.manager().validate(ID, torn.id).verdict == "pending"
    assert place.manager().validate(ID, torn.id).verdict == "bad"


def _with_journal(folder: Path) -> Path:
    """Return a database beside the -wal that it needs, as a killed bot leaves it."""
    live = folder / "live.db"
    target = folder / "copy.db"
    with closing(sqlite3.connect(live)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE a(b)")
        database.commit()
        for end in ("", "-wal"):
            shutil.copy(f"{live}{end}", f"{target}{end}")
    return target


@pytest.mark.parametrize(
    "lack", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_SHMSIZE]
)
def test_a_lack_of_ours_says_nothing_about_a_database(
    place: Place, monkeypatch: pytest.MonkeyPatch, lack: int
) -> None:
    """To open one beside its journal takes room: with none, nobody knows whether it is whole."""

    class Full(sqlite3.Connection):
        def execute(self, *_args: object) -> sqlite3.Cursor:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = lack
            raise error

    target = _with_journal(place.root)
    real = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **k, factory=Full))
        with pytest.raises(sqlite3.OperationalError):
            validate.sqlite_problem(str(target))
    assert validate.sqlite_problem(str(target)) == ""


def test_what_the_validator_died_of_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the verdict waits, as it does whenever the validator can't be run."""
    manager = place.linked()
    with closing(sqlite3.connect(place.live / "store.db")) as database, database:
        database.execute("CREATE TABLE more(b)")
    snapshot = _committed(manager, "more")
    program = place.root / "fails.py"
    program.write_text("raise MemoryError('too little of it')")
    monkeypatch.setattr(validate, "__file__", str(program))
    with pytest.raises(SupervisorError, match="MemoryError: too little of it"):
        manager.validate(ID, snapshot.id)
    monkeypatch.undo()
    assert manager.validate(ID, snapshot.id).verdict == "good"


def test_a_damaged_snapshot_is_not_the_session_once_the_damaged_file_is_gone(place: Place) -> None:
    """What is left over of its list is all of the live session, and it can't be restored."""
    manager = place.linked()
    (place.live / "keys" / "two").write_bytes(os.urandom(5_000))
    damaged = manager.backup(ID, "damaged")
    pack = place.store / "packs" / place.packs()[-1]
    raw = bytearray(pack.read_bytes())
    raw[100] ^= 1
    pack.write_bytes(raw)
    assert manager.verify(ID, damaged.id)
    (place.live / "keys" / "two").unlink()
    whole = manager.backup(ID, "whole")
    assert whole.seq > damaged.seq
    assert manager.verify(ID, whole.id) == ""


def test_an_adopted_session_is_linked_for_the_store_too(place: Place) -> None:
    """Not a byte has changed since it was copied, but it belongs to a link now."""
    fill(place.live)
    manager = place.manager()
    manager.backup(ID, "before")
    manager.note_verified(ID, "1:aa", "identity", 1.0)
    manager.backup(ID, "linked")
    place.state.unlink()
    record = place.manager().record(ID)
    assert (record.state, record.identity) == ("linked", "1:aa")


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EOPNOTSUPP])
def test_only_what_the_kernel_calls_a_hole_is_one(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A filesystem that can't say where data is has it read, and not taken for zeros."""
    manager = place.linked()
    with (place.live / "keys" / "map").open("wb") as file:
        file.write(b"x" * 300_000)
        file.truncate(2_000_000)

    def lseek(_fd: int, _at: int, _how: int) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "lseek", lseek)
        snapshot = manager.backup(ID)
    out = manager.export(ID, place.root / "out", snapshot.id)
    assert tree(out) == tree(place.live)


def test_a_time_far_off_does_not_make_the_list_unreadable() -> None:
    """Some filesystems keep any time that somebody set: nanoseconds beyond 64 bits too."""
    far_ns = 33 * 10**18  # the year 3015
    seen = Seen("file", 0o600, 0, far_ns, -far_ns, 1)
    assert EntryReader("manifest", {}).entry(made("one", seen).line).seen == seen


@pytest.mark.parametrize("name", ["creds.json", "store.db", "CURRENT"])
def test_a_lack_of_descriptors_condemns_no_file(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The check fails, and says so; it does not call the session damaged, which ends it."""
    manager = place.linked()
    Set().write(place.live / "set")
    write_key(place.live, "later")
    assert manager.backup(ID).verdict == "good"
    for path in place.live.rglob(name):
        os.utime(path, ns=(1, 10**18))  # else it need not be read
    real = os.open

    def full(path: str | os.PathLike[str], flags: int, *args: int, **more: int) -> int:
        if Path(path).name == name:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(path, flags, *args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises((OSError, SupervisorError), match="Too many open files"):
            manager.check(ID, quick=True)
    assert manager.check(ID).verdict == "passed"
