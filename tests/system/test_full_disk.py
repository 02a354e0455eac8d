"""A disk that is full while bots run: who works is left working."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.faults.mounts import mounted
from tests.system.harness import Folder, running

KEEPS = """
[bot.keeps]
command = ["/bin/sh", "-c", "echo k > $STILLHERE_SESSION_DIR/k; echo here; exec tail -f /dev/null"]
ready = { log = "here" }
session = "keeps"
"""


def fill(root: Path) -> Path:
    """Leave not a byte, and return what holds them."""
    ballast = root / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(64))
    return ballast


def test_a_bot_that_works_is_not_stopped_for_one_that_could_not_begin(
    tmp_path: Path, new_folder: Callable[..., Folder]
) -> None:
    """Its session is in a snapshot already, so only the next seat needs room, and has none."""
    with mounted("tmpfs", tmp_path) as root:
        folder = new_folder(KEEPS, name=f"{root.name}/project")
        with running(folder, "run") as supervisor:
            first = supervisor.wait("spawned", bot="keeps")["pid"]
            supervisor.wait("snapshot_taken", bot="keeps")
            supervisor.client.call("session", op="backup", id="keeps")
            ballast = fill(root)
            mark = supervisor.mark()
            supervisor.client.call("restart", bot="keeps")
            assert "No space left" in supervisor.wait("snapshot_failed", mark)["why"]
            supervisor.wait("held", mark)
            bot = supervisor.client.call("status")["bots"]["keeps"]
            assert (bot["pid"], bot["phase"]) == (first, "up")
            ballast.unlink()
            supervisor.client.call("restart", bot="keeps")
            assert supervisor.wait("spawned", mark)["pid"] != first
