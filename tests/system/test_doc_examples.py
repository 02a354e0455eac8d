"""What the documents have one copy and type, run as it stands there."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli.console import Console
from tests.markdown import ROOT, blocks, section
from tests.system.harness import PHONE, Event, Folder, Running, running

README = ROOT / "README.md"
START = ROOT / "docs" / "start.md"
YOUR_BOT = ROOT / "docs" / "your-bot.md"
CONTRACT = ROOT / "docs" / "contract.md"
PRESETS = ROOT / "docs" / "presets.md"
# Others may be loading the machine: what is late here is not what is tested.
PATIENCE_S = 60.0
STAMPED = re.compile(r"\d\d:\d\d:\d\d (.*)")
# In the recording and in this run alike: measured times, pids, keys.
DIFFERS = re.compile(r"\d+\.\d\d s|pid \d+|:[0-9a-f]{16}")

# systemd-notify, where a machine has none: it sends, and returns once the message was read.
STAND_IN = f"""#!{sys.executable}
import array, os, socket, sys
words = ["READY=1" if word == "--ready" else word for word in sys.argv[1:]]
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
link.connect(os.environ["NOTIFY_SOCKET"])
link.send("\\n".join(words).encode())
ours, theirs = os.pipe()
with_it = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs]))]
link.sendmsg([b"BARRIER=1"], with_it)
os.close(theirs)
os.read(ours, 1)
"""


def example(new_folder: Callable[..., Folder], text: str, language: str, name: str) -> Folder:
    """Make the folder of somebody who copied an example: its program, its config, the link."""
    (program,), (config,) = blocks(text, language), blocks(text, "toml")
    folder = new_folder(config)
    folder.write(name, program)
    shutil.copyfile(ROOT / "bot" / "link.py", folder.root / "link.py")
    return folder


def saved(supervisor: Running, name: str, line: str = "# saved") -> Event:
    """Save a file with one more line, and return the record of the restart that follows."""
    mark = supervisor.mark_now()
    path = supervisor.folder.root / name
    supervisor.folder.replace(name, path.read_text() + f"\n{line}\n")
    bot = str(supervisor.wait("changed", mark, PATIENCE_S)["bot"])
    return supervisor.restarted(mark, PATIENCE_S, bot)


def test_the_bot_with_a_few_words_is_restarted_as_the_same_device(
    new_folder: Callable[..., Folder],
) -> None:
    """Copied from docs/your-bot.md, it stands by, and each start is verified by its identity."""
    folder = example(
        new_folder, section(YOUR_BOT, "## When to speak the contract"), "python", "bot.py"
    )
    with running(folder) as supervisor:
        supervisor.wait("snapshot_taken", 0, PATIENCE_S, bot="mine")
        before = supervisor.status("mine")["session"]
        for _ in range(2):
            record = saved(supervisor, "bot.py")
            assert record["mode"] == "standby"
            assert record["verified"]
            assert record["proof"] == "identity"
        after = supervisor.status("mine")["session"]
        assert after["identity"] == before["identity"] == "device-1"
        assert not supervisor.seen("trespass")
        assert not supervisor.seen("pairing")
    assert (folder.root / "sessions/session-mine/device").read_text() == "device-1"


def test_a_preset_of_one_s_own_tells_that_a_bot_is_up(
    new_folder: Callable[..., Folder],
) -> None:
    """Copied from docs/presets.md, the bot that knows nothing of us is the same device again."""
    folder = example(new_folder, PRESETS.read_text(), "python", "bot.py")
    with running(folder) as supervisor:
        supervisor.wait("snapshot_taken", 0, PATIENCE_S, bot="mine")
        assert supervisor.status("mine")["session"]["identity"] == "robot-7"
        record = saved(supervisor, "bot.py")
        assert record["verified"]
        assert record["proof"] == "identity"
        assert not supervisor.seen("ready_assumed")
    assert (folder.root / "device-keys" / "device").read_text() == "robot-7"


class Chat:
    """The network of the contract's example: one line of JSON each way."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.hellos: list[Any] = []
        self._bots: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                bot, _ = self._server.accept()
            except OSError:
                return
            with bot.makefile("r") as lines:
                device = json.loads(lines.readline())["device"]
            self._bots.append(bot)
            self.hellos.append(device)
            if device is None:
                self.say(type="qr", text="scan-me-if-you-can")
            else:
                self.say(type="message", text="hello")
                self.say(type="welcome")
                self.say(type="probe")

    def say(self, **message: str) -> None:
        """Send the newest connection a line."""
        self._bots[-1].sendall(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """Be gone."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._accepting.join(10)
        for bot in self._bots:
            bot.close()


@contextmanager
def chat() -> Iterator[Chat]:
    """Run the network for the block."""
    network = Chat()
    try:
        yield network
    finally:
        network.close()


@pytest.fixture
def speaker(new_folder: Callable[..., Folder]) -> Folder:
    """The folder of the contract's Python example."""
    text = section(CONTRACT, "## All of it in Python")
    return example(new_folder, text, "python", "bot.py")


def test_the_contract_s_python_example_says_every_word(speaker: Folder) -> None:
    """Paired by a QR code, flushed on request, back by a save with a round trip, then removed."""
    with chat() as network, running(speaker, CHAT=str(network.port)) as supervisor:
        supervisor.wait("pairing", 0, PATIENCE_S)
        assert next(iter(supervisor.client.stream("link")))["qr"] == "scan-me-if-you-can"
        network.say(type="linked", device="d1:key")
        network.say(type="probe")
        supervisor.wait("snapshot_taken", 0, PATIENCE_S)

        record = saved(supervisor, "bot.py")
        assert (record["mode"], record["proof"]) == ("standby", "roundtrip")
        assert record["checkpoint_s"] is not None
        assert not supervisor.seen("checkpoint_missed")
        record = saved(supervisor, "bot.py")
        assert (record["mode"], record["proof"]) == ("standby", "roundtrip")
        kept = json.loads((speaker.root / "sessions/session-example/session.json").read_text())
        assert kept == {"device": "d1:key", "seen": 1}, "what it had in memory was flushed"
        assert network.hellos == [None, "d1:key", "d1:key"]

        mark = supervisor.mark_now()
        network.say(type="removed")
        supervisor.wait("epoch_closed", mark, PATIENCE_S)
        supervisor.wait("pairing", mark, PATIENCE_S)
        assert not supervisor.seen("session_restored")
        assert "scan-me-if-you-can" not in supervisor.console
        assert supervisor.status("example")["session"]["link_count"] == 1


def test_the_contract_s_python_example_knows_a_conflict(speaker: Folder) -> None:
    """Replaced by another copy, it is stopped and not started again."""
    with chat() as network, running(speaker, CHAT=str(network.port)) as supervisor:
        supervisor.wait("pairing", 0, PATIENCE_S)
        network.say(type="linked", device="d1:key")
        network.say(type="probe")
        supervisor.wait("snapshot_taken", 0, PATIENCE_S)
        network.say(type="replaced")
        supervisor.wait("failed", 0, PATIENCE_S)
        assert supervisor.seen("conflict")
        assert network.hellos == [None]


@pytest.fixture
def notify_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have a systemd-notify, also where there is none."""
    if shutil.which("systemd-notify") is None:
        tool = tmp_path / "bin" / "systemd-notify"
        tool.parent.mkdir()
        tool.write_text(STAND_IN)
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")


def stands_by(folder: Folder, bot: str, save: Callable[[Running], Event]) -> None:
    """Run an example: after a save the new code has waited beside the old: the same device."""
    with running(folder) as supervisor:
        supervisor.wait("snapshot_taken", 0, PATIENCE_S)
        before = supervisor.status(bot)["session"]["identity"]
        assert before.startswith("device-")
        record = save(supervisor)
        assert (record["mode"], record["proof"]) == ("standby", "identity")
        assert supervisor.status(bot)["session"]["identity"] == before
        assert not supervisor.seen("trespass")


@pytest.mark.usefixtures("notify_tool")
def test_the_contract_s_shell_example_stands_by(new_folder: Callable[..., Folder]) -> None:
    """A bot in a few lines of shell has the short gap and the same device, too."""
    folder = example(new_folder, section(CONTRACT, "## And in a shell"), "sh", "bot.sh")
    stands_by(folder, "shell", lambda supervisor: saved(supervisor, "bot.sh"))


@pytest.mark.usefixtures("notify_tool")
@pytest.mark.skipif(
    shutil.which("node") is None, reason="Node is not installed: nodejs would run it"
)
def test_the_contract_s_node_example_stands_by(new_folder: Callable[..., Folder]) -> None:
    """And one in Node."""
    folder = example(new_folder, section(CONTRACT, "## In Node"), "js", "bot.mjs")
    stands_by(folder, "node", lambda supervisor: saved(supervisor, "bot.mjs", "// saved"))


@pytest.mark.long  # the compiler takes its time
@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: golang would run it")
def test_the_contract_s_go_example_stands_by(new_folder: Callable[..., Folder]) -> None:
    """And one in Go, which is saved by its compiler."""
    folder = example(new_folder, section(CONTRACT, "## In Go"), "go", "main.go")

    def built(more: str = "") -> None:
        folder.write("main.go", (folder.root / "main.go").read_text() + more)
        command = ["go", "build", "-o", "bot", "main.go"]
        subprocess.run(command, cwd=folder.root, env=folder.environment(), check=True)

    def save(supervisor: Running) -> Event:
        mark = supervisor.mark_now()
        built("\nvar saved = 1\n")
        return supervisor.restarted(mark, PATIENCE_S, "go")

    built()
    stands_by(folder, "go", save)


def phone(folder: Folder, *words: str, typed: str = "") -> list[str]:
    """Run a command of the phone that ships; return the lines it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "bot.phone", *words],
        cwd=folder.root,
        env=folder.environment(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_recorded_first_run_can_be_had_again(folder: Folder) -> None:
    """The two terminals of docs/start.md: the same lines again, but for what is measured."""
    first, other = blocks(section(START, "## The bot that ships"), "text")
    (saves,) = blocks(section(START, "## Save a file, break a file"), "text")
    name = "bot/commands/ping.py"
    source = (folder.root / name).read_text()
    with running(folder) as supervisor:
        supervisor.wait("pairing", 0, PATIENCE_S)
        scanned = phone(folder, "scan")
        supervisor.wait("snapshot_taken", 0, PATIENCE_S)
        answered = phone(folder, "chat", typed="!ping\n")
        started = supervisor.mark_now()

        folder.write(name, source.replace("pong", "PONG"))
        supervisor.restarted(started, PATIENCE_S)
        mark = supervisor.mark_now()
        folder.write(name, source.replace('"pong"', '"pong'))
        supervisor.wait("held", mark, PATIENCE_S)
        folder.write(name, source.replace("pong", "Pong"))
        supervisor.restarted(mark, PATIENCE_S)
        mark = supervisor.mark_now()
        supervisor.client.call("restart", bot="echo")
        supervisor.restarted(mark, PATIENCE_S)
        happened = list(supervisor.events)

    # Without a terminal there are no keys, and no secret address; a server that was slow to come
    # leads to 'offline'.
    lines = [line for line in calm(happened) if not line.startswith("offline: ")]
    wanted = [line for line in recorded(first) if not line.startswith(("keys: ", "page: "))]
    assert sorted(lines[: len(wanted)]) == sorted(wanted)
    assert lines[len(wanted) :] == recorded(saves)
    typed = [line for line in other.splitlines() if not line.startswith(("$ ", "!"))]
    assert scanned + answered == typed


def calm(events: list[Event]) -> list[str]:
    """Return what a person reads of these events on a terminal."""
    console = Console({"server": None, "echo": PHONE}, scan={"echo": "make scan"})
    shown = [line for event in events for line in console.lines(event)]
    return [DIFFERS.sub("#", line.text) for line in shown if line.weight != "detail"]


def recorded(block: str) -> list[str]:
    """Return the console's lines of a recording."""
    found = [STAMPED.fullmatch(line) for line in block.splitlines()]
    return [DIFFERS.sub("#", line[1]) for line in found if line]


def test_a_run_leaves_what_the_readme_says_and_no_more(linked: Folder) -> None:
    """Each place of the layout is there after a run, private, and there is no other."""
    (block,) = blocks(section(README, "## Where things lie"), "text")
    places = [line.split()[0].replace("<id>", PHONE) for line in block.splitlines()]
    for place in places:
        path = linked.root / place
        assert place == "supervisor/" or path.is_dir() == place.endswith("/"), place
        if path.exists() and place not in ("config.toml", "bot/"):
            assert path.stat().st_mode & 0o077 == 0, place
    tops = {place.partition("/")[0] for place in places}
    assert {path.name for path in linked.root.iterdir()} <= tops
    assert list((linked.root / ".session-cache").glob(f"session-{PHONE}.*.json"))
    assert (linked.root / ".session-cache/README").is_file()
