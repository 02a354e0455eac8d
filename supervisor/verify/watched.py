"""A supervisor that is tried: our own program in a process of its own, and its journal as it grows.

All waits are bounded. Whatever it was told to start is ended with it.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from supervisor.control.client import Client, NotRunning
from supervisor.control.journal import now
from supervisor.core.errors import SupervisorError
from supervisor.process.command import death_signal
from supervisor.process.tree import with_descendants

Event = dict[str, Any]
_KILLED_S = 30.0
_ANSWERS_S = 20.0
_TAIL_BYTES = 4000


class Watched:
    """A running supervisor: asked over its control socket, heard by its journal."""

    def __init__(self, config_path: Path) -> None:
        self.client = Client.for_config(config_path)
        self.events: list[Event] = []
        self._grown = threading.Condition()
        self._since = now()
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._follow, name="journal", daemon=True)

    def follow(self) -> None:
        """Begin to hear what happens from now on."""
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether there is still somebody to hear."""
        return not self._ended.is_set() and self.client.running()

    def _follow(self) -> None:
        """Read the journal for as long as it is wanted; a supervisor may come, go, and come."""
        seen: list[Event] = []
        while not self._ended.is_set():
            told = list(seen)  # who follows anew hears the last ones again
            try:
                for event in self.client.stream("events", follow=True):
                    if event in told:
                        told.remove(event)
                    elif str(event.get("t", "")) >= self._since:
                        seen.append(event)
                        self._add(event)
                    if self._ended.is_set():
                        return
            except SupervisorError:
                self._ended.wait(0.02)

    def _add(self, event: Event) -> None:
        with self._grown:
            self.events.append(event)
            self._grown.notify_all()

    def mark(self) -> int:
        """Return the place in the journal behind all that has happened so far."""
        last = deque(self.client.stream("events", follow=False), maxlen=1)
        if last and str(last[0].get("t", "")) >= self._since:
            self.wait(lambda event: event == last[0], 0, _ANSWERS_S)
        with self._grown:
            return len(self.events)

    def wait(self, wanted: Callable[[Event], bool], after: int, within_s: float) -> Event | None:
        """Return the first event from place `after` on that is wanted; None: not within that."""
        until, place = time.monotonic() + within_s, after
        with self._grown:
            while True:
                while place < len(self.events):
                    if wanted(self.events[place]):
                        return self.events[place]
                    place += 1
                rest = until - time.monotonic()
                if rest <= 0 or self.gone():
                    return None
                self._grown.wait(min(rest, 0.5))

    def gone(self) -> bool:
        """Say whether nothing more can come."""
        return self._ended.is_set()

    def seen(self, after: int, bot: str | None = None) -> list[Event]:
        """Return the events from a place on, of one bot or of all."""
        with self._grown:
            return [e for e in self.events[after:] if bot is None or e.get("bot") == bot]

    def status(self, bot: str) -> dict[str, Any]:
        """Return what `status --json` says of a bot. Raises: SupervisorError."""
        found: dict[str, Any] = self.client.call("status")["bots"][bot]
        return found

    def close(self) -> None:
        """Hear no more."""
        self._ended.set()


class Own(Watched):
    """A supervisor that we start ourselves, `dev` without a terminal, as often as is wanted.

    `root`: the folder of its config. What it prints goes to a private file beside that folder.
    `stop_s`: how long it may take to stop, its bots' own deadlines included.
    """

    def __init__(self, root: Path, *, stop_s: float) -> None:
        super().__init__(root / "config.toml")
        self.root = root
        self._stop_s = stop_s
        self.printed = root.parent / "console.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises: SupervisorError with its last words."""
        code = Path(__file__).resolve().parents[2]
        # The folder may hold a package of our name: ours is named by its place.
        program = (
            f"import sys; sys.path[:0] = [{str(code)!r}]; "
            "from supervisor.cli.main import main; main()"
        )
        handle = os.open(self.printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "wb") as out:
            self.process = subprocess.Popen(
                [*death_signal(), sys.executable, "-P", "-c", program, "dev"],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + _ANSWERS_S
        while not self.client.running():
            if self.process.poll() is not None:
                raise SupervisorError(
                    f"the supervisor ended at once, with status {self.process.returncode}",
                    self.last_words(),
                )
            if time.monotonic() > until:
                raise SupervisorError(
                    f"the supervisor does not answer within {_ANSWERS_S:.0f} s", self.last_words()
                )
            self._ended.wait(0.02)
        if not self._reader.is_alive():
            self.follow()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> int:
        """Stop it in good order and return its exit code; SIGKILL to all of it if it hangs."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            self._kill_all()
            return -signal.SIGKILL

    def kill(self) -> None:
        """SIGKILL to the supervisor alone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_KILLED_S)

    def _kill_all(self) -> None:
        """SIGKILL to the supervisor and to all that it started."""
        if self.process is not None and self.process.poll() is None:
            started = with_descendants([self.process.pid])
            self.kill()
            for pid in started:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def last_words(self) -> str:
        """Return the last lines that it printed."""
        try:
            text = self.printed.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace")
        except OSError:
            return ""
        return " / ".join(line.strip() for line in text.splitlines()[-3:])

    def close(self) -> None:
        """Stop it, and hear no more."""
        try:
            self.stop()
        except BaseException:  # whoever does not wait for that has all of it killed
            self._kill_all()
            raise
        finally:
            super().close()


class Attached(Watched):
    """The supervisor that runs already, for the live bot."""

    def __init__(self, config_path: Path) -> None:
        super().__init__(config_path)
        if not self.client.running():
            raise NotRunning(
                f"the live bot is tried under its own supervisor, and none runs for {config_path}",
                "start it in another terminal: stillhere dev",
            )
        self.follow()
