"""Asks the supervisor that runs for a config. Plain sockets; every wait is bounded."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from supervisor.control import paths
from supervisor.core.errors import SupervisorError

ANSWER_BYTES = 64 * 1024 * 1024
# A supervisor that works says so every 2 s.
PATIENCE_S = 6.0


class NotRunning(SupervisorError):  # noqa: N818 - it names a state of the world
    """No supervisor listens: what needs one can't be done, the rest works on the files."""


class NotAnswering(SupervisorError):  # noqa: N818 - it names a state of the world
    """A supervisor listens and says nothing."""


def _stopped(pid: int) -> bool:
    """Say whether a process is suspended (state T or t)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] in {"T", "t"}


class _Connection:
    """One connection: sends a request, hands out the answer's lines."""

    def __init__(self, sock: socket.socket, pid: int, patience_s: float) -> None:
        self.socket = self._sock = sock
        self._pid = pid
        self._patience_s = patience_s
        self._buffer = bytearray()

    def silent(self) -> NotAnswering:
        if _stopped(self._pid):
            return NotAnswering(
                f"the supervisor (pid {self._pid}) does not answer: it is suspended",
                f"`fg` in its terminal, or: kill -CONT {self._pid}",
            )
        return NotAnswering(
            f"the supervisor (pid {self._pid}) does not answer",
            f"it may be overloaded; try again, else: kill {self._pid}",
        )

    def gone(self) -> SupervisorError:
        return SupervisorError(
            f"the supervisor (pid {self._pid}) went away before it answered",
            "look at it with: stillhere status",
        )

    def send(self, request: dict[str, Any]) -> None:
        self._sock.settimeout(self._patience_s)
        try:
            self._sock.sendall(json.dumps(request).encode() + b"\n")
        except TimeoutError:
            raise self.silent() from None
        except OSError:
            # It may have answered why before it hung up: the reader will see.
            return

    def receive(self) -> dict[str, Any]:
        """Return the next line's object. Raises: SupervisorError on silence, hang-up, nonsense."""
        deadline = time.monotonic() + self._patience_s
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            left = deadline - time.monotonic()
            if left <= 0:
                raise self.silent()
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(65536)
            except TimeoutError:
                raise self.silent() from None
            except OSError:
                data = b""
            if not data or start > ANSWER_BYTES:
                raise self.gone()
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise SupervisorError(f"the supervisor (pid {self._pid}) answered nonsense")
        return answer

    def close(self) -> None:
        self._sock.close()


class Client:
    """Talks to the supervisor of one config, a connection a request.

    `patience_s`: how long a supervisor may be silent (one that works says that it lives);
    `total_s`: how long one call may go on without any progress being made.
    """

    def __init__(
        self,
        path: Path,
        *others: Path,
        name: str = "",
        patience_s: float | None = None,
        total_s: float = 180.0,
    ) -> None:
        self.paths = (path, *others)
        self.name = name or str(path)
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self.total_s = total_s

    @classmethod
    def for_config(cls, config_path: Path) -> Self:
        """Return the client for a config, wherever its supervisor's environment put the socket."""
        best = paths.socket_path(config_path)
        others = [path for path in paths.candidates(config_path) if path != best]
        return cls(best, *others, name=str(config_path))

    def running(self) -> bool:
        """Say whether a supervisor listens; waits for no answer of it."""
        try:
            self._connect().close()
        except NotRunning:
            return False
        except NotAnswering:
            return True
        return True

    def call(self, command: str, **args: Any) -> Any:
        """Ask for one thing and return the result.

        Raises: NotRunning, NotAnswering, or the SupervisorError that the supervisor answered.
        """
        deadline = time.monotonic() + self.total_s
        pulse: Any = None
        connection = self._connect()
        try:
            connection.send({"command": command, "args": args})
            while True:
                answer = connection.receive()
                if "ok" in answer:
                    return self._result(answer)
                if "end" in answer:
                    raise connection.gone()
                if answer.get("pulse") != pulse:
                    pulse = answer.get("pulse")
                    deadline = time.monotonic() + self.total_s
                elif time.monotonic() > deadline:
                    raise SupervisorError(
                        f"{command} has got no further for {self.total_s:.0f} s",
                        "it goes on; watch it with: stillhere events -f",
                    )
        finally:
            connection.close()

    def stream(self, command: str, **args: Any) -> Iterator[dict[str, Any]]:
        """Yield what a stream says until its end.

        Raises: as `call`.
        """
        connection = self._connect()
        try:
            connection.send({"command": command, "args": args})
            while True:
                answer = connection.receive()
                if isinstance(answer.get("item"), dict):
                    yield answer["item"]
                elif "end" in answer:
                    return
                elif "ok" in answer:
                    self._result(answer)
        finally:
            connection.close()

    def opened(self, command: str, **args: Any) -> socket.socket:
        """Ask for a stream, and return its connection for who reads the lines by itself.

        Raises: as `call`, but for what is answered.
        """
        connection = self._connect()
        connection.send({"command": command, "args": args})
        return connection.socket

    @staticmethod
    def _result(answer: dict[str, Any]) -> Any:
        if answer["ok"] is True:
            return answer.get("result")
        error = answer.get("error")
        told = error if isinstance(error, dict) else {}
        raise SupervisorError(str(told.get("message") or "refused"), str(told.get("hint", "")))

    def _connect(self) -> _Connection:
        """Connect to the first socket where somebody listens.

        Raises: NotRunning, NotAnswering (its queue of connections is full), SupervisorError.
        """
        for path in self.paths:
            if not paths.trusted(path.parent):
                continue
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(self._patience_s)
            try:
                sock.connect(os.fspath(path))
                raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            except (BlockingIOError, TimeoutError):
                sock.close()
                raise _Connection(sock, self._locker(path), self._patience_s).silent() from None
            except OSError:
                sock.close()
                continue
            pid, uid, _ = struct.unpack("3i", raw)
            if uid not in paths.owners(path.parent):
                sock.close()
                continue
            return _Connection(sock, pid, self._patience_s)
        raise NotRunning(
            f"no supervisor is running for {self.name}",
            "start one: stillhere dev, or stillhere run",
        )

    @staticmethod
    def _locker(path: Path) -> int:
        """Return the pid that a listening supervisor wrote beside its socket, or 0."""
        with suppress(OSError, ValueError):
            return int(path.with_suffix(".lock").read_text("ascii")[:32])
        return 0
