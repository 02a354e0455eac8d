"""What the bot's tests share: real processes on loopback, and a supervisor's ear for a bot."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bot.phone import PhoneClient, ask_admin

ROOT = Path(__file__).resolve().parents[3]
PATIENCE_S = 30.0


class Ear:
    """A notify socket: what a supervisor hears of one process."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.heard: list[dict[str, str]] = []
        self.raw: list[str] = []

    def next(self, timeout_s: float = PATIENCE_S) -> dict[str, str]:
        """Return the next datagram's fields."""
        self._socket.settimeout(timeout_s)
        self.raw.append(self._socket.recv(8192).decode())
        fields = dict(line.split("=", 1) for line in self.raw[-1].splitlines())
        self.heard.append(fields)
        return fields

    def until(self, key: str, value: str | None = None) -> dict[str, str]:
        """Return the next datagram that has this field (with this value)."""
        deadline = time.monotonic() + PATIENCE_S
        while (left_s := deadline - time.monotonic()) > 0:
            fields = self.next(left_s)
            if key in fields and value in (None, fields[key]):
                return fields
        raise AssertionError(f"{key}={value} never came; heard: {self.heard}")

    def rest(self) -> list[dict[str, str]]:
        """Return what is in the socket now, without waiting."""
        start = len(self.heard)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.next(0)
        return self.heard[start:]

    def close(self) -> None:
        """Stop hearing."""
        self._socket.close()


class Proc:
    """A process that speaks the contract."""

    def __init__(self, popen: "subprocess.Popen[str]", ear: Ear, out: Path) -> None:
        self.popen = popen
        self.ear = ear
        self._out = out

    @property
    def pid(self) -> int:
        """The process id."""
        return self.popen.pid

    def output(self) -> str:
        """Return what it printed so far."""
        return self._out.read_text()

    def ready(self) -> dict[str, str]:
        """Wait until it says READY."""
        return self.ear.until("READY", "1")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self.popen.kill()
        self.popen.wait(PATIENCE_S)

    def stop(self) -> int:
        """Ask it to end; return its exit status."""
        self.popen.terminate()
        return self.popen.wait(PATIENCE_S)


class World:
    """A chat server's folder, sessions, and the processes of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "chat"
        self.session = folder / "session"
        self.trace = folder / "trace.jsonl"
        self._procs: list[Proc] = []
        self._phones: list[PhoneClient] = []
        self._count = 0

    def env(self, **more: str) -> dict[str, str]:
        """Return the environment of a child: ours, without any supervisor's words."""
        env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("STILLHERE_", "NOTIFY_", "WATCHDOG_"))
        }
        paths = {"PYTHONPATH": str(ROOT), "STILLHERE_CHAT_DATA": str(self.data)}
        return {**env, **paths, "STILLHERE_BOT_TRACE": str(self.trace), **more}

    def start(
        self, *command: str, pass_fds: tuple[int, ...] = (), env: dict[str, str] | None = None
    ) -> Proc:
        """Start `python -m COMMAND...` with a notify socket."""
        self._count += 1
        ear = Ear(self.folder, f"n{self._count}")
        out = self.folder / f"out{self._count}"
        with out.open("w") as file:
            popen = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=self.env(NOTIFY_SOCKET=str(ear.path), **(env or {})),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                pass_fds=pass_fds,
            )
        proc = Proc(popen, ear, out)
        self._procs.append(proc)
        return proc

    def server(self, **env: str) -> Proc:
        """Start the chat server; return when it listens."""
        proc = self.start("bot.server", env=env)
        proc.ready()
        return proc

    def bot(self, session: Path | None = None, generation: int = 1, **env: str) -> Proc:
        """Start a bot cold, with the seat."""
        folder = session or self.session
        folder.mkdir(mode=0o700, exist_ok=True)
        more = {"STILLHERE_SESSION_DIR": str(folder), "STILLHERE_GENERATION": str(generation)}
        return self.start("bot", env={**more, **env})

    def phone(self) -> PhoneClient:
        """Return a connected phone."""
        client = PhoneClient(self.data)
        client.connect()
        self._phones.append(client)
        return client

    def linked(self) -> tuple[PhoneClient, Proc]:
        """Link a new bot to a phone; return both, the bot online."""
        bot = self.bot()
        phone = self.phone()
        phone.scan(bot.ear.until("X_STILLHERE_QR")["X_STILLHERE_QR"], 5)
        bot.ready()
        return phone, bot

    def copy_session(self, name: str) -> Path:
        """Return a copy of the session as it is on the disk now."""
        return Path(shutil.copytree(self.session, self.folder / name))

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """Return the server's log, or one kind of event of it."""
        lines = (self.data / "server.log").read_text().splitlines()
        return [line for line in map(json.loads, lines) if event in ("", line["event"])]

    def stats(self) -> dict[str, Any]:
        """Return the server's counts."""
        return ask_admin(self.data, "stats")

    def close(self) -> None:
        """End all."""
        for phone in self._phones:
            phone.close()
        for proc in self._procs:
            if proc.popen.poll() is None:
                proc.popen.kill()
            proc.popen.wait(PATIENCE_S)
            proc.ear.close()


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Make a world in a folder with a short name: socket paths end at 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="bot-") as folder:
        made = World(Path(folder))
        try:
            yield made
        finally:
            made.close()
