"""What the doctor's tests share: a healthy project, and no word from this machine's own."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.doctor.kit import Project


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return a project whose session was never linked, where others may pass."""
    with tempfile.TemporaryDirectory() as short:
        Path(short).chmod(0o711)
        root = Path(short) / "project"
        root.mkdir()
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
