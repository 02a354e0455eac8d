"""Whatever a session's files hold: it is read or refused in words, and nothing is lost by that."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import boxkit
from tests.fuzz import boxed_archive, boxed_session
from tests.fuzz.fuzzkit import LONG

pytestmark = boxkit.needs_root


_KINDS = ("state", "manifest", "pack", "intent", "live")


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder for the box, in memory where that can be: much is synced in there."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        for variable, place in (("TMPDIR", "tmp"), ("HYPOTHESIS_STORAGE_DIRECTORY", "known")):
            Path(name, place).mkdir()
            monkeypatch.setenv(variable, str(Path(name, place)))
        yield Path(name)


# A program of its own takes a second to begin: all together, but where each takes long.
@pytest.mark.parametrize("kinds", [[kind] for kind in _KINDS] if LONG else [_KINDS])
def test_a_damaged_file_of_the_session(kinds: Sequence[str], box: Path) -> None:
    """It is read or refused in words; only what is the session's own is changed; all stays."""
    program = [sys.executable, "-W", "error", str(boxed_session.__file__)]
    done = boxkit.boxed(box, [*program, str(box), *kinds])
    assert done.returncode == 0, done.stderr


def test_an_archive_that_is_none(box: Path) -> None:
    """It comes in or is refused in words; what was live is not lost, nothing else is changed."""
    program = [sys.executable, "-W", "error", str(boxed_archive.__file__)]
    done = boxkit.boxed(box, [*program, str(box)])
    assert done.returncode == 0, done.stderr
