"""A newcomer's folder, a real supervisor in it, and what a test may wait for.

Everything runs as people run it: processes, sockets, files, signals. A test waits for events of
the journal, for a reply on the phone, or for a process to end; never for time to pass.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from bot.phone_client import PhoneClient
from supervisor.control.client import Client
from supervisor.control.journal import now
from supervisor.core.errors import SupervisorError

ROOT = Path(__file__).resolve().parents[2]
PHONE = "971505760056"
WAIT_S = 20.0

Event = dict[str, Any]

SHIPPED = """
[bot.server]
command = ["python", "-m", "bot.server"]
session = false

[bot.echo]
command = ["python", "-m", "bot"]
session = "971505760056"
watch = ["bot"]
"""


class Folder:
    """A project folder: config, bot, and all that the supervisor will make."""

    def __init__(self, root: Path, cache: Path, config: str = SHIPPED) -> None:
        self.root = root
        self.cache = cache
        self.module = "supervisor"  # what `python -m` runs as the supervisor
        self.before: list[str] = []  # what that is run under
        self.stdin = subprocess.DEVNULL  # what that reads
        self.command: list[str] = []  # of the bot, where the config has none
        root.mkdir(parents=True, exist_ok=True)
        if config:
            self.write("config.toml", config)

    def with_shipped_bot(self) -> Self:
        """Add the bot that ships."""
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "bot", self.root / "bot", ignore=ignore)
        return self

    def write(self, name: str, text: str) -> Path:
        """Write a file in place, as simple editors do."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def replace(self, name: str, text: str) -> Path:
        """Write a file beside and rename it over, as careful editors do."""
        path = self.root / name
        beside = path.with_name(f".{path.name}.new~")
        beside.write_text(text)
        beside.rename(path)
        return path

    @property
    def session(self) -> Path:
        """The session's folder."""
        return self.root / "sessions" / f"session-{PHONE}"

    @property
    def chat_data(self) -> Path:
        """Where the chat server and the phone keep their things."""
        return self.root / ".chat-server"

    def environment(self, **extra: str) -> dict[str, str]:
        """Return a clean environment, as in a fresh login."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(self.cache),
            "NO_COLOR": "1",
            **extra,
        }

    def stillhere(self, *args: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "supervisor", *args],
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def json(self, *args: str) -> Any:
        """Run a read command with --json and return what it printed."""
        done = self.stillhere(*args, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def info(self) -> dict[str, Any]:
        """Return what `session info --json` says."""
        found: dict[str, Any] = self.json("session", "info", PHONE)
        return found

    def server_log(self, event: str | None = None) -> list[Event]:
        """Return the chat server's own log."""
        lines = (self.chat_data / "server.log").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if event is None or entry["event"] == event]

    def phone(self) -> PhoneClient:
        """Return a phone of this folder's chat network."""
        return PhoneClient(self.chat_data)


class Running:
    """A supervisor that runs, and its journal as it grows."""

    def __init__(self, folder: Folder, mode: str = "dev", **extra: str) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self._since = now()  # the journal outlives a supervisor: older lines are not this one's
        self._grown = threading.Condition()
        given = ["--", *folder.command] if folder.command else []
        self.log = folder.root / f"console-{time.monotonic_ns()}.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [*folder.before, sys.executable, "-m", folder.module, mode, *given],
                cwd=folder.root,
                env=folder.environment(**extra),
                stdin=folder.stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.client = Client.for_config(folder.root / "config.toml")
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    @property
    def console(self) -> str:
        """All that the supervisor printed so far."""
        return self.log.read_text(errors="replace")

    def _follow(self) -> None:
        while self.process.poll() is None:
            told = list(self.events)  # after an upgrade we come again, and hear it all again
            try:
                for event in self.client.stream("events", follow=True):
                    if event in told:
                        told.remove(event)
                    elif event.get("t", "") >= self._since:
                        self._add(event)
            except SupervisorError:
                self.process_waits()
        self._add({"event": "supervisor_gone"})

    def process_waits(self) -> None:
        """Give a supervisor that does not listen yet a moment, without burning the core."""
        with self._grown:
            self._grown.wait(0.01)

    def _add(self, event: Event) -> None:
        with self._grown:
            self.events.append(event)
            self._grown.notify_all()

    def mark(self) -> int:
        """Return a place in the journal to wait from."""
        with self._grown:
            return len(self.events)

    def mark_now(self) -> int:
        """Return a place in the journal after all that has happened so far.

        What a test learns in another way (a gate, the phone) may be ahead of the journal.
        """
        last = list(self.client.stream("events", follow=False))[-1]
        self.wait_for(lambda e: e == last, 0, WAIT_S, f"{last}")
        return self.mark()

    def wait(self, event: str, after: int = 0, timeout_s: float = WAIT_S, **fields: Any) -> Event:
        """Return the first event of that kind, with those fields, from place `after` on."""
        return self.wait_for(
            lambda e: e["event"] == event and all(e.get(k) == v for k, v in fields.items()),
            after,
            timeout_s,
            f"{event} {fields or ''}",
        )

    def wait_for(
        self, wanted: Callable[[Event], bool], after: int, timeout_s: float, words: str
    ) -> Event:
        """Return the first event that is wanted."""
        until = time.monotonic() + timeout_s
        place = after
        with self._grown:
            while True:
                while place < len(self.events):
                    if wanted(self.events[place]):
                        return self.events[place]
                    place += 1
                rest = until - time.monotonic()
                gone = self.events and self.events[-1]["event"] == "supervisor_gone"
                if rest <= 0 or gone:
                    break
                self._grown.wait(rest)
        told = "\n".join(json.dumps(e)[:300] for e in self.events[after:])
        raise AssertionError(f"no {words} in\n{told}\nconsole:\n{self.console[-4000:]}")

    def seen(self, event: str, after: int = 0, **fields: Any) -> list[Event]:
        """Return the events of that kind so far."""
        with self._grown:
            return [
                e
                for e in self.events[after:]
                if e["event"] == event and all(e.get(k) == v for k, v in fields.items())
            ]

    def shows(self, text: str, timeout_s: float = WAIT_S) -> str:
        """Return the console once it shows this; it is written a moment after the journal."""
        until = time.monotonic() + timeout_s
        while text not in (console := self.console):
            assert time.monotonic() < until, f"{text!r} is not shown:\n{console[-4000:]}"
            self.process_waits()
        return console

    def until(self, true: Callable[[], bool], words: str = "it", timeout_s: float = WAIT_S) -> None:
        """Wait for what no event tells of."""
        end = time.monotonic() + timeout_s
        while not true():
            assert time.monotonic() < end, f"never {words}:\n{self.console[-4000:]}"
            self.process_waits()

    def status(self, bot: str = "echo") -> dict[str, Any]:
        """Return what `status --json` says of one bot."""
        found: dict[str, Any] = self.client.call("status")["bots"][bot]
        return found

    def restarted(self, after: int, timeout_s: float = WAIT_S, bot: str = "echo") -> Event:
        """Wait for the next finished restart; return its record."""
        record: Event = self.wait("restarted", after, timeout_s, bot=bot)["record"]
        return record

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL to the supervisor alone."""
        self.process.kill()
        self.process.wait(10)


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie that nobody collects does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


@contextmanager
def serving(folder: Folder) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the chat server for the block, outside of any supervisor: it outlives them."""
    with subprocess.Popen(
        [sys.executable, "-m", "bot.server"],
        cwd=folder.root,
        env=folder.environment(),
        stdout=subprocess.PIPE,
    ) as server:
        try:
            assert server.stdout is not None
            assert b"listening" in server.stdout.readline()
            yield server
        finally:
            server.kill()


def processes_of(folder: Folder) -> list[tuple[int, str]]:
    """Return what still runs of a folder: by working directory or environment."""
    mark = os.fsencode(str(folder.root))
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            here = os.fsencode((entry / "cwd").readlink()).startswith(mark)
            if here or mark in (entry / "environ").read_bytes():
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if command:
                    found.append((int(entry.name), command))
        except OSError:
            continue
    return found


@contextmanager
def running(folder: Folder, mode: str = "dev", **extra: str) -> Iterator[Running]:
    """Run a supervisor for the block; nothing of it is left behind."""
    supervisor = Running(folder, mode, **extra)
    try:
        yield supervisor
    finally:
        try:
            supervisor.stop()
        except subprocess.TimeoutExpired:
            supervisor.kill()
            raise AssertionError(f"it did not stop:\n{supervisor.console[-4000:]}") from None
        finally:
            end_all(folder)


def end_all(folder: Folder) -> list[tuple[int, str]]:
    """SIGKILL whatever a folder has left, by pid; return what there was."""
    left = processes_of(folder)
    for pid, _ in left:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return left


def link(supervisor: Running) -> PhoneClient:
    """Scan the QR code with a phone; return it once the bot is up as its device."""
    supervisor.wait("pairing", bot="echo")
    phone = supervisor.folder.phone()
    phone.connect()
    phone.scan()
    supervisor.wait("snapshot_taken", bot="echo")
    return phone


def answer(phone: PhoneClient) -> str:
    """Return what the bot says to !ping."""
    return phone.wait_reply(phone.send("!ping"), 20.0).text
