"""An unmodified bot whose session lies among the project's files: the same device, all in place."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from supervisor import SessionManager
from tests.system.gates import Gate
from tests.system.harness import PHONE, Folder, Running, end_all, running
from tests.system.sessions import delete, empty, truncate

CONFIG = f"""
[bot.echo]
command = ["python", "bot.py"]
session = "{PHONE}"
session_files = ["anon.session"]
watch = ["."]
ignore = ["*.log", "code", "gates"]
"""
BOT = Path(__file__).with_name("bots") / "anon_session_bot.py"
OTHERS = ("bot.py", "config.toml", "other.session", "data/anon.session", "data", "run.sh")


def project(root: Path) -> Mapping[str, tuple[int, ...]]:
    """Return how the project's own files look to stat(2)."""
    found = {name: (root / name).lstat() for name in OTHERS}
    return {
        name: (each.st_ino, each.st_mode, each.st_mtime_ns, each.st_ctime_ns)
        for name, each in found.items()
    }


@pytest.fixture(scope="module")
def linked_once(tmp_path_factory: pytest.TempPathFactory, bytecode_cache: Path) -> Folder:
    """A project whose bot got its account, worked and was stopped: made once, then copied."""
    folder = Folder(tmp_path_factory.mktemp("among") / "project", bytecode_cache, CONFIG)
    folder.write("bot.py", BOT.read_text())
    folder.write("other.session", "SQLite format 3\0 of another program")
    folder.write("data/anon.session", "of another folder")
    folder.write("run.sh", "#!/bin/sh\n").chmod(0o750)
    before = project(folder.root)
    with running(folder) as supervisor:
        supervisor.wait("pairing")
        folder.write("code", "12345")
        supervisor.wait("linked")
        supervisor.wait("snapshot_taken")
        # It writes its session all the time, in a folder that is watched.
        assert not supervisor.seen("restarted", reason="change")
    assert not end_all(folder)
    assert project(folder.root) == before
    ours = {"sessions", ".session-cache", "session-state.json"}
    names = {path.name for path in folder.root.iterdir() if path.suffix != ".log"}
    assert names - ours == {path.partition("/")[0] for path in OTHERS} | {"anon.session", "code"}
    assert [path.name for path in folder.root.parent.iterdir()] == ["project"]
    return folder


@pytest.fixture
def linked(linked_once: Folder, tmp_path: Path) -> Iterator[Folder]:
    """A copy of that project."""
    ignore = shutil.ignore_patterns("console-*", "code")
    shutil.copytree(linked_once.root, tmp_path / "project", ignore=ignore)
    folder = Folder(tmp_path / "project", linked_once.cache, CONFIG)
    yield folder
    left = end_all(folder)
    assert not left, f"left behind: {left}"


def info(folder: Folder) -> dict[str, Any]:
    """Return what is known of the session."""
    root = folder.root
    names, places = {PHONE: ("anon.session",)}, {PHONE: root}
    store, state = root / ".session-cache", root / "session-state.json"
    return SessionManager(root / "sessions", store, state, parts=names, paths=places).info(PHONE)


def _comes_back(supervisor: Running, folder: Folder, identity: str) -> None:
    """The bot is up as the device it was, and was not asked for a code."""
    supervisor.restarted(0)
    assert supervisor.status()["session"]["identity"] == identity
    assert not supervisor.seen("pairing")
    assert [path.name for path in folder.root.glob(".session-*")] == [".session-cache"]


def test_a_save_restarts_it_as_the_same_device(linked: Folder) -> None:
    """What is saved beside the session counts; the session's own files never do."""
    with running(linked) as supervisor:
        identity = info(linked)["identity"]
        _comes_back(supervisor, linked, identity)
        mark = supervisor.mark_now()
        linked.write("bot.py", BOT.read_text() + "# saved\n")
        assert supervisor.restarted(mark)["changed"] == ["bot.py"]
        assert supervisor.status()["session"]["identity"] == identity
    found = info(linked)
    assert found["path"] == str(linked.root)
    assert 1 <= found["files"] <= 2
    assert found["snapshots"][-1]["verdict"] == "good"


@pytest.mark.long
@pytest.mark.parametrize("damage", [empty, delete, truncate])
def test_a_damaged_session_file_comes_back(linked: Folder, damage: Callable[[Path], None]) -> None:
    """Deleted, emptied or truncated: restored before the bot starts; nothing else is touched."""
    before, identity = project(linked.root), info(linked)["identity"]
    damage(linked.root / "anon.session")
    with running(linked, "run") as supervisor:
        _comes_back(supervisor, linked, identity)
        assert supervisor.wait("session_restored")["action"] == "restored"
    assert project(linked.root) == before


@pytest.mark.parametrize(
    ("damage", "step"),
    [
        (empty, "placing"),
        pytest.param(delete, "moving-in", marks=pytest.mark.long),
        pytest.param(truncate, "placing", marks=pytest.mark.long),
    ],
)
def test_a_restore_that_was_killed_is_finished(
    linked: Folder, damage: Callable[[Path], None], step: str
) -> None:
    """The supervisor dies while the file is moved into place: the next one goes on from there."""
    before, identity = project(linked.root), info(linked)["identity"]
    damage(linked.root / "anon.session")
    linked.module = "tests.system.gated_supervisor"
    with Gate(linked, step) as gate, running(linked, "run") as killed:
        gate.reached()
        assert (linked.root / f".session-{PHONE}.new").exists()
        killed.kill()
    linked.module = "supervisor"
    with running(linked, "run") as supervisor:
        _comes_back(supervisor, linked, identity)
    assert project(linked.root) == before


@pytest.mark.long
def test_every_command_knows_where_it_lies(linked: Folder) -> None:
    """Info, check, backup, export, clear, import, restore, with no supervisor that runs."""
    before, identity = project(linked.root), info(linked)["identity"]
    (linked.root / "anon.session").write_bytes(b"")
    for words in (
        ["restore"],
        ["check"],
        ["backup"],
        ["export", PHONE, "../exported"],
        ["clear", "--yes"],
        ["import", PHONE, "../exported", "--yes"],
        ["prune"],
        ["list"],
    ):
        done = linked.stillhere("session", *words)
        assert done.returncode == 0, (words, done.stderr)
        exists = (linked.root / "anon.session").exists()
        assert exists == (words[0] != "clear")
    assert [path.name for path in (linked.root.parent / "exported").iterdir()] == ["anon.session"]
    assert project(linked.root) == before
    with running(linked, "run") as supervisor:
        _comes_back(supervisor, linked, identity)
