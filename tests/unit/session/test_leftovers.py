"""A lock that a browser left does not keep the next one from starting; a live one's does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.session.leftovers import clear_leftovers

HOST = os.uname().nodename
LINKS = ("SingletonCookie", "SingletonLock", "SingletonSocket")


def left(folder: Path) -> list[str]:
    """Return which of the links are there."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("Singleton"))


def locked(folder: Path, host: str, pid: int | str) -> Path:
    """Make a profile as a browser leaves it."""
    folder.mkdir()
    (folder / "Local State").write_text("{}")
    (folder / "SingletonLock").symlink_to(f"{host}-{pid}")
    (folder / "SingletonCookie").symlink_to("1234567890")
    (folder / "SingletonSocket").symlink_to("/nowhere/SingletonSocket")
    return folder


def a_dead_pid() -> int:
    """Return the number of a process that has just ended."""
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    return process.pid


@contextmanager
def living(*words: str, cwd: Path | None = None) -> Iterator[int]:
    """Run a program with these words in its command line, until the end of the block."""
    code = "import sys; f = open(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def test_the_lock_of_a_dead_browser_goes(tmp_path: Path) -> None:
    """And what belongs to it; nothing else does, and a second time there is nothing to do."""
    pid = a_dead_pid()
    folder = locked(tmp_path / "profile", HOST, pid)
    (told,) = clear_leftovers(folder)
    assert told == (f"removed the lock that a browser that is gone left in its profile (pid {pid})")
    assert [path.name for path in folder.iterdir()] == ["Local State"]
    assert clear_leftovers(folder) == []


def test_the_lock_of_another_host_goes(tmp_path: Path) -> None:
    """A container has a new name each time; its number says nothing here."""
    folder = locked(tmp_path / "profile", "3f9-ab12", os.getpid())
    (told,) = clear_leftovers(folder)
    assert "'3f9-ab12'" in told
    assert left(folder) == []


@pytest.mark.parametrize("how", ["absolute", "relative", "linked", "open"])
def test_a_browser_that_lives_is_left_alone(tmp_path: Path, how: str) -> None:
    """However its profile is named: we refuse, with its pid and what to do."""
    folder = locked(tmp_path / "profile", HOST, 1)
    (tmp_path / "link").symlink_to(folder)
    option = {"absolute": str(folder), "relative": "profile", "linked": str(tmp_path / "link")}
    words = [f"--user-data-dir={option[how]}"] if how in option else []
    held = folder / "Local State" if how == "open" else Path(os.devnull)
    with living(str(held), *words, cwd=tmp_path) as pid:
        (folder / "SingletonLock").unlink()
        (folder / "SingletonLock").symlink_to(f"{HOST}-{pid}")
        with pytest.raises(SupervisorError, match=f"pid {pid}") as caught:
            clear_leftovers(folder)
        assert f"kill {pid}" in caught.value.hint
        assert left(folder) == list(LINKS)
    assert len(clear_leftovers(folder)) == 1


def test_another_process_with_its_number_is_not_taken_for_it(tmp_path: Path) -> None:
    """Neither any program, nor a browser that has another profile."""
    for name, words in (("a", []), ("b", [f"--user-data-dir={tmp_path / 'other'}"])):
        with living(os.devnull, *words) as pid:
            folder = locked(tmp_path / name, HOST, pid)
            assert len(clear_leftovers(folder)) == 1
            assert left(folder) == []


@pytest.mark.parametrize("target", ["nonsense", "-12", f"{HOST}-", f"{HOST}-x", f"{HOST}-0"])
def test_what_is_no_lock_is_left_to_the_browser(tmp_path: Path, target: str) -> None:
    """It mends that itself."""
    folder = locked(tmp_path / "profile", "host", 1)
    (folder / "SingletonLock").unlink()
    (folder / "SingletonLock").symlink_to(target)
    assert clear_leftovers(folder) == []
    assert left(folder) == list(LINKS)


def test_only_links_are_removed(tmp_path: Path) -> None:
    """What a person put there under such a name stays; so does what a link leads to, or lies in."""
    folder = locked(tmp_path / "profile", HOST, a_dead_pid())
    (folder / "SingletonCookie").unlink()
    (folder / "SingletonCookie").write_text("mine")
    (folder / "SingletonSocket").unlink()
    (tmp_path / "kept").write_text("kept")
    (folder / "SingletonSocket").symlink_to(tmp_path / "kept")
    assert len(clear_leftovers(folder)) == 1
    assert left(folder) == ["SingletonCookie"]
    assert (tmp_path / "kept").read_text() == "kept"
    assert clear_leftovers(tmp_path / "none") == []
    (tmp_path / "led").symlink_to(locked(tmp_path / "other", HOST, a_dead_pid()))
    assert clear_leftovers(tmp_path / "led") == []
