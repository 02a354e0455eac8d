"""Our own program, replaced under the same pid by what lies on the disk now (execve(2)).

The command line is the one that we were started with. No signal is lost on the way: what comes
while nobody handles it waits, blocked, or is written down in a pipe that the next program reads.
It knows nothing of what is handed over.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

# All that a supervisor handles.
HELD = frozenset({signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
REHEARSED = "STILLHERE_REHEARSAL"
REHEARSAL_S = 30.0
_SAID_BYTES = 65536
_ERROR_LINES = 6


class Signals:
    """Holds signals back while nobody handles them; in the main thread.

    Blocked they wait for the next program. But another thread may take one just before the
    execve: then its number is in the pipe, for Python's own handler writes it there.
    """

    def __init__(self) -> None:
        self.pipe, self._writes = os.pipe()
        os.set_blocking(self.pipe, False)
        os.set_blocking(self._writes, False)
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
        self._wakeup = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)

    def release(self) -> None:
        """Go on as before; what came meanwhile is handled now."""
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._writes)
        _raise_again(self.pipe)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)


def release_inherited(pipe: int) -> None:
    """Handle from now on what the program before this one held back. The handlers are in."""
    _raise_again(pipe)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def _raise_again(pipe: int) -> None:
    with suppress(BlockingIOError):
        for number in set(os.read(pipe, _SAID_BYTES)) & {int(held) for held in HELD}:
            os.kill(os.getpid(), number)
    os.close(pipe)


def command() -> tuple[str, list[str]]:
    """Return the program and the arguments that we were started with."""
    return sys.executable, list(sys.orig_argv)


def replace(env: Mapping[str, str], keep: Sequence[int]) -> None:
    """Become the new program; `keep` stays open. Returns only by OSError: all is as before."""
    program, arguments = command()
    for fd in keep:
        os.set_inheritable(fd, True)  # noqa: FBT003 - the signature of os
    try:
        os.execve(program, arguments, dict(env))  # noqa: S606 - there is to be no shell
    finally:
        for fd in keep:
            os.set_inheritable(fd, False)  # noqa: FBT003 - the same


class Refused(Exception):  # noqa: N818 - it is an answer
    """The new code does not start, or can't go on from here; why, in words."""


async def rehearse(document: int) -> str:
    """Have the new code, in a process of its own, look at what it would be handed.

    Returns what it says of itself. Raises: Refused, OSError.
    """
    answer, theirs = os.pipe()
    program, arguments = command()
    env = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
    env[REHEARSED] = f"{document} {theirs}"
    try:
        child = subprocess.Popen(  # noqa: ASYNC220 - a vfork: 1 ms
            [program, *arguments[1:]],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[document, theirs],
        )
    except BaseException:
        os.close(answer)
        raise
    finally:
        os.close(theirs)
    try:
        said, errors = await _outcome(child, answer)
    finally:
        child.kill()
        child.wait()
    if child.returncode == 0 and said:
        return said
    told = [line for line in errors.splitlines() if line.strip()][-_ERROR_LINES:]
    raise Refused("\n".join(told) or f"it ended with {child.returncode}, and said nothing")


async def _outcome(child: "subprocess.Popen[bytes]", answer: int) -> tuple[str, str]:
    """Return what it answers and what it complains of, once it has ended. Raises: Refused."""
    assert child.stderr is not None  # noqa: S101 - it was asked for
    said, errors = bytearray(), bytearray()
    try:
        async with asyncio.timeout(REHEARSAL_S):
            await asyncio.gather(_all(answer, said), _all(child.stderr.fileno(), errors))
            # Both ends are closed: it is at its end, or about to be.
            await _ended(child.pid)
    except TimeoutError:
        raise Refused(f"it was not done in {REHEARSAL_S:g} s") from None
    finally:
        os.close(answer)
        child.stderr.close()
    child.wait()
    return said.decode("utf-8", "replace"), errors.decode("utf-8", "replace")


async def _ended(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        await _readable(pidfd)
    finally:
        os.close(pidfd)


async def _all(fd: int, into: bytearray) -> None:
    os.set_blocking(fd, False)
    while True:
        await _readable(fd)
        with suppress(BlockingIOError):
            if not (piece := os.read(fd, _SAID_BYTES)):
                return
            into += piece
            del into[:-_SAID_BYTES]


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)


def rehearsal() -> tuple[int, int] | None:
    """Return the document and where to answer, if this process is but to look at it."""
    words = os.environ.pop(REHEARSED, "").split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):  # noqa: PLR2004 - a pair
        return None
    return int(words[0]), int(words[1])
