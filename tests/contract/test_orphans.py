"""What bots leave to us is collected, and however much it is, no other signal is lost for it."""

import asyncio
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from supervisor.process import tree
from supervisor.process.orphans import Orphanage
from tests.contract.childkit import PATIENCE_S, Watched, watched

pytestmark = pytest.mark.usefixtures("adopting")

# For each line that it reads, an orphan that ends at once.
LEAVING = """
print("ready", flush=True)
for line in sys.stdin:
    middle = os.fork()
    if middle == 0:
        os.setsid()
        middle = os.getpid()
        pid = os.fork()
        if pid == 0:
            while os.getppid() == middle:
                os.sched_yield()
            os._exit(0)
        print(pid, flush=True)
        os._exit(0)
    os.waitpid(middle, 0)
"""


@pytest.fixture
def wakeups() -> Iterator[socket.socket]:
    """Yield what reads the bytes that Python writes for each signal that it handles."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0)
        theirs.settimeout(0)
        before = signal.set_wakeup_fd(theirs.fileno())
        yield ours
        signal.set_wakeup_fd(before)


async def left(bot: Watched, number: int) -> int:
    """Have it leave an orphan, and return which."""
    bot.child.write_line("one more\n")
    await bot.until(lambda: len(bot.lines) == 1 + number, "an orphan")
    return int(bot.lines[-1][1])


async def collected(pid: int) -> None:
    """Wait until there is no such process, not even as a zombie."""
    async with asyncio.timeout(PATIENCE_S):
        while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC240, PTH110 - no disk
            await asyncio.to_thread(os.sched_yield)


def test_each_orphan_is_collected_also_while_it_rests() -> None:
    """Who ends right after another is told of by no signal; the next look finds it."""

    async def run() -> None:
        async with watched(LEAVING, stdin=True) as bot:
            orphanage = Orphanage(rest_s=0.05)
            orphanage.open()
            await bot.printed(b"ready")
            try:
                pids = [await left(bot, number) for number in range(1, 6)]
                for pid in pids:
                    await collected(pid)
                assert tree.Stat(bot.child.pid).alive
            finally:
                orphanage.close()

    asyncio.run(run())


def test_however_many_end_one_signal_is_written(wakeups: socket.socket) -> None:
    """Of a thousand before the loop's next turn: the pipe has room for the others' signals."""

    async def run() -> None:
        orphanage = Orphanage()
        orphanage.open()
        try:
            for _ in range(1000):
                os.kill(os.getpid(), signal.SIGCHLD)
            assert wakeups.recv(2000) == bytes([signal.SIGCHLD])
        finally:
            orphanage.close()

    asyncio.run(run())


def test_closed_it_leaves_the_signal_as_it_was() -> None:
    """Also when it rests: no timer makes it listen again."""

    async def run() -> None:
        orphanage = Orphanage(rest_s=0)
        orphanage.open()
        os.kill(os.getpid(), signal.SIGCHLD)
        orphanage.close()
        for _ in range(5):
            await asyncio.to_thread(os.sched_yield)
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL

    asyncio.run(run())
