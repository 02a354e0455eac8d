"""After a save the new code runs, however alike the files look; nobody else can slip code in."""

import importlib.util
import os
import py_compile
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from supervisor.watch import bytecode, interpreters
from supervisor.watch.compiling import bytecode_path, is_checked
from tests.unit.watch.startkit import save, start

SAVES = 20


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests out of the user's own cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def saves_that_ran(project: Path, folder: Path, *, refreshed: bool) -> list[int]:
    """Save and start, over and over; return which saves ran their own code."""
    source = project / "module.py"
    (project / "main.py").write_text("import module; print(module.VALUE)\n")
    right = []
    for n in range(SAVES):
        save(source, n)
        if refreshed and n == 0:
            bytecode.refresh([source, project / "main.py"], folder, sys.executable)
        if start(project, folder) == f"{n + 100}":
            right.append(n)
    return right


def test_each_of_twenty_saves_of_one_length_in_one_second_runs(tmp_path: Path) -> None:
    """Checked bytecode, written once: each start runs what was saved last."""
    folder = bytecode.prefix()
    assert saves_that_ran(tmp_path, folder, refreshed=True) == list(range(SAVES))


def test_without_checked_bytecode_the_old_code_runs(tmp_path: Path) -> None:
    """What it is for: without it, the same saves run the first one's code."""
    folder = bytecode.prefix()
    assert saves_that_ran(tmp_path, folder, refreshed=False) == [0]


def test_a_module_that_the_bot_made_bytecode_of_is_checked_from_the_next_refresh(
    tmp_path: Path,
) -> None:
    """A file that is new, or was there before us."""
    folder = bytecode.prefix()
    source = tmp_path / "module.py"
    (tmp_path / "main.py").write_text("import module; print(module.VALUE)\n")
    save(source, 1)
    assert start(tmp_path, folder) == "101"
    assert not is_checked(str(source), bytecode_path(str(source), str(folder)))
    assert bytecode.refresh([source], folder, sys.executable) == 1
    save(source, 2)
    assert start(tmp_path, folder) == "102"
    assert is_checked(str(source), bytecode_path(str(source), str(folder)))


def test_bytecode_lies_where_python_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our way to name it is Python's own."""
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    for name in ("/a/b/module.py", "/x.y/a.b.py", "/a/b/__init__.py"):
        assert bytecode_path(name, str(tmp_path)) == importlib.util.cache_from_source(name)
        assert bytecode_path(name, str(tmp_path), ".opt-2") == importlib.util.cache_from_source(
            name, optimization=2
        )


@pytest.mark.parametrize("ours", [True, False])
def test_only_what_is_missing_stale_or_unchecked_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ours: bool
) -> None:
    """By us or by the bot's own interpreter; what does not compile, or is gone, stops nothing."""
    monkeypatch.setattr(interpreters, "same_version", lambda _: ours)
    folder = bytecode.prefix()
    good, bad, gone = (tmp_path / name for name in ("good.py", "bad.py", "gone.py"))
    good.write_text("a = 1\n")
    bad.write_text("a = (\n")
    files = [good, bad, gone, tmp_path / "data.json"]
    written = []
    for text in ("a = 1\n", "a = 1\n", "a = 2\n"):
        good.write_text(text)
        written.append(bytecode.refresh(files, folder, sys.executable))
    assert written == [1, 0, 1]
    assert is_checked(str(good), bytecode_path(str(good), str(folder)))
    assert not Path(bytecode_path(str(bad), str(folder))).exists()


def test_bytecode_of_a_file_that_no_longer_compiles_is_taken_away(tmp_path: Path) -> None:
    """Unchecked bytecode of the text before could still be run."""
    folder = bytecode.prefix()
    source = tmp_path / "module.py"
    (tmp_path / "main.py").write_text("import module; print(module.VALUE)\n")
    save(source, 1)
    start(tmp_path, folder)
    source.write_text("VALUE = (((\n")
    assert bytecode.refresh([source], folder, sys.executable) == 0
    assert not Path(bytecode_path(str(source), str(folder))).exists()


def test_bytecode_that_cant_be_replaced_is_not_left_unchecked(tmp_path: Path) -> None:
    """Something is in the way of the new one: rather none than one that Python would trust."""
    folder = bytecode.prefix()
    save(tmp_path / "module.py", 1)
    target = Path(bytecode_path(str(tmp_path / "module.py"), str(folder)))
    py_compile.compile(str(tmp_path / "module.py"), cfile=str(target))
    (tmp_path / "main.py").write_text("import module; print(module.VALUE)\n")
    beside = Path(f"{target}.{os.getpid()}.{threading.get_ident()}")
    beside.mkdir()
    save(tmp_path / "module.py", 2)
    assert bytecode.refresh([tmp_path / "module.py"], folder, sys.executable) == 0
    assert start(tmp_path, folder) == "102"


def test_optimized_bytecode_is_checked_too_where_there_is_any(tmp_path: Path) -> None:
    """A bot that runs under `python -O` has its own."""
    folder = bytecode.prefix()
    source = tmp_path / "module.py"
    source.write_text("a = 1\n")
    optimized = Path(bytecode_path(str(source), str(folder), ".opt-1"))
    optimized.parent.mkdir(parents=True)
    optimized.write_bytes(b"of another kind")
    assert bytecode.refresh([source], folder, sys.executable) == 2
    assert is_checked(str(source), str(optimized))


def test_a_failure_never_stops_a_restart(tmp_path: Path) -> None:
    """No interpreter, no place to write, no right to write."""
    source = tmp_path / "module.py"
    source.write_text("a = 1\n")
    assert bytecode.refresh([source], tmp_path / "p", str(tmp_path / "no-python")) == 0
    assert bytecode.refresh([source], bytecode.NOWHERE, sys.executable) == 0
    (tmp_path / "file").touch()
    assert bytecode.refresh([source], tmp_path / "file", sys.executable) == 0


def test_the_folder_is_the_owners_alone(own_cache: Path) -> None:
    """Bytecode is code: whatever the umask was, and whatever was there before."""
    old = os.umask(0)
    try:
        (own_cache / "stillhere").mkdir(parents=True, mode=0o777)
        folder = bytecode.prefix()
    finally:
        os.umask(old)
    for each in (folder, folder.parent):
        assert stat.S_IMODE(each.stat().st_mode) == 0o700
    assert folder == own_cache / "stillhere" / "pycache"
    assert bytecode.prefix() == folder


def test_where_no_private_folder_can_be_had_there_is_none(tmp_path: Path, own_cache: Path) -> None:
    """Python then compiles at each start, and nobody else's bytecode is run."""
    own_cache.touch()
    assert bytecode.prefix() == bytecode.NOWHERE
    own_cache.unlink()
    (own_cache / "stillhere").mkdir(parents=True)
    (own_cache / "stillhere" / "pycache").symlink_to(tmp_path)
    assert bytecode.prefix() == bytecode.NOWHERE


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3"'


def test_a_folder_that_nothing_can_be_written_to_any_more_is_not_used() -> None:
    """What lies in it unchecked would stay, and be run."""
    folder = bytecode.prefix()
    script = "from supervisor.watch import bytecode; print(bytecode.prefix())"
    command = [sys.executable, "-c", script]
    if os.geteuid():
        folder.chmod(0o500)
    else:  # root may write whatever the mode: a mount of its own, gone with the process
        command = [
            "unshare",
            "-m",
            "sh",
            "-c",
            READ_ONLY,
            "sh",
            str(folder),
            sys.executable,
            script,
        ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode and os.geteuid() == 0:
        pytest.skip(f"no mounts here: {done.stderr}")
    assert done.stdout.strip() == str(bytecode.NOWHERE)


def test_what_has_lost_its_source_goes_once_a_day(tmp_path: Path) -> None:
    """Else a cache that serves all projects would keep those that are long gone."""
    stays, goes = tmp_path / "stays", tmp_path / "goes"
    for project in (stays, goes):
        project.mkdir()
    folder = bytecode.prefix()
    kept, lost = (folder / str(project).lstrip("/") for project in (stays, goes))
    for mirror in (kept, lost):
        mirror.mkdir(parents=True)
        (mirror / "x.pyc").touch()
    goes.rmdir()
    bytecode.prefix()
    assert lost.exists(), "it was looked through today already"
    (kept / "x.pyc.123").touch()  # whoever wrote it was killed
    os.utime(folder / bytecode.SWEPT, (0, 0))
    bytecode.prefix()
    assert (kept.exists(), lost.exists()) == (True, False)
    assert [path.name for path in kept.iterdir()] == ["x.pyc"]


def test_a_bots_own_settings_come_first(tmp_path: Path) -> None:
    """Who wants no bytecode, or a place of their own, gets it."""
    ours = {"PYTHONPYCACHEPREFIX": str(tmp_path)}
    assert bytecode.variables({}, tmp_path) == ours
    assert bytecode.variables({"PYTHONDONTWRITEBYTECODE": ""}, tmp_path) == ours
    assert bytecode.variables({"PYTHONDONTWRITEBYTECODE": "1"}, tmp_path) == {}
    assert bytecode.variables({"PYTHONPYCACHEPREFIX": "/x"}, tmp_path) == {}
