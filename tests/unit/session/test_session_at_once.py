"""The snapshot before a stop, with one look at the session instead of two."""

import os
import time
from pathlib import Path

import pytest

from supervisor.loop import copier
from supervisor.loop.session_work import SessionWork
from supervisor.session.manager import SessionManager
from tests.unit.session.sessionkit import tree
from tests.unit.session.workkit import heads, worked


def test_a_bot_that_is_about_to_stop_is_held_still_at_once_if_little_is_to_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the last copy tells; one that is wrong about it is thrown away, and nobody notices."""

    def use(work: SessionWork, manager: SessionManager) -> None:
        made = heads(manager, monkeypatch)
        key = Path(work.folder) / "key"

        def stop() -> int:
            """Return how many walks came before the one that was held still."""
            before = len(made)
            work.snapshot(7, reason="stop", generation=1)
            newest = manager.snapshots(work.id)[-1]
            copy = manager.export(work.id, tmp_path / f"out{len(made)} {time.monotonic_ns()}")
            assert tree(copy) == tree(Path(work.folder))
            assert newest.reason == "stop"
            return len(made) - before

        assert stop() == 1  # how much that is nobody knows yet
        key.write_text("some more")
        assert stop() == 0
        key.write_bytes(os.urandom(copier._AT_ONCE_BYTES + 1))
        assert stop() == 1
        key.write_text("little again")
        assert stop() == 1
        taken = len(manager.snapshots(work.id))
        assert stop() == 0
        assert len(manager.snapshots(work.id)) == taken  # nothing had changed

    worked(tmp_path, use)
