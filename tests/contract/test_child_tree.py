"""All that a real child started: known, stopped and ended as one, whatever it does to hide."""

import asyncio
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from supervisor.core import events as ev
from supervisor.process import survivors, tree
from supervisor.process.freezer import frozen
from supervisor.session.lock import OwnerLock
from tests.contract.childkit import PATIENCE_S, PYTHON, live, watched

pytestmark = pytest.mark.usefixtures("adopting")


# Its tree.
def test_the_tree_is_gone_only_when_all_of_it_is() -> None:
    """A grandchild in its own session that holds the output: an exit, and no end of the tree."""

    async def run() -> None:
        script = (
            "code = 'import signal\\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\\n'"
            "'print(\"deaf\", flush=True)\\nwhile True: signal.pause()'\n"
            "deaf = subprocess.Popen([sys.executable, '-I', '-S', '-c', code],"
            " start_new_session=True)\n"
            "print(deaf.pid, flush=True)\n"
            "sys.stdin.readline()"
        )
        async with watched(script, stdin=True) as bot:
            await bot.printed(b"deaf")
            deaf = int(bot.lines[0][1] if bot.lines[0][1] != b"deaf" else bot.lines[1][1])
            assert bot.child.members() == [bot.child.pid, deaf]
            bot.child.write_line("end")
            assert (await bot.heard(ev.Exited)).status == 0
            assert bot.child.members() == [deaf]
            bot.child.terminate()
            assert "TreeGone" not in bot.kinds()
            bot.child.kill()
            await bot.heard(ev.TreeGone)
            assert deaf not in live(tree.children(os.getpid()))

    asyncio.run(run())


def test_an_orphan_that_hid_its_origin_still_belongs_to_the_tree() -> None:
    """Own session, empty environment, its parent gone: while the byte is held, so is the tree."""

    async def run(folder: Path) -> None:
        lock = OwnerLock(folder, "x")
        fd = lock.generation_fd(1)
        script = (
            "code = 'import signal, sys\\nprint(\"hidden\", flush=True)\\n'"
            "'while True: signal.pause()'\n"
            'middle = \'import subprocess, sys; subprocess.Popen([sys.executable, "-I", "-S",\''
            "' \"-c\", sys.argv[1]], env={}, start_new_session=True, close_fds=False)'\n"
            "subprocess.run([sys.executable, '-I', '-S', '-c', middle, code], close_fds=False)\n"
            "sys.stdin.readline()"
        )
        async with watched(script, stdin=True, lock=lock, lock_fd=fd) as bot:
            os.close(fd)
            await bot.printed(b"hidden")
            bot.child.write_line("end")
            await bot.heard(ev.Exited)
            assert lock.survivors() == (1,)
            assert len(bot.child.members()) == 1
            assert "TreeGone" not in bot.kinds()
        assert lock.survivors() == ()

    with tempfile.TemporaryDirectory(prefix="n") as folder:
        asyncio.run(run(Path(folder)))


def test_the_lock_s_byte_is_the_child_s_alone() -> None:
    """It holds its byte as long as it runs; our copies are closed; then it is free."""

    async def run(folder: Path) -> None:
        lock = OwnerLock(folder, "x")
        with lock:
            fd = lock.generation_fd(7)
            async with watched("print('up', flush=True)\nhold()", lock=lock, lock_fd=fd) as bot:
                os.close(fd)
                await bot.printed(b"up")
                assert lock.survivors() == (7,)
                assert tree.lock_holders(lock.path, [7]) == [bot.child.pid]
                assert tree.lock_holders(lock.path, [1, 8]) == []
            assert lock.survivors() == ()

    with tempfile.TemporaryDirectory(prefix="n") as folder:
        asyncio.run(run(Path(folder)))


def start(script: str, *fds: int, mark: str = "") -> "subprocess.Popen[bytes]":
    """Start a process with an environment of its own."""
    return subprocess.Popen((*PYTHON, script), env={tree.TOKEN: mark}, pass_fds=fds)


def test_survivors_are_found_by_token_and_by_byte() -> None:
    """One has the token and not the byte, one the byte and not the token: both are found, ended."""

    async def run(folder: Path) -> None:
        lock = OwnerLock(folder, "x")
        fd = lock.generation_fd(3)
        script = "import signal\nwhile True: signal.pause()"
        hold = start(script, fd)
        marked = start(script, mark="abc.3.0")
        other = start(script, mark="abcd.3.0")
        os.close(fd)
        procs = (hold, marked, other)
        try:
            assert tree.lock_holders(lock.path, lock.survivors()) == [hold.pid]
            assert tree.marked("abc.") == [marked.pid]
            assert survivors.find("abc", lock.survivors(), lock.path) == []  # our own children
            found = {hold.pid, marked.pid}

            os.kill(hold.pid, signal.SIGSTOP)
            async with asyncio.timeout(PATIENCE_S):
                await survivors.evict(lambda: live(found), kill=False)
            assert [proc.wait(5) for proc in (hold, marked)] == [-signal.SIGTERM, -signal.SIGTERM]
            assert other.poll() is None
            assert lock.survivors() == ()
        finally:
            for proc in procs:
                proc.kill()
                proc.wait(5)

    with tempfile.TemporaryDirectory(prefix="n") as folder:
        asyncio.run(run(Path(folder)))


def test_frozen_means_every_thread_and_thaws_on_every_way_out() -> None:
    """Main thread and others, child and grandchild read T; what was stopped before stays so."""

    def states(pids: list[int]) -> set[str]:
        return {
            Path(f"/proc/{pid}/task/{task}/stat").read_text().rpartition(")")[2].split()[0]
            for pid in pids
            for task in os.listdir(f"/proc/{pid}/task")
        }

    async def run() -> None:
        script = (
            "import threading\n"
            "threading.Thread(target=hold_busy, daemon=True).start()\n"
            "code = 'import signal\\nprint(\"two\", flush=True)\\nwhile True: signal.pause()'\n"
            "subprocess.Popen([sys.executable, '-I', '-S', '-c', code], start_new_session=True)\n"
            "print('one', flush=True)\n"
            "hold()"
        )
        busy = "def hold_busy():\n    while True: pass\n"
        async with watched(busy + script) as bot:
            await bot.printed(b"one")
            await bot.printed(b"two")
            pids = bot.child.members()
            assert len(pids) == 2
            with frozen(bot.child.members, 5.0) as freeze:
                assert freeze.whole
                assert states(pids) == {"T"}
            assert "T" not in states(pids)
            with pytest.raises(RuntimeError, match="inside"), frozen(bot.child.members, 5.0):
                raise RuntimeError("inside")
            assert "T" not in states(pids)
            os.kill(pids[1], signal.SIGSTOP)  # somebody looks at it with a debugger
            async with asyncio.timeout(PATIENCE_S):
                while states(pids[1:]) != {"T"}:
                    await asyncio.to_thread(os.sched_yield)
            with frozen(bot.child.members, 5.0) as freeze:
                assert freeze.whole
            assert states(pids[1:]) == {"T"}
            bot.child.terminate()  # thaws: a stopped process would never see the signal
            await bot.heard(ev.Exited)

    asyncio.run(run())


def test_orphans_are_reaped_and_our_own_helpers_left_alone() -> None:
    """A zombie of a bot's is collected; one of ours keeps its status for who waits for it."""
    script = (
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    print(os.getpid(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        (*PYTHON, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as proc:
        assert proc.stdin
        assert proc.stdout
        orphan = int(proc.stdout.readline())
        assert proc.wait(5) == 0  # its child is ours now
        helper = subprocess.Popen((*PYTHON, "raise SystemExit(7)"))
        os.waitid(os.P_PID, helper.pid, os.WEXITED | os.WNOWAIT)
        proc.stdin.close()
        os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
        tree.reap_orphans([])
        assert orphan not in tree.children(os.getpid())
        assert helper.wait(5) == 7
