"""A project's folder for each test."""

from pathlib import Path

import pytest

from tests.unit.session.sessionkit import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return an empty project."""
    return Place(tmp_path)
