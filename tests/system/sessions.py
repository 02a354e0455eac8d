"""What was a session before, what is it now: looks at it, and damages, for whole supervisors."""

import os
import shutil
from pathlib import Path
from typing import Any

from supervisor import SessionManager
from tests.system.harness import PHONE, Folder, Running, running


def manager(folder: Folder) -> SessionManager:
    """Return a manager of the folder's sessions, as somebody's script makes one."""
    root = folder.root
    return SessionManager(root / "sessions", root / ".session-cache", root / "session-state.json")


def info(folder: Folder) -> dict[str, Any]:
    """Return what is known of the session."""
    return manager(folder).info(PHONE)


def delete(path: Path) -> None:
    """Delete a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def empty(path: Path) -> None:
    """Leave nothing in a file."""
    os.truncate(path, 0)


def truncate(path: Path) -> None:
    """Leave the first half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def recovers(folder: Folder, before: dict[str, Any]) -> dict[str, Any]:
    """Start; the newest snapshot is back before the bot starts, and the device is the same.

    Returns what is known of the session then.
    """
    with running(folder) as supervisor:
        record = supervisor.restarted(0)
        assert record["reason"] == "start"
        assert (record["verified"], record["proof"]) == (True, "roundtrip")
        restored = supervisor.wait("session_restored")
        assert restored["action"] == "restored"
        assert restored["snapshot"] == before["snapshots"][-1]["id"]
        order = [e["event"] for e in supervisor.events if e["bot"] == "echo"]
        assert order.index("session_restored") < order.index("spawned")
        assert not supervisor.seen("pairing")
        assert not supervisor.seen("undecryptable")
        with folder.phone() as phone:
            assert phone.wait_reply(phone.send("!ping")).text == "pong"
        supervisor.shows("restore done in")
    after = info(folder)
    assert after["identity"] == before["identity"]
    assert after["epoch"] == before["epoch"]
    assert after["rollback_count"] == before["rollback_count"] + 1
    assert after["restore_count"] == before["restore_count"] + 1
    assert (after["link_count"], after["qr_count"]) == (1, 1)
    return after


def pairs(supervisor: Running, after: int = 0) -> None:
    """Wait for the QR code, which came with nothing brought back."""
    supervisor.wait("pairing", after, bot="echo")
    assert not supervisor.seen("session_restored", after)
    supervisor.shows("QR code needed")


def quarantined(folder: Folder) -> list[dict[str, str]]:
    """Return what `session info` lists of the quarantine."""
    found: list[dict[str, str]] = folder.info()["quarantine"]
    return found
