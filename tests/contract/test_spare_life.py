"""A spare from its start to its release or its end, as the supervisor sees it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from supervisor.core import events as ev
from supervisor.process import spare, tree
from supervisor.process.command import death_signal
from supervisor.process.plan import Ahead
from supervisor.session.lock import OwnerLock
from tests.contract.pausekit import PATIENCE_S, SPOILED
from tests.contract.sparekit import LOOK, Seen, cold, from_spare

pytestmark = pytest.mark.usefixtures("adopting")

# Prints as one line what `Seen.look` takes for an answer.
ANSWER = 'import json; print("LOOK " + json.dumps({{"environ": [], "posix environ": [],'
ANSWER += ' "child environ": [], "is": {}}}), flush=True)\n'
PARENT = """
import os, signal, socket, subprocess, sys
from supervisor.process import plan, spare
ours, theirs = socket.socketpair()
child = subprocess.Popen([sys.executable, "-c", "print('it ran', flush=True)"],
    env=spare.environment(os.environ, theirs.fileno()), pass_fds=[theirs.fileno()])
theirs.close()
ours.sendall(spare.lists(plan.Ahead()))
assert ours.recv(99).startswith(b"paused")
print(child.pid, flush=True)
signal.pause()
"""


class Spare(Seen):
    """A spare of `x.py` in a folder, and what was said of it."""

    def __init__(self, folder: Path, modules: Sequence[str] = (), **plan: Any) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()
        plan = {"generation": 0, "session_dir": None, "paused": Ahead(tuple(modules))} | plan
        command = [sys.executable, "x.py"]
        super().__init__(
            folder, "", command=command, cwd=folder, on_spare=self.said.put_nowait, **plan
        )

    async def word(self) -> str:
        """Return the next thing that is said."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.said.get()

    def kill_unseen(self) -> None:
        """Have it dead before the loop can hear of it."""
        os.kill(self.child.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOWAIT)

    async def gone(self) -> None:
        """Wait for what nobody is told of a spare."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.child.gone:
                await asyncio.get_running_loop().run_in_executor(None, lambda: None)


def test_one_that_died_is_never_a_generation(tmp_path: Path) -> None:
    """Its release fails, and its end is not told as that of the one that is started instead."""
    (tmp_path / "x.py").write_text("")

    async def main() -> None:
        bot = Spare(tmp_path)
        assert await bot.word() == ""
        bot.kill_unseen()
        with pytest.raises(OSError, match="Broken pipe"):
            bot.child.release(4, tmp_path)
        assert await bot.word() == "it ended while it waited"
        await bot.gone()
        assert bot.child.generation == 0
        assert not bot.events

    asyncio.run(main())


def test_one_that_does_not_come_to_wait_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library may wait for something at its import, for ever."""
    monkeypatch.setattr(spare, "LOADS_S", 0.2)
    (tmp_path / "x.py").write_text("")
    (tmp_path / "library.py").write_text("import signal\nsignal.pause()")

    async def main() -> None:
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        bot = Spare(tmp_path, ["library"], env=env)
        assert (await bot.word()).startswith("it does not wait after")
        bot.child.kill()
        assert await bot.word() == "it ended while it waited"
        await bot.gone()

    asyncio.run(main())


def test_one_that_waits_is_never_late(tmp_path: Path) -> None:
    """It may wait as long as it likes."""
    (tmp_path / "x.py").write_text("")

    async def main() -> None:
        bot = Spare(tmp_path)
        assert await bot.word() == ""
        assert bot.child._line_to_spare is not None
        assert bot.child._line_to_spare._late.cancelled()
        bot.child.kill()
        await bot.gone()

    asyncio.run(main())


def test_it_gets_its_byte_of_the_lock_at_its_release(tmp_path: Path) -> None:
    """By the open file that it has from its start; the byte is free once it is dead."""
    (tmp_path / "x.py").write_text("print('begun', flush=True)\nimport signal; signal.pause()")

    async def main() -> None:
        lock = OwnerLock(tmp_path / "sessions", "1")
        fd = lock.spare_fd()
        bot = Spare(tmp_path, lock=lock, lock_fd=fd)
        assert await bot.word() == ""
        assert lock.free(9)
        lock.give(fd, 9)
        bot.child.release(9, tmp_path)
        os.close(fd)
        await bot.printed(b"begun")
        assert not lock.free(9)
        assert lock.survivors() == (9,)
        await bot.end()
        assert lock.free(9)

    asyncio.run(main())


def test_a_generations_time_begins_at_its_release(tmp_path: Path) -> None:
    """What waited before is nobody's start-up time."""
    (tmp_path / "x.py").write_text("")

    async def main() -> None:
        bot = Spare(tmp_path)
        assert await bot.word() == ""
        before = time.monotonic()
        bot.child.release(2, tmp_path)
        assert bot.child.started_at >= before
        assert (await bot.heard(ev.Exited)).generation == 2
        await bot.heard(ev.TreeGone)

    asyncio.run(main())


def test_on_a_terminal_and_with_input(tmp_path: Path) -> None:
    """As `dev` starts its bots."""
    (tmp_path / "x.py").write_text(LOOK)

    async def main() -> None:
        command = [sys.executable, "x.py"]
        plan: dict[str, Any] = {"terminal": True, "stdin": True}
        assert await cold(tmp_path, command, **plan) == await from_spare(
            tmp_path, command, ["json", "logging"], **plan
        )

    asyncio.run(main())


def test_each_has_a_hash_seed_of_its_own(tmp_path: Path) -> None:
    """Unlike what is forked from one parent."""
    (tmp_path / "x.py").write_text(ANSWER.format("[hash('x'), __import__('random').random()]"))

    async def main() -> None:
        command = [sys.executable, "x.py"]
        one = (await from_spare(tmp_path, command, ["random"]))["is"]
        other = (await from_spare(tmp_path, command, ["random"]))["is"]
        assert one[0] != other[0]
        assert one[1] != other[1]

    asyncio.run(main())


@pytest.mark.skipif(not death_signal(), reason="there is no setpriv(1) here")
def test_the_kernel_tells_it_when_we_die(tmp_path: Path) -> None:
    """PR_GET_PDEATHSIG (prctl(2)) as after a cold start."""
    code = "import ctypes\nn = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(n))\n"
    (tmp_path / "x.py").write_text(code + ANSWER.format("n.value"))

    async def main() -> None:
        command = [sys.executable, "x.py"]
        assert (await cold(tmp_path, command))["is"] == signal.SIGTERM
        assert (await from_spare(tmp_path, command))["is"] == signal.SIGTERM

    asyncio.run(main())


def test_it_dies_with_us() -> None:
    """Killed, we can tell it nothing; without the kernel's signal, the end of its line does."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        # Ours now: we are who adopts orphans here.
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert parent.stdout.read() == b""


def test_a_signal_while_it_waits_ends_it_unheard(tmp_path: Path) -> None:
    """An interrupt ends the wait; the program does not begin."""
    (tmp_path / "x.py").write_text("print('it ran')")

    async def main() -> None:
        bot = Spare(tmp_path)
        assert await bot.word() == ""
        os.kill(bot.child.pid, signal.SIGINT)
        assert await bot.word() == "it ended while it waited"
        await bot.gone()
        assert bot.child.status == SPOILED
        assert not bot.lines
        tree.reap_orphans([])

    asyncio.run(main())
