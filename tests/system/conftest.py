"""Folders for real supervisors; whatever a test leaves behind is ended, and is a failure."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.harness import SHIPPED, Folder, end_all, link, running
from tests.unit.cli import terminal


@pytest.fixture(scope="session")
def bytecode_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all folders of a worker: the libraries are compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def new_folder(tmp_path: Path, bytecode_cache: Path) -> Iterator[Callable[..., Folder]]:
    """Make project folders; at the end nothing of them may run."""
    made: list[Folder] = []

    def make(config: str = SHIPPED, name: str = "project") -> Folder:
        made.append(Folder(tmp_path / name, bytecode_cache, config))
        return made[-1]

    yield make
    left = [process for folder in made for process in end_all(folder)]
    assert not left, f"left behind: {left}"


@pytest.fixture
def folder(new_folder: Callable[..., Folder]) -> Folder:
    """The folder of a newcomer: the bot that ships."""
    return new_folder().with_shipped_bot()


@pytest.fixture(scope="session")
def linked_once(tmp_path_factory: pytest.TempPathFactory, bytecode_cache: Path) -> Path:
    """A folder whose bot was linked, asked once and stopped: made once per worker, then copied."""
    folder = Folder(tmp_path_factory.mktemp("linked"), bytecode_cache).with_shipped_bot()
    with running(folder) as supervisor, link(supervisor) as phone:
        assert phone.wait_reply(phone.send("!ping")).text == "pong"
    left = end_all(folder)
    assert not left, f"left behind: {left}"
    return folder.root


@pytest.fixture
def linked(linked_once: Path, tmp_path: Path, bytecode_cache: Path) -> Iterator[Folder]:
    """The folder of somebody who linked the bot that ships, and stopped it."""
    shutil.copytree(linked_once, tmp_path / "project", ignore=shutil.ignore_patterns("console-*"))
    folder = Folder(tmp_path / "project", bytecode_cache)
    yield folder
    left = end_all(folder)
    assert not left, f"left behind: {left}"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a loaded machine its time, where a test waits for a terminal."""
    monkeypatch.setattr(terminal, "WAIT_S", 30.0)
