"""Folders for real supervisors; whatever a test leaves behind is ended, and is a failure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.harness import SHIPPED, Folder, end_all


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
