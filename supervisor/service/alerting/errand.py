"""Runs a short command for the service: bounded, with a text to read, and nothing of it stays.

The loop never waits for it, whatever it does: deaf, endless, flooding, or gone with our pipe.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from supervisor.process import probes
from supervisor.process.command import death_signal, program

_PIECE_BYTES = 65536
OUTPUT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: its exit status, a signal's number negated, or None: it took too long.

    `output`: the last of what it said, on stdout and stderr.
    """

    status: int | None
    output: bytes


async def run(
    command: Sequence[str], *, text: bytes, cwd: Path, env: Mapping[str, str], within_s: float
) -> Ended:
    """Run a command to its end, with `text` on its standard input.

    It gets a process group of its own, which is killed in the end, also when this is cancelled.
    Raises: SupervisorError, OSError, if it can't be started.
    """
    output = bytearray()
    ours = -1
    childs: list[int] = []
    try:
        childs.append(_filled(text))
        ours, theirs = os.pipe()
        childs.append(theirs)
        os.set_blocking(ours, False)
        # asyncio's own way to start one can be cancelled halfway, and then leaves what it started.
        child = subprocess.Popen(  # noqa: ASYNC220 - a vfork: 1 ms
            [*death_signal(), str(program(command[0], cwd, env)), *command[1:]],
            cwd=cwd,
            env=dict(env),
            stdin=childs[0],
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        try:
            for fd in childs:
                os.close(fd)
            childs.clear()
            status = await _ended(child, ours, output, within_s)
        finally:
            _collect(child)
        _read(ours, output)  # its last words
        return Ended(status, bytes(output))
    finally:
        for fd in (*childs, ours):
            if fd >= 0:
                os.close(fd)


def _filled(text: bytes) -> int:
    """Return a file in memory that holds it: nobody has to write into a pipe as it is read."""
    handle = os.memfd_create("errand", os.MFD_CLOEXEC)
    os.pwrite(handle, text, 0)
    return handle


def _read(fd: int, output: bytearray) -> bool:
    """Take what there is; return whether more may come."""
    with suppress(BlockingIOError):
        while piece := os.read(fd, _PIECE_BYTES):
            output += piece
            del output[:-OUTPUT_BYTES]
        return False
    return True


async def _ended(
    child: "subprocess.Popen[bytes]", pipe: int, output: bytearray, within_s: float
) -> int | None:
    probes.running.add(child.pid)
    loop = asyncio.get_running_loop()
    exited = asyncio.Event()
    pidfd = os.pidfd_open(child.pid)

    def said() -> None:
        if not _read(pipe, output):
            loop.remove_reader(pipe)

    try:
        loop.add_reader(pidfd, exited.set)
        loop.add_reader(pipe, said)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await exited.wait()
        if not exited.is_set():
            return None
        # Not Popen's status: where somebody else reaped the child, that is 0.
        how = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it has exited
        if how is None:
            return None
        return how.si_status if how.si_code == os.CLD_EXITED else -how.si_status
    finally:
        loop.remove_reader(pidfd)
        loop.remove_reader(pipe)
        os.close(pidfd)


def _collect(child: "subprocess.Popen[bytes]") -> None:
    # Its number can't be another's before it is reaped.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.poll() is None:
        asyncio.get_running_loop().run_in_executor(None, _reap, child)
    else:
        probes.running.discard(child.pid)


def _reap(child: "subprocess.Popen[bytes]") -> None:
    child.wait()
    probes.running.discard(child.pid)
