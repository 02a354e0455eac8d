"""What a copy of a running bot holds: also what the bot had in memory until it was asked for it."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.system.harness import PHONE, Folder, running

HOLDING = """
[bot.echo]
command = ["python", "src/holding_bot.py"]
session = "971505760056"
watch = ["src"]
checkpoint_timeout_s = 30
"""


def written(folder: Folder, snapshot: str) -> int:
    """Return how often the bot had written what it holds, by what is stored."""
    out = folder.root / f"out-{snapshot}"
    done = folder.stillhere("session", "export", PHONE, str(out), "--snapshot", snapshot)
    assert done.returncode == 0, done.stderr
    count: int = json.loads((out / "creds.json").read_text())["written"]
    return count


def test_a_bot_is_asked_to_write_what_it_holds_before_it_is_copied(
    new_folder: Callable[..., Folder],
) -> None:
    """After its first start, and when a person asks for a backup."""
    folder = new_folder(HOLDING)
    folder.write("src/holding_bot.py", (Path(__file__).parent / "bots/holding_bot.py").read_text())
    with running(folder) as supervisor:
        linked = supervisor.wait("snapshot_taken")["snapshot"]
        done = folder.stillhere("session", "backup", "--json")
        assert done.returncode == 0, done.stderr
        manual = json.loads(done.stdout)
        assert [linked["reason"], manual["reason"]] == ["linked", "manual"]
        assert [written(folder, one["id"]) for one in (linked, manual)] == [1, 2]
        assert not supervisor.seen("checkpoint_missed")
