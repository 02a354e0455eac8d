"""What the doctor's tests share: a healthy project, and no word from this machine's own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.doctor.kit import Project


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return a project whose session was never linked."""
    root = tmp_path / "project"
    root.mkdir()
    with tempfile.TemporaryDirectory() as short:
        for name in ("XDG_RUNTIME_DIR", "TMPDIR", "XDG_CONFIG_HOME", "HOME"):
            monkeypatch.setenv(name, short)
        yield Project(root, short)


@pytest.fixture
def project(bare: Project) -> Project:
    """Return a healthy project."""
    return bare.linked()
