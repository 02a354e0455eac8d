"""The page's door, and the only part of it that lives in the supervisor.

It owns the listening socket, which is loopback's only, and the token in the address. It never
reads what a browser sends: who connects first starts the page's own process, and that accepts.
"""

import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.config.model import WebConfig
from supervisor.core.errors import SupervisorError

HOST = "127.0.0.1"
TOKEN_BYTES = 16
END_S = 1.0
# A page that ends sooner than that may be broken: but for the first time, the next start waits,
# twice as long each time.
SOON_S = 10.0
PAUSE_S = (1.0, 60.0)
_BACKLOG = 64
_WHY_BYTES = 2048
# What the page's process may know of our environment: the bots' secrets are in the rest.
_ENVIRONMENT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ")
_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"
    b"the page could not be started: stillhere events\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What outlives the supervisor's program. `port`: the one that was asked for.

    `pid`: the page's process, which ends with the program that started it.
    """

    listener: int
    port: int
    token: str = field(repr=False)
    pid: int | None = None


class Door:
    """Of the loop's thread. `note` writes a line of the journal, which never has the token."""

    def __init__(
        self,
        config: Path,
        control: Path,
        *,
        dev: bool,
        note: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._config, self._control = config, control
        self._dev = dev
        self._note = note
        self._listener: socket.socket | None = None
        self._port = 0
        self._token = ""
        self._pid: int | None = None
        self._pidfd = -1
        self._leash = -1  # its end ends the page
        self._errors = -1  # what the page complained of
        self._ended = asyncio.Event()
        self._started_at = 0.0
        self._pause_s = 0.0
        self._waiting: asyncio.TimerHandle | None = None

    @property
    def pids(self) -> set[int]:
        """The page's process, for whoever reaps: leave it to us."""
        return set() if self._pid is None else {self._pid}

    def open(self, config: WebConfig, carried: Carried | None = None) -> None:
        """Begin, or go on from the program before ours. Bots do not wait for a page: it is told."""
        if carried is not None:
            self._adopt(carried)
        try:
            self.configure(config)
        except SupervisorError as error:
            self._note("web_failed", {"why": error.message, "hint": error.hint})

    def configure(self, config: WebConfig) -> None:
        """Serve as the config says. Raises: SupervisorError; then all is as it was."""
        if not (self._dev if config.enabled == "auto" else config.enabled):
            self._leave()
        elif self._listener is None or config.port != self._port:
            listener = _listen(config.port)
            self._leave()
            self._listener, self._port = listener, config.port
            # No `secrets`: it would load OpenSSL for a random number.
            self._token = self._token or os.urandom(TOKEN_BYTES).hex()
            self._wait()
            self._note("web_listening", {"port": listener.getsockname()[1]})

    def address(self) -> dict[str, Any]:
        """Return where the page is: who may ask us may also see it. Raises: SupervisorError."""
        if self._listener is None:
            raise SupervisorError(
                "this supervisor serves no page",
                "in the config: [web] enabled = true; then: stillhere reload",
            )
        port = self._listener.getsockname()[1]
        return {"url": f"http://{HOST}:{port}/{self._token}/", "host": HOST, "port": port}

    def carry(self) -> Carried | None:
        """Return what `open` takes."""
        if self._listener is None:
            return None
        listener = self._listener.fileno()
        return Carried(listener=listener, port=self._port, token=self._token, pid=self._pid)

    async def close(self) -> None:
        """Serve no more. Bounded."""
        self._leave()
        for kill in (False, True):
            if self._pid is None:
                return
            if kill:
                os.kill(self._pid, signal.SIGKILL)
            with suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await self._ended.wait()

    def _adopt(self, carried: Carried) -> None:
        self._listener = socket.socket(fileno=carried.listener)
        self._port, self._token = carried.port, carried.token
        if carried.pid is not None:
            # Its leash ended with the program that held it; one that hangs would not see that.
            os.kill(carried.pid, signal.SIGKILL)
            with suppress(OSError):  # then it is collected already
                self._watch(carried.pid)
        self._wait()

    # The page's process.

    def _wait(self) -> None:
        """Wait for the next who connects."""
        self._waiting = None
        if self._listener is not None and self._pid is None:
            asyncio.get_running_loop().add_reader(self._listener, self._knocked)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)

    def _knocked(self) -> None:
        self._stop_waiting()
        try:
            self._start()
        except OSError as error:
            self._failed(str(error))

    def _start(self) -> None:
        assert self._listener is not None  # noqa: S101 - somebody knocked
        listener = self._listener.fileno()
        theirs, leash = os.pipe()
        errors = -1
        try:
            errors = os.memfd_create("stillhere-web", os.MFD_CLOEXEC)
            told = {"config": os.fspath(self._config), "control": os.fspath(self._control)}
            os.write(leash, json.dumps({**told, "token": self._token}).encode() + b"\n")
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.web", str(listener), str(theirs)],
                # Beside us, and not where the bots are: no file of theirs is imported for ours.
                cwd=Path(__file__).parents[2],
                env=_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[listener, theirs],
                process_group=0,  # Ctrl-C and Ctrl-Z are the supervisor's
            )
        except BaseException:
            os.close(leash)
            if errors >= 0:
                os.close(errors)
            raise
        finally:
            os.close(theirs)
        process.returncode = 0  # we collect it: its destructor has no say
        self._leash, self._errors = leash, errors
        self._started_at = time.monotonic()
        self._watch(process.pid)

    def _watch(self, pid: int) -> None:
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:  # no descriptors left: what can't be watched must not run
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            for fd in (self._leash, self._errors):
                if fd >= 0:
                    os.close(fd)
            self._leash = self._errors = -1
            raise
        self._ended.clear()
        self._pid = pid
        asyncio.get_running_loop().add_reader(self._pidfd, self._collect)

    def _collect(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        assert self._pid is not None  # noqa: S101 - it is watched
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        why = _last_words(self._errors)
        wanted = self._leash >= 0
        self._pid = None
        for fd in (self._pidfd, self._leash, self._errors):
            if fd >= 0:
                os.close(fd)
        self._pidfd = self._leash = self._errors = -1
        self._ended.set()
        if code and wanted:
            self._failed(why or f"it ended with {code}")
        else:
            self._wait()

    def _failed(self, why: str) -> None:
        """Tell those who wait, and try again for the next; later where it ended at once."""
        self._note("web_ended", {"why": why})
        if self._listener is None:
            return
        _refuse(self._listener)
        pause_s = 0.0 if time.monotonic() - self._started_at > SOON_S else self._pause_s
        least_s, most_s = PAUSE_S
        self._pause_s = min(max(least_s, 2 * pause_s), most_s)
        self._waiting = asyncio.get_running_loop().call_later(pause_s, self._wait)

    def _leave(self) -> None:
        self._stop_waiting()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Else a new supervisor could not listen for a minute where an old one answered.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)  # noqa: FBT003 - the socket module's signature
        listener.bind((HOST, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        raise SupervisorError(
            f"web.port: cannot listen at {HOST}:{port}: {error.strerror}",
            "free it, or take any: [web] port = 0" if taken else "choose another web.port",
        ) from error
    return listener


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    return {key: ours[key] for key in (*_ENVIRONMENT, *_PYTHON) if key in ours}


def _last_words(errors: int) -> str:
    """Return the last line that the page complained of."""
    if errors < 0:
        return ""
    size = os.fstat(errors).st_size
    text = os.pread(errors, _WHY_BYTES, max(0, size - _WHY_BYTES)).decode("utf-8", "replace")
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _refuse(listener: socket.socket) -> None:
    with suppress(OSError):
        for _ in range(_BACKLOG):
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.setblocking(False)  # noqa: FBT003 - the socket module's signature
                connection.recv(_WHY_BYTES)
                connection.send(_REFUSAL)
