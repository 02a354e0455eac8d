"""Asks a bot from outside whether it is ready. Patient: what fails is tried again, for ever."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from supervisor.config import ReadyCheck

TRY_S = 2.0
COMMAND_TRY_S = 5.0
# The first status that says 'not yet': a proxy or a bot that is still starting answers 502, 503.
SERVER_ERROR = 500
# The clock of file times ticks every 1 to 10 ms, and lags behind the other by as much.
TICK_NS = 10_000_000
RECENT_NS = 1_000_000_000

# The commands that run right now, for whoever reaps this process's orphans: leave them alone.
running: set[int] = set()


# What we, or the whole machine, have none of: no fault of who is asked.
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)


class CannotAsk(Exception):  # noqa: N818 - it says what happened
    """Nothing could be asked, so that nobody has not answered."""


async def wait_ready(
    check: ReadyCheck,
    *,
    cwd: Path,
    env: Mapping[str, str],
    interval_s: float = 0.05,
    since_ns: int | None = None,
    prefix: Sequence[str] = (),
) -> None:
    """Return when the bot is ready; the caller bounds the wait.

    `http`: any answer below 500 (redirects are not followed, certificates not checked). `tcp`:
    it accepts. `file`: it is there and was made or written since `since_ns` (time.time_ns() at
    the spawn; by default a second before the call), so an earlier generation's does not count.
    `command`: it exits with 0, within 5 s. `prefix`: executes a command as the bot's own user.
    Raises: ValueError for `notify` and `log`.
    """
    since_ns = time.time_ns() - RECENT_NS if since_ns is None else since_ns - TICK_NS
    while not await _try(check, cwd, env, since_ns, prefix=prefix):  # noqa: ASYNC110 - what is asked tells nobody
        await asyncio.sleep(interval_s)


async def answers(
    check: ReadyCheck,
    *,
    cwd: Path,
    env: Mapping[str, str],
    within_s: float,
    prefix: Sequence[str] = (),
) -> bool:
    """Say whether the bot answers a check of kind `http`, `tcp` or `command` in that time.

    `prefix`: as for `wait_ready`. Raises: CannotAsk.
    """
    return await _try(check, cwd, env, 0, within_s, prefix=prefix, own=True)


@contextlib.contextmanager
def _blaming_us(*, own: bool) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if own and error.errno in _OURS:
            raise CannotAsk(error.strerror) from error
        raise


def give_up() -> None:
    """Kill the commands that run: nobody will wait for them any more."""
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


async def _try(
    check: ReadyCheck,
    cwd: Path,
    env: Mapping[str, str],
    since_ns: int,
    limit_s: float | None = None,
    *,
    prefix: Sequence[str] = (),
    own: bool = False,
) -> bool:
    """Try once. `own`: where the fault is our own, raise CannotAsk."""
    limit_s = limit_s or (COMMAND_TRY_S if check.kind == "command" else TRY_S)
    # ValueError and the like: an answer that is no HTTP is as good as none.
    with contextlib.suppress(OSError, ValueError), _blaming_us(own=own):
        async with asyncio.timeout(limit_s):
            match check.kind, check.value:
                case "http", str(url):
                    return await _http(url)
                case "tcp", str(address):
                    host, _, port = address.rpartition(":")
                    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                    writer.transport.abort()
                    return True
                case "file", str(path):
                    # One stat; a hanging network share would hang a thread just as well.
                    return (cwd / path).stat().st_ctime_ns >= since_ns
                case "command", tuple(command):
                    return await _command((*prefix, *command), cwd, env)
    if check.kind in {"notify", "log"}:
        raise ValueError(f"a ready check by {check.kind} is not a probe")
    return False


async def _http(url: str) -> bool:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    if parts.scheme == "https":
        line = await asyncio.to_thread(_tls_line, parts.hostname or "", parts.port or 443, request)
    else:
        line = await _line(parts.hostname or "", parts.port or 80, request)
    protocol, status = line.split()[:2]
    return protocol.startswith(b"HTTP/") and int(status) < SERVER_ERROR


async def _line(host: str, port: int, request: bytes) -> bytes:
    """Return the first line of the answer."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        return await reader.readline()
    finally:
        writer.transport.abort()


def _tls_line(host: str, port: int, request: bytes) -> bytes:
    """Do the same over TLS, in a thread: our asyncio can't (see cli/lean.py)."""
    import socket  # noqa: PLC0415 - with ssl
    import ssl  # noqa: PLC0415 - 4 MB, for whom asks it

    # It is asked whether somebody answers, not who: local certificates are self-made.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=TRY_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        secure.sendall(request)
        return secure.makefile("rb").readline()


async def _command(command: tuple[str, ...], cwd: Path, env: Mapping[str, str]) -> bool:
    # asyncio's own way to start one can be cancelled halfway, and then leaves what it started.
    child = subprocess.Popen(  # noqa: ASYNC220 - a vfork: 1 ms
        command,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    running.add(child.pid)
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    try:
        pidfd = os.pidfd_open(child.pid)
    except OSError:  # what nobody can wait for must not run
        os.killpg(child.pid, signal.SIGKILL)
        _reap(child)
        raise
    try:
        loop.add_reader(pidfd, exited.set)
        await exited.wait()
        # Not Popen's status: where somebody else reaped the child, that is 0.
        how = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it has exited
        return how is not None and (how.si_code, how.si_status) == (os.CLD_EXITED, 0)
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        # Nothing of it may stay. Its number can't be another's before it is reaped.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        if exited.is_set():
            _reap(child)
        else:
            loop.run_in_executor(None, _reap, child)


def _reap(child: subprocess.Popen[bytes]) -> None:
    child.wait()
    running.discard(child.pid)
