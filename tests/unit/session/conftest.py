"""A project's folder for each test."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.session.sessionkit import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty project."""
    return Place(tmp_path)


@pytest.fixture
def reachable() -> Iterator[Place]:
    """Return an empty project below a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        yield Place(Path(root) / "project")
