"""The chat network is down, silent, or sees the device twice: the session is not to blame."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.phone import PhoneClient, ask_admin
from tests.system.harness import Folder, Running, link, running, serving
from tests.system.marks import online_one_at_a_time

PING = "bot/commands/ping.py"
IMPATIENT = """
[bot.echo]
command = ["python", "-m", "bot"]
session = "971505760056"
watch = ["bot"]
stop_timeout_s = 5
restore_timeout_s = 0.5
start_timeout_s = 60

[bot.echo.restart]
backoff_s = [0.05, 0.1]
"""


def save(folder: Folder, old: str, new: str) -> None:
    """Save another answer to !ping."""
    source = (folder.root / PING).read_text()
    folder.replace(PING, source.replace(f'"{old}"', f'"{new}"'))


@contextmanager
def linked(supervisor: Running) -> Iterator[PhoneClient]:
    """Link the bot; after the block the session is the one it was, never restored from a copy."""
    with link(supervisor) as phone:
        identity = supervisor.status()["session"]["identity"]
        yield phone
        session = supervisor.status()["session"]
        assert session["identity"] == identity
        assert (session["link_count"], session["qr_count"]) == (1, 1)
        assert session["rollback_count"] == 0
        assert not supervisor.folder.info()["quarantine"]
        assert not supervisor.seen("session_restored")


def test_the_server_is_down_during_a_restart(folder: Folder) -> None:
    """Offline is said, nothing is restored; when the server is back, the same device is online."""
    folder.write(
        "config.toml", (folder.root / "config.toml").read_text() + "restore_timeout_s = 0.5\n"
    )
    with running(folder) as supervisor, linked(supervisor) as phone:
        asked = phone.send("!note before")
        phone.wait_reply(asked)
        assert folder.stillhere("stop", "server").returncode == 0
        supervisor.wait("session_state", bot="echo", state="offline")
        mark = supervisor.mark_now()
        save(folder, "pong", "PONG")
        activated = supervisor.wait("activated", mark)
        supervisor.wait("late", mark, generation=activated["generation"])
        status = supervisor.status()
        assert (status["phase"], status["session"]["state"]) == ("verifying", "offline")
        assert supervisor.seen("offline", mark)
        assert folder.stillhere("start", "server").returncode == 0
        record = supervisor.restarted(mark)
        assert record["verified"]
        assert record["late"]
        assert record["proof"] == "roundtrip"
        assert not record["rolled_back"]
        assert record["generation"] == activated["generation"]  # it was never restarted for it
        assert phone.wait_reply(phone.send("!ping")).text == "PONG"
        assert len(supervisor.seen("spawned", bot="echo")) == 2


def test_a_server_that_never_answers(new_folder: Callable[..., Folder]) -> None:
    """It accepts and is silent: the record says late, nothing is restored, then it is online."""
    folder = new_folder(IMPATIENT).with_shipped_bot()
    with serving(folder), running(folder) as supervisor, linked(supervisor) as phone:
        ask_admin(folder.chat_data, "mute", on=True)
        mark = supervisor.mark_now()
        save(folder, "pong", "PONG")
        late = supervisor.wait("late", mark)
        status = supervisor.status()
        assert (status["phase"], status["session"]["state"]) == ("verifying", "connecting")
        assert not supervisor.seen("restarted", mark)  # a timeout is never taken for success
        ask_admin(folder.chat_data, "mute", on=False)
        record = supervisor.restarted(mark)
        assert (record["verified"], record["late"]) == (True, True)
        assert record["proof"] == "roundtrip"
        assert record["generation"] == late["generation"]
        assert phone.wait_reply(phone.send("!ping")).text == "PONG"
        online_one_at_a_time(folder)


def test_a_silent_server_is_tried_anew_by_a_new_process(new_folder: Callable[..., Folder]) -> None:
    """Past start_timeout_s the bot is relaunched with backoff; the session stays as it is."""
    patience = IMPATIENT.replace("start_timeout_s = 60", "start_timeout_s = 3")
    folder = new_folder(patience).with_shipped_bot()
    with serving(folder), running(folder) as supervisor, linked(supervisor) as phone:
        ask_admin(folder.chat_data, "mute", on=True)
        mark = supervisor.mark_now()
        save(folder, "pong", "PONG")
        supervisor.wait("backoff", mark)
        supervisor.wait("spawned", mark, mode="cold")
        ask_admin(folder.chat_data, "mute", on=False)
        verified = supervisor.wait("verified", mark)
        assert verified["proof"] == "roundtrip"
        assert phone.wait_reply(phone.send("!ping")).text == "PONG"
        online_one_at_a_time(folder)


def test_another_copy_of_the_device_is_a_conflict(new_folder: Callable[..., Folder]) -> None:
    """A copy run by hand: it is named and waited for, never fought by a fast restart."""
    folder = new_folder(IMPATIENT).with_shipped_bot()
    with serving(folder), running(folder) as supervisor, linked(supervisor) as phone:
        mark = supervisor.mark_now()
        copy = subprocess.Popen(
            [sys.executable, "-m", "bot"],
            cwd=folder.root,
            env=folder.environment(STILLHERE_SESSION_DIR=str(folder.session)),
            stdout=subprocess.DEVNULL,
        )
        try:
            conflict = supervisor.wait("conflict", mark)
            assert "440" in conflict["reason"]
            assert conflict["pids"] == [copy.pid]
            failed = supervisor.wait("failed", mark)
            assert "another copy" in failed["why"]
            assert f"pid {copy.pid}" in supervisor.shows("online twice")
            assert phone.wait_reply(phone.send("!ping")).text == "pong"  # by the copy
            status = folder.stillhere("status")
            assert status.returncode == 3
            assert "failed" in status.stdout
            assert not supervisor.seen("spawned", mark)
            assert len(folder.server_log("conflict")) == 1
        finally:
            copy.terminate()
            copy.wait(10)
        # A person ended it, and says go on.
        assert folder.stillhere("restart", "echo").returncode == 0
        assert supervisor.wait("verified", mark)["proof"] == "roundtrip"
        assert len(folder.server_log("conflict")) == 1
