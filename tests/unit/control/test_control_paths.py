"""The control socket's place is ours alone, and both ends find it."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.control import paths
from supervisor.core.errors import SupervisorError


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of our own with a short path: pytest's are too long for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        runtime = Path(name) / "run"
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


def test_the_runtime_directory_is_preferred(short: Path) -> None:
    """$XDG_RUNTIME_DIR/stillhere/<hash>.sock, and nothing is made by asking."""
    path = paths.socket_path(short / "config.toml")
    assert path.parent == short / "run" / "stillhere"
    assert path.suffix == ".sock"
    assert not path.parent.exists()


def test_two_names_of_one_config_share_a_socket(short: Path) -> None:
    """A config reached through a link has the same supervisor; another one has its own."""
    (short / "real").mkdir()
    (short / "link").symlink_to("real")
    config = short / "real" / "config.toml"
    assert paths.socket_path(short / "link" / "config.toml") == paths.socket_path(config)
    assert paths.socket_path(short / "config.toml") != paths.socket_path(config)


@pytest.mark.parametrize("bad", ["relative", "", "/no/such/folder", "loose", "a-file"])
def test_an_unusable_runtime_directory_is_passed_over(
    bad: str, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime directory that is missing, relative or open to others is not used."""
    loose = short / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    (short / "a-file").touch()
    chosen = str(short / bad) if bad in {"loose", "a-file"} else bad
    monkeypatch.setenv("XDG_RUNTIME_DIR", chosen)
    assert paths.socket_path(short / "c.toml").parent == short / f"stillhere-{os.geteuid()}"


def test_a_long_folder_gives_way_to_a_shorter_one(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No path is longer than 107 bytes, whatever the environment says; bytes, not characters."""
    deep = short / ("é" * 40)
    deep.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setenv("TMPDIR", str(deep))
    path = paths.socket_path(short / "c.toml")
    assert len(os.fsencode(path)) <= 107
    assert path.parent == Path(f"/tmp/stillhere-{os.geteuid()}")  # noqa: S108 - the last resort
    assert all(len(os.fsencode(p)) <= 107 for p in paths.candidates(short / "c.toml"))


def test_the_limit_is_exactly_107_bytes(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of 107 bytes binds, one of 108 is given up for the next folder."""
    tail = len("/stillhere/" + "0" * 24 + ".sock")
    for total, fits in ((107, True), (108, False)):
        runtime = short / ("r" * (total - tail - len(os.fsencode(short)) - 1))
        runtime.mkdir(mode=0o700)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        path = paths.socket_path(short / "c.toml")
        assert (path.parent.parent == runtime) is fits


def test_the_folder_is_private_whatever_the_umask(short: Path) -> None:
    """0700 with any umask, and again 0700 when it was loosened."""
    for umask in (0o000, 0o777):
        old = os.umask(umask)
        try:
            paths.prepare(short / f"f{umask}")
        finally:
            os.umask(old)
        assert stat.S_IMODE((short / f"f{umask}").stat().st_mode) == 0o700
    (short / "f0").chmod(0o755)
    paths.prepare(short / "f0")
    assert stat.S_IMODE((short / "f0").stat().st_mode) == 0o700


def test_a_link_or_a_file_in_its_place_is_refused(short: Path) -> None:
    """Who put a link where our folder belongs does not choose where we listen."""
    (short / "elsewhere").mkdir()
    (short / "link").symlink_to("elsewhere")
    (short / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(SupervisorError, match="not a folder of ours"):
            paths.prepare(short / name)
        assert not paths.trusted(short / name)
    assert not list((short / "elsewhere").iterdir())


def test_a_foreign_folder_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of another user is neither listened in nor trusted."""
    (short / "theirs").mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(SupervisorError, match="belongs to uid"):
        paths.prepare(short / "theirs")


def test_a_missing_parent_is_said(short: Path) -> None:
    """No chain of folders is made up where the environment names a missing one."""
    with pytest.raises(SupervisorError, match="cannot make"):
        paths.prepare(short / "no" / "stillhere")
