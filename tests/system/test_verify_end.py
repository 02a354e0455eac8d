"""`stillhere verify` that is ended in the middle: nothing of the copy stays, and nothing runs."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.harness import Folder, end_all
from tests.system.test_verify import faulty


@pytest.fixture
def scratches(tmp_path: Path, bytecode_cache: Path) -> Folder:
    """Where the copies lie, as a folder of which nothing may run."""
    return Folder(tmp_path / "scratches", bytecode_cache, "")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.long)])
def test_an_end_from_outside_is_an_end_in_order(
    new_folder: Callable[..., Folder], scratches: Folder, end: str
) -> None:
    """As Ctrl-C: the copy holds a session, and a service manager or a lost terminal ends us."""
    folder = faulty(new_folder, "resources")
    running = subprocess.Popen(
        [sys.executable, "-u", "-m", "supervisor", "verify", "--only", "8", "--rest", "3600"],
        cwd=folder.root,
        env=folder.environment(TMPDIR=str(scratches.root)),
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        assert running.stdout is not None
        assert any("first session creation: 1 files" in line for line in running.stdout)
        assert list(scratches.root.glob("stillhere-verify-*"))
        running.send_signal(signal.Signals[end])
        assert running.wait(30) == 130
        assert not list(scratches.root.glob("stillhere-verify-*"))
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        running.communicate(timeout=30)
        left = end_all(scratches)
    assert not left
