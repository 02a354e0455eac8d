"""One copy, ever: the bytes of the lock file, on real descriptors and real processes."""

import errno
import fcntl
import itertools
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.core.errors import SessionBusy, SupervisorError
from supervisor.session.lock import OwnerLock, boot_id, start_ticks
from supervisor.session.manager import SessionManager
from tests.unit.session.diskkit import unopened

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from pathlib import Path
from supervisor.session.lock import OwnerLock
lock = OwnerLock(Path(sys.argv[1]), "x")
lock.acquire(control="/run/ask-here.sock")
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def lock(tmp_path: Path) -> OwnerLock:
    """A lock in a folder that is not there yet."""
    return OwnerLock(tmp_path / "sessions", "x")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_keeps_nobody_from_the_lock(
    lock: OwnerLock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It is held without a name in it: else the command that makes room could not be run."""

    def full(*_args: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        lock.acquire()
    assert lock.held
    with pytest.raises(SessionBusy, match="in use by another process"):
        OwnerLock(lock.path.parent, "x").acquire()
    lock.release()


def test_a_disk_that_fails_leaves_nobody_locked_out(
    lock: OwnerLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who could not write its name down for another reason does not hold the lock either."""

    def fails(*_args: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", fails)
        with pytest.raises(OSError, match="Input/output"):
            lock.acquire()
    assert not lock.held
    lock.acquire()
    lock.release()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EACCES, "the right to"), (errno.ELOOP, "remove what"), (errno.EMFILE, "do it again")],
)
def test_a_lock_that_cannot_be_opened_says_what_helps(
    lock: OwnerLock, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    """Only what is in its place is to be removed, and not a lock that we may not look at."""
    unopened(monkeypatch, str(lock.path).__eq__, number)
    with pytest.raises(SupervisorError, match="cannot be opened") as refused:
        lock.acquire()
    assert remedy in refused.value.hint
    assert ("remove" in refused.value.hint) is (number == errno.ELOOP)


def test_the_owner_is_named(lock: OwnerLock) -> None:
    """Who finds it busy is told the pid and whom to ask; killed, the owner has it no more."""
    command = [sys.executable, "-c", HOLDER, str(lock.path.parent)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "ready\n"
        body = json.loads(lock.path.read_text())
        assert body == {
            "pid": holder.pid,
            "start_ticks": start_ticks(holder.pid),
            "boot_id": boot_id(),
            "control": "/run/ask-here.sock",
        }
        with pytest.raises(SessionBusy, match=f"in use by pid {holder.pid}") as busy:
            lock.acquire()
        assert (busy.value.pid, busy.value.control) == (holder.pid, "/run/ask-here.sock")
        assert not lock.held
        holder.kill()
        holder.wait(10)
        lock.acquire()
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    lock.release()
    assert lock.path.read_text() == ""
    assert lock.path.exists()  # never unlinked: somebody may be about to lock it


def test_two_opens_in_one_process_are_two_holders(lock: OwnerLock) -> None:
    """Closing another descriptor of the file gives nothing away, as it would with POSIX locks."""
    other = OwnerLock(lock.path.parent, "x")
    with lock:
        lock.acquire()  # twice is once
        with pytest.raises(SessionBusy):
            other.acquire()
        os.close(os.open(lock.path, os.O_RDWR))
        lock.path.read_text()
        with pytest.raises(SessionBusy):
            other.acquire()
    other.acquire()
    other.release()
    other.release()


@pytest.mark.parametrize("body", ["", "no json", "[1]", '{"pid": "1"}', '{"pid": null}'])
def test_an_owner_that_is_not_told_is_still_one(lock: OwnerLock, body: str) -> None:
    """A file's body that says nothing useful changes nothing about who holds it."""
    with lock:
        lock.path.write_text(body)
        with pytest.raises(SessionBusy, match="another process") as busy:
            OwnerLock(lock.path.parent, "x").acquire()
        assert busy.value.pid is None
        assert busy.value.control is None


def test_each_generation_has_its_byte(lock: OwnerLock) -> None:
    """Survivors come by number, with or without an owner; a byte is given out once."""
    assert lock.survivors() == ()
    with lock:
        fds = {number: lock.generation_fd(number) for number in (1, 4, 5, 1 << 40)}
        assert lock.survivors() == (1, 4, 5, 1 << 40)
        assert [lock.free(number) for number in (1, 2, 4)] == [False, True, False]
        with pytest.raises(SessionBusy, match="generation 4"):
            lock.generation_fd(4)
        os.close(fds.pop(4))
        assert lock.survivors() == (1, 5, 1 << 40)
    assert lock.survivors() == (1, 5, 1 << 40)
    with OwnerLock(lock.path.parent, "x") as next_owner:  # a survivor does not keep byte 0
        assert next_owner.survivors() == (1, 5, 1 << 40)
    for fd in fds.values():
        os.close(fd)
    assert lock.survivors() == ()


def test_survivors_are_found_whatever_the_order_they_came_in(lock: OwnerLock) -> None:
    """The kernel names any lock, not the lowest; and one of all bytes has an end, too."""
    for order in itertools.permutations((3, 5, 7)):
        fds = [lock.generation_fd(number) for number in order]
        assert lock.survivors() == (3, 5, 7)
        for fd in fds:
            os.close(fd)
    with lock.path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 0, 2)
        assert lock.survivors() == (2,)


def test_a_byte_ends_with_its_last_holder(lock: OwnerLock) -> None:
    """Passed on to a child, it stays held until that one ends; the owner's goes to nobody."""
    with lock:
        fd = lock.generation_fd(9)
        with subprocess.Popen(
            [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[fd],
        ) as child:
            os.close(fd)
            assert child.stdout
            assert child.stdin
            assert child.stdout.readline() == b"up\n"
            assert lock.survivors() == (9,)
            lock.release()
            OwnerLock(lock.path.parent, "x").acquire()  # byte 0 was not inherited
            child.stdin.close()
            child.wait(10)
        assert lock.survivors() == ()


def test_a_link_in_its_place_is_refused(lock: OwnerLock, tmp_path: Path) -> None:
    """Neither followed nor replaced; a folder or a pipe is no lock either."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock.path.parent.mkdir()
    lock.path.symlink_to(victim)
    for act in (lock.acquire, lock.survivors, lambda: lock.generation_fd(1)):
        with pytest.raises(SupervisorError, match="cannot be opened") as refused:
            act()
        assert refused.value.hint
    assert victim.read_text() == "precious"
    assert stat.S_IMODE(victim.stat().st_mode) != 0o600
    lock.path.unlink()
    lock.path.mkdir()
    with pytest.raises(SupervisorError, match="cannot be opened"):
        lock.acquire()
    lock.path.rmdir()
    os.mkfifo(lock.path)
    with pytest.raises(SupervisorError, match="not a plain file"):
        lock.acquire()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_is_for_its_owner_alone(lock: OwnerLock, umask: int) -> None:
    """Mode 0600 in a 0700 folder, whatever the umask, and again if somebody widened it."""
    before = os.umask(umask)
    try:
        with lock:
            assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert stat.S_IMODE(lock.path.parent.stat().st_mode) & 0o077 == 0
    lock.path.chmod(0o666)
    with lock:
        assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600


def test_one_folder_under_two_ids_is_one_session(tmp_path: Path) -> None:
    """As where two projects link to one volume: who is second is told who is first, and as what.

    A bot that outlived its supervisor counts, too. Other folders beside it do not.
    """
    volume = tmp_path / "volume"
    volume.mkdir()
    sessions = {name: OwnerLock(tmp_path, name, volume) for name in ("one", "two")}
    other = OwnerLock(tmp_path, "three", tmp_path / "other")
    with sessions["one"] as first, other:
        with pytest.raises(SessionBusy, match=f"by pid {os.getpid()}, as session one") as caught:
            sessions["two"].acquire()
        assert caught.value.pid == os.getpid()
        assert not sessions["two"].held
        bot = first.generation_fd(3)
    with sessions["one"]:
        pass  # its own bot keeps nobody from it who is to end that
    sessions["one"].acquire()
    os.close(sessions["one"].carry() or -1)  # killed: nothing is given back
    with pytest.raises(SessionBusy, match="in use by another process, as session one"):
        sessions["two"].acquire()
    os.close(bot)
    with sessions["two"]:
        pass


def test_the_sessions_of_one_project_keep_their_own_folders(tmp_path: Path) -> None:
    """A manager's lock knows the place: also where a link leads to it."""
    volume = tmp_path / "volume"
    volume.mkdir()
    managers = []
    for name in ("a", "b"):
        link = tmp_path / name / "auth"
        link.parent.mkdir()
        link.symlink_to(volume)
        managers.append(
            SessionManager(
                tmp_path / name / "sessions",
                tmp_path / name / ".session-cache",
                tmp_path / name / "state.json",
                paths={name: link},
            )
        )
    one, two = managers
    with one.lock_for("a"), pytest.raises(SessionBusy, match="as session a"):
        two.lock_for("b").acquire()
    with two.lock_for("b"):
        pass


def test_a_process_that_is_gone_has_no_start() -> None:
    """The start time of a pid tells one process from the next of that number."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        child.wait(10)
    with pytest.raises(ProcessLookupError):
        start_ticks(child.pid)
    assert start_ticks(os.getpid()) > 0
