"""What the doctor's tests share: a healthy project, and no word from this machine's own."""

import shutil
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


@pytest.fixture(scope="session")
def linked_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy project's folder: made once per worker, then copied."""
    root = tmp_path_factory.mktemp("linked") / "project"
    root.mkdir()
    with tempfile.TemporaryDirectory() as short:
        Project(root, short).linked()
    return root


@pytest.fixture
def project(bare: Project, linked_once: Path) -> Project:
    """Return a healthy project."""
    shutil.rmtree(bare.root)
    shutil.copytree(linked_once, bare.root)
    return bare
