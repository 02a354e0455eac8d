"""Asks a bot from outside whether it is ready. Patient: what fails is tried again, for ever."""

import asyncio
import contextlib
import os
import signal
import ssl
import time
from collections.abc import Mapping
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


async def wait_ready(
    check: ReadyCheck,
    *,
    cwd: Path,
    env: Mapping[str, str],
    interval_s: float = 0.05,
    since_ns: int | None = None,
) -> None:
    """Return when the bot is ready; the caller bounds the wait.

    `http`: any answer below 500 (redirects are not followed, certificates not checked). `tcp`:
    it accepts. `file`: it is there and was made or written since `since_ns` (time.time_ns() at
    the spawn; by default a second before the call), so an earlier generation's does not count.
    `command`: it exits with 0, within 5 s. Raises: ValueError for `notify` and `log`.
    """
    since_ns = time.time_ns() - RECENT_NS if since_ns is None else since_ns - TICK_NS
    while not await _try(check, cwd, env, since_ns):  # noqa: ASYNC110 - what is asked tells nobody
        await asyncio.sleep(interval_s)


async def _try(check: ReadyCheck, cwd: Path, env: Mapping[str, str], since_ns: int) -> bool:
    limit_s = COMMAND_TRY_S if check.kind == "command" else TRY_S
    # ValueError and the like: an answer that is no HTTP is as good as none.
    with contextlib.suppress(OSError, ValueError):
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
                    return await _command(command, cwd, env)
    if check.kind in {"notify", "log"}:
        raise ValueError(f"a ready check by {check.kind} is not a probe")
    return False


async def _http(url: str) -> bool:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    context = None
    if secure:
        # It is asked whether somebody answers, not who: local certificates are self-made.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        protocol, status = (await reader.readline()).split()[:2]
        return protocol.startswith(b"HTTP/") and int(status) < SERVER_ERROR
    finally:
        writer.transport.abort()


async def _command(command: tuple[str, ...], cwd: Path, env: Mapping[str, str]) -> bool:
    child = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    running.add(child.pid)
    try:
        return await child.wait() == 0
    finally:
        try:
            if child.returncode is None:
                # Too slow, or nobody waits any more: nothing of it may stay.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
        finally:
            running.discard(child.pid)
