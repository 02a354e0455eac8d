"""What counts as a change, and that none is forgotten, whenever it comes."""

import itertools
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.gates import Gate
from tests.system.harness import PHONE, SHIPPED, Event, Folder, Running, answer, running

BOTS = Path(__file__).parent / "bots"
BURST = 1000
BURST_S = 0.4
QUIET_S = 0.05
NUMBER = "src/number.py"
PING = "bot/commands/ping.py"

GATED = """
[bot.echo]
command = ["python", "src/gated_bot.py"]
session = "971505760056"
watch = ["src", "assets"]
stop_timeout_s = 30
restore_timeout_s = 30
checkpoint_timeout_s = 30
"""
# By which gate a restart is held, in which phase, and how many are then still to end: once the
# new code has taken over, the change is the next one's.
STANDING_BY = [
    ("preflight", "preflight", 1),
    ("standby", "standby", 1),
    ("checkpointing", "checkpointing", 1),
    ("snapshotting", "snapshotting", 1),
    ("stopping", "stopping", 1),
    ("sealing", "sealing", 1),
    ("activating", "activating", 1),
    ("verifying", "verifying", 2),
]
# The standby starts meanwhile, and the phase is its own until it waits.
SIDE_BY_SIDE = ("checkpointing", "snapshotting")
COLD = [
    ("sealing", "sealing", 1),
    ("activating", "starting", 1),
    ("verifying", "verifying", 2),
]


def save(folder: Folder, number: int) -> None:
    """Save the next code of the synthetic bot."""
    folder.replace(NUMBER, f"NUMBER = {number}\n")


def synthetic(new_folder: Callable[..., Folder]) -> Folder:
    """Make the folder of the bot in bots/gated_bot.py."""
    folder = new_folder(GATED)
    folder.write("src/gated_bot.py", (BOTS / "gated_bot.py").read_text())
    save(folder, 0)
    return folder


def restarts(supervisor: Running, mark: int, count: int) -> Event:
    """Wait for so many restarts after a place in the journal; return the last one's record."""
    found: list[Event] = []

    def wanted(event: Event) -> bool:
        if event["event"] == "restarted":
            found.append(event)
        return len(found) == count

    record: Event = supervisor.wait_for(wanted, mark, 30.0, f"{count} x restarted")["record"]
    return record


def takeovers(supervisor: Running, mark: int) -> list[Event]:
    """Return each time the session went to new code, after a place in the journal."""
    return [
        *supervisor.seen("activated", mark),
        *supervisor.seen("spawned", mark, mode="cold", bot="echo"),
        *supervisor.seen("spawned", mark, mode="warm", bot="echo"),
    ]


@pytest.mark.parametrize(("standby", "phases"), [("auto", STANDING_BY), ("off", COLD)])
def test_a_change_in_the_middle_of_any_phase(
    new_folder: Callable[..., Folder], standby: str, phases: list[tuple[str, str, int]]
) -> None:
    """A change in the middle of each phase: exactly one more restart, and the newest code runs."""
    folder = synthetic(new_folder)
    folder.write("config.toml", f'{GATED}standby = "{standby}"\n')
    folder.module = "tests.system.gated_supervisor"
    number = 0
    total = 1  # the first start, which makes the session
    with running(folder) as supervisor:
        supervisor.restarted(0)
        for name, phase, due in phases:
            with Gate(folder, name) as gate:
                mark = supervisor.mark_now()
                save(folder, number + 1)
                gate.reached()
                if phase in SIDE_BY_SIDE:
                    supervisor.wait("standby_waiting", mark)
                assert supervisor.status()["phase"] == phase
                middle = supervisor.mark_now()
                save(folder, number + 2)
                supervisor.wait("changed", middle)
            number += 2
            record = restarts(supervisor, mark, due)
            status = supervisor.status()
            assert (status["phase"], status["status"]) == ("up", f"number {number}"), phase
            assert (record["verified"], record["proof"]) == (True, "identity"), phase
            assert len(takeovers(supervisor, middle)) == 1, phase
            total += due
        for event in ("held", "failed", "killed", "late", "snapshot_failed", "standby_failed"):
            assert not supervisor.seen(event), event
        assert supervisor.stop() == 0
    assert len(supervisor.seen("restarted")) == total
    assert len(supervisor.seen("changed")) == 2 * len(phases)
    session = folder.info()
    assert (session["restore_count"], session["rollback_count"]) == (total - 1, 0)


def burst(assets: list[Path]) -> int:
    """Change all the files, again and again for BURST_S, as a branch switch does once.

    Returns how often this machine stood still for as long as the watcher waits for quiet.
    """
    last = time.monotonic()
    until = last + BURST_S
    stalls = 0
    for count in itertools.count():
        now = time.monotonic()
        stalls += now - last > QUIET_S
        last = now
        if count >= BURST and now > until:
            break
        assets[count % BURST].write_text(f"new {count}")
    return stalls


def test_a_burst_is_one_change_and_a_touch_is_none(new_folder: Callable[..., Folder]) -> None:
    """1,000 files changed within 0.5 s: one restart. touch, chmod, the same content: none."""
    folder = synthetic(new_folder)
    assets = [folder.write(f"assets/{n}.txt", "old") for n in range(BURST)]
    with running(folder) as supervisor:
        supervisor.restarted(0)
        mark = supervisor.mark_now()
        stalls = burst(assets)
        record = supervisor.restarted(mark)
        assert stalls or len(record["changed"]) == BURST
        save(folder, 1)
        supervisor.wait_for(
            lambda e: e["event"] == "restarted" and NUMBER in e["record"]["changed"],
            *(mark, 30.0, "restart with the save after the burst"),
        )
        assert 2 <= len(supervisor.seen("restarted", mark)) <= 2 + stalls

        # The same content: under a new time, a new mode, written anew, as another file.
        mark = supervisor.mark_now()
        for asset in assets:
            asset.touch()
        for path in (folder.root / "src").iterdir():
            path.chmod(0o755)
            path.write_bytes(path.read_bytes())
            folder.replace(f"src/{path.name}", path.read_text())
        save(folder, 2)
        assert supervisor.restarted(mark)["changed"] == [NUMBER]
        assert supervisor.status()["status"] == "number 2"
        assert len(supervisor.seen("restarted", mark)) == 1
        assert supervisor.stop() == 0


def test_a_folder_made_again_is_still_watched(new_folder: Callable[..., Folder]) -> None:
    """A watched folder that is deleted and made again, or replaced by another one, is watched."""
    folder = synthetic(new_folder)
    source, kept = folder.root / "src", folder.root / "kept"
    with running(folder) as supervisor:
        supervisor.restarted(0)

        # Deleted: nothing that could start, so the old bot stays. Made again: as before.
        shutil.copytree(source, kept)
        (kept / "number.py").write_text("NUMBER = 1\n")
        pid = supervisor.status()["pid"]
        mark = supervisor.mark_now()
        shutil.rmtree(source)
        supervisor.wait("standby_failed", mark)
        assert supervisor.status()["pid"] == pid
        mark = supervisor.mark_now()
        kept.rename(source)
        supervisor.restarted(mark)
        assert supervisor.status()["status"] == "number 1"

        # Another folder of the same content in its place: no change, and it is the one watched.
        shutil.copytree(source, kept)
        mark = supervisor.mark_now()
        source.rename(folder.root / "aside")
        kept.rename(source)
        for number in range(2, 5):
            save(folder, number)
            assert supervisor.restarted(mark)["changed"] == [NUMBER]
            assert supervisor.status()["status"] == f"number {number}"
            mark = supervisor.mark_now()
        assert len(supervisor.seen("restarted")) == 5
        assert supervisor.stop() == 0


def test_the_sessions_own_files_are_no_source(linked: Folder) -> None:
    """Whatever the bot and the store write, wherever it lies in what is watched: no restart."""
    config = SHIPPED.replace('watch = ["bot"]', 'watch = ["."]\nsession_path = "bot/data/x"')
    linked.write("config.toml", config + 'ignore = [".chat-server", "console-*.log"]\n')
    (linked.root / "bot/data").mkdir()
    linked.session.rename(linked.root / "bot/data/x")
    with running(linked) as supervisor:
        supervisor.restarted(0)
        with linked.phone() as phone:
            for number in range(1, 3):
                for _ in range(5):
                    assert answer(phone) == ("pong" if number == 1 else "PONG")
                taken = supervisor.client.call("session", op="backup", id=PHONE)
                assert taken["verdict"] in ("good", "pending")
                linked.write("bot/data/x/media/new.bin", f"written by the bot: {number}")
                mark = supervisor.mark_now()
                text = (linked.root / PING).read_text()
                new = text.replace("pong", "PONG") if number == 1 else text + "\n"
                linked.write(PING, new)
                record = supervisor.restarted(mark)
                assert record["changed"] == [PING]
                assert record["proof"] == "roundtrip"
            assert answer(phone) == "PONG"
        changed = supervisor.seen("changed")
        assert [event["paths"] for event in changed] == [[PING], [PING]]
        assert len(supervisor.seen("restarted", bot="echo")) == 3
        assert supervisor.stop() == 0


def test_our_own_output_is_no_source(new_folder: Callable[..., Folder]) -> None:
    """`stillhere dev > log` in the bot's folder: each line of ours would be a change."""
    folder = new_folder(
        '[bot.one]\ncommand = ["python", "bot.py"]\nready = { log = "up" }\nignore = []\n'
    )
    source = "import signal\nprint('up', flush=True)\nsignal.pause()\n"
    folder.write("bot.py", source)
    with running(folder) as supervisor:
        supervisor.wait("restarted")
        mark = supervisor.mark_now()
        folder.replace("bot.py", source + "# saved\n")
        assert supervisor.restarted(mark, bot="one")["changed"] == ["bot.py"]
        assert [event["paths"] for event in supervisor.seen("changed")] == [["bot.py"]]
