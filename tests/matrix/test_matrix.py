"""The bot on a real homeserver, under the real supervisor: the main job, and what kills it."""

import logging
import os
import signal
import statistics

import pytest

pytest.importorskip("nio", reason="matrix-nio is not installed: `make test-matrix` does it")

from tests.matrix.conftest import MatrixFolder
from tests.matrix.marks import answered_once, owner_of, talking
from tests.system.harness import Running, running

pytestmark = pytest.mark.matrix
PING = "bot/commands/ping.py"
_LOG = logging.getLogger(__name__)


def save(folder: MatrixFolder) -> None:
    """Save a changed bot."""
    folder.replace(PING, (folder.root / PING).read_text() + "# saved\n")


def same_device(supervisor: Running, identity: str) -> None:
    """The device of the first login, which was the only one."""
    session = supervisor.status()["session"]
    assert (session["identity"], session["link_count"]) == (identity, 1)
    assert not supervisor.seen("session_restored")


def test_a_first_login_makes_a_device_and_its_owner_is_answered(folder: MatrixFolder) -> None:
    """By password from the env_file; one link, proved, and one answer to a message."""
    with running(folder) as supervisor, owner_of(folder) as person:
        snapshot = supervisor.wait("snapshot_taken", bot="echo")["snapshot"]
        assert (snapshot["reason"], snapshot["proof"]) == ("linked", "roundtrip")
        person.invite(folder.bot)
        assert person.ask("!ping") == "pong"
        session = supervisor.status()["session"]
        assert (session["link_count"], session["qr_count"]) == (1, 0)
        assert folder.devices() == [session["identity"].partition(":")[0]]
        assert (folder.session / "creds.json").stat().st_mode & 0o077 == 0
        assert (folder.session / "crypto.db").stat().st_mode & 0o077 == 0
        assert person.ask("!remind 1s tea") == "I will remind you in 1 s."
        assert person.reply("") == "Reminder: tea"  # it answers no message


def test_twenty_saves_and_every_message_is_answered_once(folder: MatrixFolder) -> None:
    """The same device after each, proved; what is sent meanwhile is neither lost nor doubled."""
    with talking(folder) as (supervisor, person):
        identity = supervisor.status()["session"]["identity"]
        asked, records = [], []
        for _ in range(20):
            mark = supervisor.mark_now()
            asked.append(person.send("!ping"))
            save(folder)
            asked.append(person.send("!note one more"))
            records.append(supervisor.restarted(mark))
            asked.append(person.send("!ping"))
        for figure in ("save_to_ready_s", "gap_s"):
            took = [record[figure] for record in records]
            _LOG.info("%s: median %.3f, most %.3f", figure, statistics.median(took), max(took))
        assert {record["proof"] for record in records} == {"roundtrip"}
        assert {record["mode"] for record in records} == {"standby"}
        answered_once(folder, person, asked)
        assert person.ask("!note") == "\n".join(f"{n}. one more" for n in range(1, 21))
        same_device(supervisor, identity)


def test_a_bot_killed_while_it_answers_answers_once(folder: MatrixFolder) -> None:
    """SIGKILL, five times, among messages: the next generation does what was left, no more."""
    with talking(folder) as (supervisor, person):
        identity = supervisor.status()["session"]["identity"]
        asked = []
        for _ in range(5):
            mark = supervisor.mark_now()
            asked += [person.send("!note one more") for _ in range(3)]
            os.kill(supervisor.status()["pid"], signal.SIGKILL)
            asked.append(person.send("!ping"))
            record = supervisor.restarted(mark, 40.0)
            assert (record["reason"], record["proof"]) == ("crash", "roundtrip")
        answered_once(folder, person, asked)
        assert person.ask("!note") == "\n".join(f"{n}. one more" for n in range(1, 16))
        same_device(supervisor, identity)


def test_a_killed_supervisor_leaves_no_second_bot_and_no_message(folder: MatrixFolder) -> None:
    """SIGKILL to the supervisor; a new one goes on as the same device."""
    with talking(folder) as (supervisor, person):
        identity = supervisor.status()["session"]["identity"]
        asked = [person.send("!ping")]
        supervisor.kill()
        asked.append(person.send("!ping"))
        with running(folder, "run") as second:
            asked.append(person.send("!ping"))
            assert second.restarted(0)["proof"] == "roundtrip"
            answered_once(folder, person, asked)
            same_device(second, identity)


def test_a_second_supervisor_is_refused(folder: MatrixFolder) -> None:
    """Matrix says nothing of two copies of a device: the lock on the session must."""
    with talking(folder) as (supervisor, person):
        refused = folder.stillhere("run")
        assert refused.returncode != 0
        assert str(supervisor.process.pid) in refused.stderr + refused.stdout
        assert person.ask("!ping") == "pong"
        assert len(folder.devices()) == 1


def test_more_than_one_page_came_while_the_bot_was_away(folder: MatrixFolder) -> None:
    """A sync shows a room's last hundred events; the older ones are fetched, and answered too."""
    with talking(folder) as (supervisor, person):
        identity = supervisor.status()["session"]["identity"]
        assert supervisor.stop() == 0
        asked = [person.send(f"!note {n}") for n in range(1, 131)]
        with running(folder) as again:
            again.restarted(0)
            for n, one in enumerate(asked[:100], 1):
                assert person.reply(one) == f"Noted ({n})."  # in their order
            answered_once(folder, person, asked)
            same_device(again, identity)
