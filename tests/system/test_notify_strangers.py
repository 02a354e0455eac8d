"""What others send to a bot's notify socket: without effect, counted, and said now and then."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

from tests.system.harness import ROOT, Folder, Running, running
from tests.system.test_metrics import get

CONFIG = """
[metrics]
listen = "unix:m.sock"

[bot.echo]
command = ["python", "{bot}"]
session = "971505760056"
"""
BOT = ROOT / "tests" / "system" / "bots" / "holding_bot.py"
COUNTED = re.compile(r'^stillhere_bot_strangers_total\{bot="echo"\} (\d+)', re.MULTILINE)


def notify_socket(pid: int) -> str:
    """Return where a bot sends what it says."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (path,) = [pair.partition(b"=")[2] for pair in pairs if pair.startswith(b"NOTIFY_SOCKET=")]
    return path.decode()


def send(supervisor: Running, count: int) -> None:
    """Say so often that the bot's session is lost."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.settimeout(20)
        stranger.connect(notify_socket(supervisor.status()["pid"]))
        for _ in range(count):
            stranger.send(b"X_STILLHERE_SESSION=lost\nX_STILLHERE_REASON=401 removed")


def counted(folder: Folder, supervisor: Running, wanted: int) -> None:
    """Wait until the metrics have them; the figures there are a second old at most."""

    def found() -> list[str]:
        return COUNTED.findall(get("/metrics", folder.root / "m.sock")[2])

    supervisor.until(lambda: found() == [str(wanted)], f"counted {wanted}")


def test_strangers_change_nothing_and_are_told_of(new_folder: Callable[..., Folder]) -> None:
    """One event at once and none for the rest of the minute; a restart forgets no count."""
    folder = new_folder(CONFIG.format(bot=BOT))
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="echo")
        send(supervisor, 1)
        assert supervisor.wait("notify_strangers", bot="echo")["count"] == 1
        supervisor.shows(" 1 message to its notify socket came from no process of the bot")
        send(supervisor, 3)
        supervisor.client.call("restart", bot="echo", wait=True)
        send(supervisor, 2)
        counted(folder, supervisor, 6)
        assert len(supervisor.seen("notify_strangers")) == 1
        assert supervisor.status()["session"]["state"] == "restored"
        assert not supervisor.seen("session_refused")
        mark = supervisor.mark_now()
        supervisor.stop()
        assert supervisor.wait("notify_strangers", mark)["count"] == 5
