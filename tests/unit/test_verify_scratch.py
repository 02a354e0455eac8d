"""The copy that `verify` tries: whatever is done to it, the original is not touched."""

import os
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.presets.choose import load
from supervisor.verify import scratch

CONFIG = """
[alerts]
command = ["./tell"]

[bot.server]
command = ["python", "server.py"]
session = false

[bot.one]
command = ["{root}/bin/run", "bot.py"]
session = "1"
watch = ["bot.py"]
env = {{ DATA = "{root}/data" }}

[bot.other]
command = ["python", "other.py"]
session = "2"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what a bot's folder has."""
    root = tmp_path / "my project"
    for name in (
        "bin/run",
        "bot.py",
        "data/rows",
        "sessions/session-1/creds.json",
        "sessions/session-2/creds.json",
        ".session-cache/x.json",
        "session-state.json",
        ".git/HEAD",
        ".hidden/world",
        "node_modules/a/index.js",
        "__pycache__/bot.pyc",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "config.toml").write_text(CONFIG.format(root=root))
    return root


@pytest.fixture
def scratches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the copies lie."""
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    return tmp_path / "copies"


def copied(root: Path, *, with_session: bool = False) -> scratch.Scratch:
    """Copy it for the bot `one`."""
    config = load(root / "config.toml")
    return scratch.make(config, config.bots["one"], with_session=with_session)


def names(root: Path) -> set[str]:
    """Return the files and links of a folder."""
    found = (path for path in root.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(root)) for path in found}


@pytest.mark.parametrize("with_session", [False, True])
def test_what_is_copied(project: Path, *, with_session: bool) -> None:
    """The source; its own session if that is wanted; never another's, never what we keep."""
    copy = copied(project, with_session=with_session)
    try:
        own = {"sessions/session-1/creds.json", ".hidden/world"} if with_session else set()
        plain = {"bin/run", "bot.py", "data/rows", "config.toml", "node_modules"}
        assert names(copy.root) == plain | own
        assert (copy.root / "node_modules").is_symlink()
        assert (copy.folder.stat().st_mode & 0o777) == 0o700
    finally:
        copy.remove()
    assert not copy.folder.exists()
    assert (project / "node_modules" / "a" / "index.js").is_file()


def test_its_config_names_nothing_of_the_original(project: Path) -> None:
    """The bot and its companions; paths of the original are the copy's; nobody is alerted."""
    copy = copied(project)
    try:
        document = tomllib.loads((copy.root / "config.toml").read_text())
        assert set(document["bot"]) == {"one", "server"}
        assert "alerts" not in document
        assert str(project) not in (copy.root / "config.toml").read_text()
        assert copy.bot.env["DATA"] == str(copy.root / "data")
    finally:
        copy.remove()


def test_a_link_to_a_folder_outside_is_refused(
    project: Path, tmp_path: Path, scratches: Path
) -> None:
    """Through it the copy would write into what is the original's."""
    (tmp_path / "elsewhere").mkdir()
    (project / "store").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SupervisorError, match="outside of"):
        copied(project)
    assert not list(scratches.iterdir())


def test_a_link_inside_leads_to_the_copy(project: Path, tmp_path: Path) -> None:
    """Relative or absolute; and a file outside is copied."""
    (project / "by-name").symlink_to("data")
    (project / "by-path").symlink_to(project / "data")
    (tmp_path / "shared.json").write_text("{}")
    (project / "shared.json").symlink_to(tmp_path / "shared.json")
    copy = copied(project)
    try:
        for name in ("by-name", "by-path"):
            assert (copy.root / name).resolve() == copy.root.resolve() / "data"
        assert not (copy.root / "shared.json").is_symlink()
    finally:
        copy.remove()


def test_a_session_outside_is_refused(project: Path, tmp_path: Path) -> None:
    """The copy would be a second one of the same session."""
    config = (project / "config.toml").read_text()
    place = f'session = "1"\nsession_path = "{tmp_path / "elsewhere"}"'
    (project / "config.toml").write_text(config.replace('session = "1"', place))
    with pytest.raises(SupervisorError, match="outside of") as caught:
        copied(project)
    assert "--live" in caught.value.hint


def test_what_a_killed_run_left_is_swept(project: Path, scratches: Path, ended_pid: int) -> None:
    """A session lies in it. What runs, was kept, or is another's stays."""
    left = scratches / f"stillhere-verify-{ended_pid}-x"
    others = [scratches / f"stillhere-verify-{os.getpid()}-x", scratches / "stillhere-verified-x"]
    for folder in (left, *others):
        folder.mkdir()
    link = scratches / f"stillhere-verify-{ended_pid}-y"
    link.symlink_to(project)
    copied(project).remove()
    assert not left.exists()
    assert all(folder.exists() for folder in (*others, link, project / "bot.py"))


@pytest.fixture
def ended_pid() -> int:
    """The number of a process that is gone."""
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def test_a_folder_that_is_too_large_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the disk is full."""
    monkeypatch.setattr(scratch, "ROOM_BYTES", 10)
    with pytest.raises(SupervisorError, match="too much to copy"):
        copied(project)


def test_only_the_folder_itself_is_moved(project: Path) -> None:
    """A neighbour whose name begins alike is another folder; a database's address is a path."""
    config = (project / "config.toml").read_text()
    env = (
        f'BESIDE = "{project}-data", DEEP = "/mnt{project}", URL = "sqlite:///{project}/a.db", DATA'
    )
    (project / "config.toml").write_text(config.replace("{ DATA", f"{{ {env}"))
    copy = copied(project)
    try:
        assert copy.bot.env["BESIDE"] == f"{project}-data"
        assert copy.bot.env["DEEP"] == f"/mnt{project}"
        assert copy.bot.env["URL"] == f"sqlite:///{copy.root}/a.db"
    finally:
        copy.remove()


def test_a_copy_can_be_changed(project: Path) -> None:
    """Also of a folder that only can be read: a save is tried on it, and its config is ours."""
    for name in ("bot.py", "config.toml", "bin/run"):
        (project / name).chmod(0o555)
    copy = copied(project)
    try:
        assert (copy.root / "bot.py").stat().st_mode & 0o777 == 0o755
        assert (copy.root / "bin" / "run").stat().st_mode & 0o777 == 0o755
        assert (project / "bot.py").stat().st_mode & 0o777 == 0o555
    finally:
        copy.remove()


def test_a_file_that_goes_meanwhile_is_not_copied(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original may run, with files that it needs for a moment only."""
    real = shutil.copy2

    def copy2(source: Path, target: Path) -> None:
        if source.name == "rows":
            source.unlink()
        real(source, target)

    monkeypatch.setattr(shutil, "copy2", copy2)
    copy = copied(project)
    try:
        assert (copy.root / "bot.py").is_file()
        assert not (copy.root / "data" / "rows").exists()
    finally:
        copy.remove()
