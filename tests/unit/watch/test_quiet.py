"""How much patience a change needs, and whether somebody still writes a file."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from supervisor.watch.quiet import (
    AGAIN_S,
    LONG_S,
    MANY,
    MANY_WITHIN_S,
    SHORT_S,
    WARY_S,
    Quiet,
    written,
)

USUAL_S = 0.06


def test_one_whole_file_needs_less_patience_than_anything_else() -> None:
    """Which is what an editor saves."""
    quiet = Quiet(USUAL_S)
    assert quiet.window_s(100.0, alone=True) == SHORT_S
    assert quiet.window_s(100.0, alone=False) == USUAL_S
    assert not quiet.patient(100.0)


def test_a_change_soon_after_another_makes_wary_and_that_passes() -> None:
    """One file was not all; the next one may not be either."""
    quiet = Quiet(USUAL_S)
    quiet.told(100.0)
    assert quiet.window_s(100.1, alone=True) == SHORT_S, "the first is still on its own"
    assert quiet.patient(100.1), "what comes now comes on top"
    assert not quiet.patient(100.0 + AGAIN_S)
    quiet.told(100.2)
    assert quiet.window_s(101.0, alone=True) == USUAL_S
    assert quiet.patient(100.1 + WARY_S)
    assert quiet.window_s(100.2 + WARY_S, alone=True) == SHORT_S
    assert not quiet.patient(100.2 + WARY_S)


def test_saves_that_keep_coming_are_waited_for_longer() -> None:
    """A formatter that goes through a project would restart the bot for each file."""
    quiet = Quiet(USUAL_S)
    for n in range(MANY):
        quiet.told(100.0 + n * 0.4)
    end = 100.0 + (MANY - 1) * 0.4
    assert quiet.window_s(end, alone=True) == LONG_S
    assert quiet.window_s(end, alone=False) == LONG_S
    assert quiet.patient(end)
    assert quiet.window_s(100.0 + MANY_WITHIN_S, alone=False) == USUAL_S


def test_who_asked_for_another_window_is_not_given_a_longer_one() -> None:
    """Nor one that is too short for what keeps coming."""
    assert Quiet(0.01).window_s(100.0, alone=True) == 0.01
    slow = Quiet(0.5)
    for n in range(MANY):
        slow.told(100.0 + n * 0.3)
    assert slow.window_s(101.0, alone=True) == 0.5


HOLD_IT = "import sys; f = open(sys.argv[1], 'a'); print(flush=True); input()"


def test_a_file_is_written_as_long_as_anybody_has_it_open_for_that(tmp_path: Path) -> None:
    """Another process or this one; readers do not count."""
    path = tmp_path / "a.py"
    path.write_text("1")
    if written(str(path)) is None:
        pytest.skip("leases are not to be had here")
    with path.open():
        assert written(str(path)) is False
    with path.open("a"):
        assert written(str(path)) is True
    assert written(str(path)) is False
    writer = subprocess.Popen(
        [sys.executable, "-c", HOLD_IT, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert written(str(path)) is True
        writer.communicate(b"\n", timeout=10)
    assert written(str(path)) is False


def test_of_what_is_gone_or_not_ours_nobody_knows(tmp_path: Path) -> None:
    """Then it is waited for as usual."""
    assert written(str(tmp_path / "nothing")) is None
    assert written(os.devnull) is None
    assert written(str(tmp_path)) is None


BREAK_IT = """
import fcntl, os, sys
from supervisor.watch import quiet

class Slow:
    # Holds the lease until a writer has come, which is what it is not held for.
    def __getattr__(self, name):
        return getattr(fcntl, name)

    def fcntl(self, handle, command, argument=0):
        if command == fcntl.F_SETLEASE and argument == fcntl.F_UNLCK:
            try:
                os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
            except BlockingIOError:
                print("a writer came", flush=True)
        return fcntl.fcntl(handle, command, argument)

quiet.fcntl = Slow()
print(quiet.written(sys.argv[1]))
"""


def test_a_writer_that_comes_in_that_moment_does_us_no_harm(tmp_path: Path) -> None:
    """The signal that tells of it would kill us, were it the usual one."""
    path = tmp_path / "a.py"
    path.write_text("1")
    if written(str(path)) is None:
        pytest.skip("leases are not to be had here")
    done = subprocess.run(
        [sys.executable, "-c", BREAK_IT, str(path)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "a writer came\nFalse\n")


def test_no_lease_and_no_file_stays_behind(tmp_path: Path) -> None:
    """It would hold up who saves next."""
    path = tmp_path / "a.py"
    path.write_text("1")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(100):
        written(str(path))
    assert set(os.listdir("/proc/self/fd")) == before
    with path.open() as file:
        assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_UNLCK
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
