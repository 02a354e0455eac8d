"""A supervisor that dies, at any moment: its bot is never doubled, and the next one takes over."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bot.phone import PhoneClient, ask_admin
from tests.system.gates import Gate
from tests.system.harness import Event, Folder, Running, alive, end_all, processes_of, serving
from tests.system.marks import online_one_at_a_time
from tests.unit.cli.terminal import state

ALONE = """
[bot.echo]
command = ["python", "-m", "bot"]
session = "971505760056"
watch = ["bot"]
stop_timeout_s = 1
restore_timeout_s = 30
checkpoint_timeout_s = 30

[bot.echo.snapshots]
freeze_timeout_ms = 5000
"""
PATIENCE_S = 10.0
PING = "bot/commands/ping.py"
GATE = """
from pathlib import Path


def gate(phase: str) -> None:
    path = Path("gates", phase)
    if path.exists():
        path.read_bytes()
"""
# Where the shipped bot waits if there is a gate: file, the line, the phase.
GATES = (
    ("bot/main.py", "    link.caps(chosen.caps)\n", "standby"),
    ("bot/main.py", "    link.stopping()\n", "stopping"),
    ("bot/app.py", "        self._link.checkpointed()\n", "checkpointing"),
)


def gated(new_folder: Callable[..., Folder]) -> Folder:
    """Make the folder of the bot that ships, with gates in it and in its supervisor."""
    folder = new_folder(ALONE).with_shipped_bot()
    folder.module = "tests.system.gated_supervisor"
    folder.write("bot/gates.py", GATE)
    for name, line, phase in GATES:
        text = (folder.root / name).read_text()
        assert text.count(line) == 1
        indent = line[: len(line) - len(line.lstrip())]
        waits = f'{indent}__import__("bot.gates").gates.gate("{phase}")\n'
        folder.write(name, text.replace(line, waits + line))
    return folder


class Reign:
    """One supervisor after the other over the same folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.now = Running(folder)
        self.identity = ""
        self.text = "pong"

    def killed_by_surprise(self, **extra: str) -> None:
        """SIGKILL to the supervisor; the next one starts."""
        self.now.kill()
        self.now = Running(self.folder, **extra)

    def save(self) -> None:
        """Save the next code."""
        source = (self.folder.root / PING).read_text()
        old, self.text = self.text, self.text + "!"
        self.folder.replace(PING, source.replace(f'"{old}"', f'"{self.text}"'))

    def the_same_device(self, phone: PhoneClient) -> Event:
        """Wait until the bot is proved; check that it is the device it was, with the new code."""
        verified = self.now.wait("verified", bot="echo")
        assert verified["proof"] == "roundtrip"
        assert verified["identity"] == self.identity
        assert phone.wait_reply(phone.send("!ping")).text == self.text
        online_one_at_a_time(self.folder)
        return verified


@contextmanager
def reign(folder: Folder) -> Iterator[Reign]:
    """Supervisors for the block; nothing is left."""
    made = Reign(folder)
    try:
        yield made
        made.now.stop()
    finally:
        end_all(folder)


def bots(folder: Folder) -> list[int]:
    """Return the pids of the bot's processes, standby too."""
    return [pid for pid, command in processes_of(folder) if "-m bot " in command]


def linked(life: Reign) -> PhoneClient:
    """Scan the code that is shown, and return the phone."""
    phone = life.folder.phone()
    phone.connect()
    phone.scan()
    life.now.wait("snapshot_taken", bot="echo")
    life.identity = life.now.status()["session"]["identity"]
    return phone


def thawed(pids: list[int]) -> None:
    """Return once none of them stands still, with no supervisor to help."""
    deadline = time.monotonic() + PATIENCE_S
    while "T" in map(state, pids):
        assert time.monotonic() < deadline, "nobody thawed them"
        os.sched_yield()


def killed_in(life: Reign, phone: PhoneClient, phase: str) -> Event:
    """Save, hold the restart in that phase, SIGKILL the supervisor, see the next one take over."""
    with Gate(life.folder, phase) as gate:
        life.save()
        gate.reached()
        orphans = bots(life.folder)
        if phase == "frozen":
            assert "T" in map(state, orphans)
            life.now.kill()
            thawed(orphans)
        life.killed_by_surprise()
        verified = life.the_same_device(phone)
    alive = bots(life.folder)
    assert len(alive) == 1
    assert not set(alive) & set(orphans)
    return verified


def test_killed_while_it_pairs_starts_and_runs(new_folder: Callable[..., Folder]) -> None:
    """Killed in pairing: one code more, one link. Killed while it verifies, or up: the same device.

    And killed with a restart under way: in the preflight, the standby, the checkpoint.
    """
    folder = gated(new_folder)
    with serving(folder), reign(folder) as life:
        life.now.wait("pairing", bot="echo")
        life.killed_by_surprise()
        life.now.wait("pairing", bot="echo")
        with linked(life) as phone:
            life.killed_by_surprise()  # up
            life.the_same_device(phone)
            ask_admin(folder.chat_data, "mute", on=True)
            mark = life.now.mark()
            life.save()
            life.now.wait("activated", mark)  # verifying, until the server speaks again
            life.killed_by_surprise()
            life.now.wait("spawned")  # starting
            life.killed_by_surprise()
            ask_admin(folder.chat_data, "mute", on=False)
            life.the_same_device(phone)
            for phase in ("preflight", "standby", "checkpointing"):
                killed_in(life, phone, phase)
        session = life.now.status()["session"]
        assert session["link_count"] == 1
        assert session["qr_count"] <= 2  # the first one's count may have died with it
        assert session["rollback_count"] == 0


def test_killed_between_two_generations(new_folder: Callable[..., Folder]) -> None:
    """Killed with the tree frozen, while the old one stops, before the seal, at the hand-over."""
    folder = gated(new_folder)
    with serving(folder), reign(folder) as life:
        life.now.wait("pairing", bot="echo")
        with linked(life) as phone:
            for phase in ("snapshotting", "frozen", "stopping", "sealing", "activating"):
                killed_in(life, phone, phase)
        session = life.now.status()["session"]
        assert (session["link_count"], session["qr_count"]) == (1, 1)
        assert session["rollback_count"] == 0
        assert not folder.info()["quarantine"]


def test_without_a_parent_death_signal_the_survivor_is_swept(
    new_folder: Callable[..., Folder],
) -> None:
    """No setpriv on PATH: the bot outlives its supervisor, online; the next one ends it first."""
    folder = new_folder(ALONE).with_shipped_bot()
    with serving(folder), reign(folder) as life:
        life.now.wait("pairing", bot="echo")
        with linked(life) as phone:
            life.killed_by_surprise(PATH="/nowhere")
            life.the_same_device(phone)
            survivor = life.now.status()["pid"]
            generation = life.now.status()["generation"]
            life.now.kill()
            assert phone.wait_reply(phone.send("!ping")).text == "pong"  # it lives on
            life.killed_by_surprise()
            found = life.now.wait("survivors_found")
            assert (found["pids"], found["generations"]) == ([survivor], [generation])
            life.now.wait("survivors_gone")
            assert life.the_same_device(phone)["generation"] == generation + 1
            assert not alive(survivor)


SCATTERED = """
import json, os, signal, subprocess, sys
from pathlib import Path
from bot.link import Link

signal.signal(signal.SIGTERM, signal.SIG_IGN)
link = Link()
session = link.standby()
(session / "creds.json").write_text(json.dumps({"device": 7}))
deaf = "import signal; signal.signal(15, 1)\\nwhile True: signal.pause()"
argv = [sys.executable, "-I", "-S", "-c", deaf]
# One with the lock's byte and without the token, one with the token and without the byte.
no_token = subprocess.Popen(argv, env={}, close_fds=False, start_new_session=True)
no_byte = subprocess.Popen(argv, start_new_session=True)
Path("pids").write_text(f"{no_token.pid} {no_byte.pid}")
link.ready("restored", identity="7:seven")
while True:
    signal.pause()
"""


def test_survivors_are_found_by_byte_and_by_token(
    new_folder: Callable[..., Folder],
) -> None:
    """Grandchildren that hide, in sessions of their own, deaf to SIGTERM: both are gone first."""
    folder = new_folder(
        '[bot.x]\ncommand = ["python", "x.py"]\nsession = "x"\nstop_timeout_s = 0.3\n'
    )
    folder.write("x.py", SCATTERED)
    with reign(folder) as life:
        life.now.wait("verified")
        main = life.now.status("x")["pid"]
        pids = [int(word) for word in (folder.root / "pids").read_text().split()]
        life.now.kill()
        os.kill(main, 9)
        life.now = Running(folder)
        found = life.now.wait("survivors_found")
        assert set(pids) <= set(found["pids"])
        assert found["generations"] == [1]
        life.now.wait("verified")
        assert not [pid for pid in pids if alive(pid)]


@pytest.mark.parametrize("mode", ["dev", "run"])
def test_a_second_supervisor_is_refused(folder: Folder, mode: str) -> None:
    """The same config, or another one with the same sessions: the first one's pid is named."""
    with reign(folder) as life:
        life.now.wait("pairing", bot="echo")
        before = bots(folder)
        second = folder.stillhere(mode)
        assert second.returncode == 1
        assert f"pid {life.now.process.pid}" in second.stdout + second.stderr
        text = (folder.root / "config.toml").read_text()
        other = folder.write("other.toml", text)
        third = folder.stillhere(mode, "--config", str(other))
        assert third.returncode == 1
        assert f"pid {life.now.process.pid}" in third.stdout + third.stderr
        assert bots(folder) == before
        with linked(life) as phone:
            assert phone.wait_reply(phone.send("!ping")).text == "pong"
        assert life.now.status()["session"]["link_count"] == 1
