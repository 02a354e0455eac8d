"""The bot's end of the contract with its supervisor: sd_notify datagrams out, one line in.

This one file is all a bot needs. It uses the standard library only and imports nothing of ours, so
copy it into your own bot:

    link = Link()                                # reads the environment
    install_signal_handlers()
    link.caps("standby checkpoint:SIGUSR2")      # after the handlers are in
    session = link.standby()                     # or: await link.activated()
    if session is None:
        raise SystemExit                         # we were not needed
    ... log in ...
    link.ready("restored", identity="device:fingerprint", proof="roundtrip")

Without a supervisor (no NOTIFY_SOCKET) every call is harmless and a default session folder is used.
It never blocks the bot for long and never raises for a supervisor that is slow, full or gone.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path

_BRIEF_S = 0.2  # a full socket: a status is worth this much waiting
_FIRM_S = 1.0  # what the supervisor decides by is worth more
_VALUE_BYTES = 2000  # two of these fit the smallest buffer anyone reads datagrams with
_LINE_BYTES = 8192


class Link:
    """The supervisor, as a bot sees it."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        default_session: str | os.PathLike[str] = "sessions/session-bot",
    ) -> None:
        env = os.environ if environ is None else environ
        self.session_id = env.get("STILLHERE_SESSION_ID", "")
        self.generation = _number(env.get("STILLHERE_GENERATION", ""))
        self._address = env.get("NOTIFY_SOCKET", "")
        self._cold_dir = env.get("STILLHERE_SESSION_DIR", "")
        self._default = Path(default_session)
        self._socket: socket.socket | None = None
        fd = env.get("STILLHERE_STANDBY_FD", "")
        self._standby_fd = int(fd) if fd.isascii() and fd.isdecimal() else -1
        if self._standby_fd >= 0:
            with contextlib.suppress(OSError):
                fcntl.fcntl(self._standby_fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        usec = _number(env.get("WATCHDOG_USEC", ""))
        ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: Seconds after which the supervisor takes silence for a hang; None: it does not watch.
        self.watchdog_s: float | None = usec / 1e6 if usec and ours else None

    @property
    def present(self) -> bool:
        """Whether a supervisor listens."""
        return bool(self._address)

    # --- the way in: whose session is it? ---

    def standby(self) -> Path | None:
        """Wait until the session is ours; return its folder. None: we are not needed, exit."""
        if (folder := self._at_once()) is not None:
            return folder
        self._notify(_FIRM_S, X_STILLHERE_STANDBY="1")
        line = bytearray()
        while b"\n" not in line and len(line) < _LINE_BYTES:
            chunk = self._read()
            if not chunk:
                break
            line += chunk
        return self._activation(bytes(line))

    async def activated(self) -> Path | None:
        """Do as `standby`, while signals and other tasks of this asyncio loop live on."""
        if (folder := self._at_once()) is not None:
            return folder
        loop = asyncio.get_running_loop()
        done: asyncio.Future[bytes] = loop.create_future()
        line = bytearray()

        def readable() -> None:
            chunk = self._read()
            line.extend(chunk)
            if done.done() or (chunk and b"\n" not in line and len(line) < _LINE_BYTES):
                return
            done.set_result(bytes(line))

        loop.add_reader(self._standby_fd, readable)
        self._notify(_FIRM_S, X_STILLHERE_STANDBY="1")
        try:
            await done
        finally:
            loop.remove_reader(self._standby_fd)  # before it is closed: its number is used again
            self._close_standby()
        return self._activation(done.result())

    # --- the way out: what the bot says ---

    def caps(self, caps: str) -> None:
        """Say what this bot can do. Call it after the signal handlers are installed."""
        self._notify(_FIRM_S, X_STILLHERE_CAPS=caps)

    def session(self, state: str, identity: str = "", reason: str = "") -> None:
        """Say the session's state: connecting restored linked pairing lost conflict offline."""
        self._notify(_FIRM_S, **_session(state, identity, reason))

    def ready(
        self, state: str = "", identity: str = "", proof: str = "", status: str = "", deaf: int = 0
    ) -> None:
        """Say that the bot is online and usable, with all that is known, in one datagram."""
        fields = _session(state, identity, "") if state else {}
        if proof:
            fields["X_STILLHERE_PROOF"] = proof
        if deaf:
            fields["X_STILLHERE_UNDECRYPTABLE"] = str(deaf)
        if status:
            fields["STATUS"] = status
        self._notify(_FIRM_S, **fields, READY="1")

    def proof(self, kind: str) -> None:
        """Say what proved the device after activation: `roundtrip`."""
        self._notify(_FIRM_S, X_STILLHERE_PROOF=kind)

    def undecryptable(self, count: int) -> None:
        """Say how many messages could not be decrypted so far."""
        self._notify(_FIRM_S, X_STILLHERE_UNDECRYPTABLE=str(count))

    def qr(self, payload: str, ttl_s: float) -> None:
        """Hand over what the QR code must encode. It is a secret: print or log it nowhere else."""
        usec = str(int(ttl_s * 1e6))
        self._notify(_FIRM_S, X_STILLHERE_QR=payload, X_STILLHERE_QR_TTL_USEC=usec)

    def status(self, text: str) -> None:
        """Say in a few words what the bot is doing."""
        self._notify(_BRIEF_S, STATUS=text)

    def checkpointed(self) -> None:
        """Answer the checkpoint signal: all that was in memory is in the session now."""
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify(_FIRM_S, X_STILLHERE_CHECKPOINT="1", MONOTONIC_USEC=str(usec))

    def extend(self, seconds: float) -> None:
        """Ask for more time to start or stop."""
        self._notify(_BRIEF_S, EXTEND_TIMEOUT_USEC=str(int(seconds * 1e6)))

    def watchdog(self) -> None:
        """Say that the bot is alive; at least every half of `watchdog_s`."""
        self._notify(_BRIEF_S, WATCHDOG="1")

    def stopping(self) -> None:
        """Say that the bot is about to stop."""
        self._notify(_BRIEF_S, STOPPING="1")

    def released(self) -> None:
        """Say the last word: all is flushed and closed, nothing will be written any more.

        It speaks for all that the bot has started, too: whatever of it still lives is killed at
        once. What was printed is flushed here, so that it arrives.
        """
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):  # gone, closed, None
                stream.flush()
        self._notify(_FIRM_S, X_STILLHERE_RELEASED="1")

    def close(self) -> None:
        """Close what this object holds open; the process's end does as well."""
        self._drop()
        self._close_standby()

    # --- inside ---

    def _at_once(self) -> Path | None:
        """Return the folder that needs no waiting for, if there is one."""
        if self._cold_dir:
            self._close_standby()  # the line is in it already; the variable says the same
            return Path(self._cold_dir)
        if self._standby_fd >= 0:
            return None
        self._default.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._default.chmod(0o700)
        return self._default

    def _read(self) -> bytes:
        try:
            return os.read(self._standby_fd, _LINE_BYTES)
        except OSError:
            return b""  # as good as the end of the file: whoever would activate us is gone

    def _activation(self, line: bytes) -> Path | None:
        self._close_standby()
        verb, _, path = line.partition(b"\n")[0].partition(b" ")
        return Path(os.fsdecode(path)) if verb == b"activate" and path and b"\n" in line else None

    def _close_standby(self) -> None:
        fd, self._standby_fd = self._standby_fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _notify(self, patience_s: float, **fields: str) -> None:
        """Send one datagram of KEY=VALUE lines. Waits at most `patience_s`, then drops it."""
        if not self._address:
            return
        data = "\n".join(f"{key}={_one_line(value)}" for key, value in fields.items())
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.settimeout(patience_s)  # connected: a full queue is waited for by poll()
            self._socket.send(data.encode("utf-8", "replace"))
        except OSError:
            self._drop()  # full for too long, or gone: the bot's own work goes on

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        abstract = self._address.startswith("@")
        try:
            sock.connect("\0" + self._address[1:] if abstract else self._address)
        except OSError:
            sock.close()
            raise
        return sock

    def _drop(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()


def _session(state: str, identity: str, reason: str) -> dict[str, str]:
    fields = {"X_STILLHERE_SESSION": state}
    if identity:
        fields["X_STILLHERE_IDENTITY"] = identity
    if reason:
        fields["X_STILLHERE_REASON"] = reason
    return fields


def _one_line(value: str) -> str:
    """Return the value on one line (a break would start another field) and not too long."""
    flat = " ".join(value.splitlines())
    return flat.encode("utf-8", "replace")[:_VALUE_BYTES].decode("utf-8", "ignore")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0  # noqa: PLR2004 (more digits than 64 bits)
