"""Whatever the umask: what the supervisor makes is for its owner alone, and all of it works."""

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import PHONE, ROOT, Folder, end_all, running

# Each below folders that are not there yet.
CONFIG = """
[supervisor]
sessions = "a/live/sessions"
snapshots = "b/copies/store"
state = "c/state/state.json"

[logs]
folder = "d/some/logs"

[metrics]
listen = "unix:m.sock"

[alerts]
command = ["true"]

[bot.echo]
command = ["python", "main.py"]
session = "971505760056"
watch = ["main.py", "number.py"]
watch_in_service = true
"""


@pytest.fixture
def places() -> Iterator[Path]:
    """A folder, whose path is short, for all that is made: project, cache, and sockets."""
    with tempfile.TemporaryDirectory(prefix="u") as name:
        yield Path(name)


def modes(place: Path) -> dict[str, str]:
    """Return the kind and mode of everything below a folder."""
    found = {}
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        kind = "folder" if stat.S_ISDIR(status.st_mode) else "file"
        found[str(path.relative_to(place))] = f"{kind} {stat.S_IMODE(status.st_mode):o}"
    return found


def theirs(path: str, before: set[str]) -> bool:
    """Say whether the supervisor did not make it: the test's, the bot's, and the bot's bytecode."""
    inside = (f"project/a/live/sessions/session-{PHONE}/", "cache/stillhere/pycache/")
    return path in before or path.startswith((*inside, "project/console-"))


@pytest.mark.long  # a few seconds each
@pytest.mark.parametrize("umask", ["000", "077"])
def test_all_that_is_made_is_private(places: Path, umask: str) -> None:
    """Linked, saved, restarted, upgraded, damaged, restored: files 0600 and folders 0700."""
    folder = Folder(places / "project", places / "cache", CONFIG)
    bot = (ROOT / "tests" / "system" / "bots" / "other_user.py").read_text()
    folder.write("main.py", f"print('here', flush=True)\n{bot}")
    folder.write("number.py", "NUMBER = 1\n")
    (places / "tmp").mkdir()
    before = set(modes(places))
    folder.before = ["/bin/sh", "-c", f'umask {umask}; exec "$@"', "sh"]
    try:
        seen = life(folder, places)
    finally:
        end_all(folder)
    for when, found in seen.items():
        made = {path: mode for path, mode in found.items() if not theirs(path, before)}
        wrong = {p: m for p, m in made.items() if m not in ("file 600", "folder 700")}
        assert not wrong, f"{when}: {wrong}"
        for part in (
            "a/live/sessions/",
            "b/copies/store/packs/",
            "c/state/state.json",
            "d/some/logs/",
        ):
            assert any(path.startswith(f"project/{part}") for path in made), part
    running_on = [path for path in seen["while it runs"] if path.startswith("tmp/stillhere-")]
    assert sum(path.endswith((".sock", ".lock")) for path in running_on) == 2
    assert sum(path.startswith(running_on[0] + "/s") for path in running_on) == 3, running_on


def life(folder: Folder, places: Path) -> dict[str, dict[str, str]]:
    """Live through all of it; return what was there in the middle, and in the end."""
    place = str(places / "tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", place)
        patch.delenv("XDG_RUNTIME_DIR", raising=False)
        with running(folder, "run", TMPDIR=place) as supervisor:
            supervisor.wait("pairing", bot="echo")
            os.kill(supervisor.status()["pid"], signal.SIGUSR1)
            supervisor.wait("snapshot_taken", bot="echo")
            mark = supervisor.mark_now()
            folder.replace("number.py", "NUMBER = 2\n")
            assert supervisor.restarted(mark)["reason"] == "change"
            supervisor.client.call("upgrade")
            supervisor.client.call("stop", bot="echo")
            mark = supervisor.mark_now()
            os.truncate(folder.root / f"a/live/sessions/session-{PHONE}/device", 0)
            supervisor.client.call("start", bot="echo", wait=True)
            assert supervisor.wait("session_restored", mark)["action"] == "restored"
            supervisor.client.call("session", op="backup", id=PHONE)
            early = modes(places)
        return {"while it runs": early, "in the end": modes(places)}
