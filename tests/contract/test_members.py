"""Whoever a bot started is found, in whatever way; and nobody looks into another bot's tree."""

import asyncio
import os
import subprocess
import threading
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from supervisor.core import events as ev
from supervisor.process import tree
from supervisor.session.lock import OwnerLock
from tests.contract.childkit import PYTHON, Watched, watched

pytestmark = pytest.mark.usefixtures("adopting")

# `fork` runs its steps in a new process, which then ends. Who stays says so with its number.
STEPS = """
import threading
SUPERVISOR = os.getppid()
def fork(*steps):
    if os.fork() == 0:
        for step in steps:
            step()
        os._exit(0)
def stays():
    os.write(1, b"%d\\n" % os.getpid())
    hold()
def orphaned():
    while os.getppid() != SUPERVISOR:
        os.sched_yield()
    stays()
def in_thread(step):
    done = threading.Event()
    def work():
        step()
        done.set()
        hold()
    threading.Thread(target=work, daemon=True).start()
    done.wait()
def bare():
    code = "import os, signal\\nprint(os.getpid(), flush=True)\\nwhile True: signal.pause()"
    os.execve(sys.executable, ["bare", "-I", "-S", "-c", code], {})
def first_thread_ends():
    import ctypes
    number = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
    threading.Thread(target=alone).start()
    ctypes.CDLL(None).syscall(number, 0)
def alone():
    while "Z" not in open("/proc/self/stat").read():
        os.sched_yield()
    fork(stays)
    os.write(1, b"%d\\n" % os.getpid())
    threading.Event().wait()
def bare_orphan():
    while os.getppid() != SUPERVISOR:
        os.sched_yield()
    bare()
"""
WAYS = {
    "a child": "fork(stays)",
    "a session of its own": "fork(os.setsid, stays)",
    "an orphan": "fork(lambda: fork(orphaned))",
    "an orphan without our mark": "fork(lambda: fork(bare_orphan))",
    "below a daemon, and hidden": "fork(lambda: fork(os.setsid, bare), stays)",
    "a daemon": "fork(os.setsid, lambda: fork(orphaned))",
    "below a daemon": "fork(os.setsid, lambda: fork(lambda: fork(stays), orphaned))",
    "an orphan of an orphan": (
        "fork(os.setsid, lambda: fork(os.setsid, lambda: fork(os.setsid, orphaned)))"
    ),
    "of a thread": "in_thread(lambda: fork(lambda: fork(stays), stays))",
    "whose first thread ended": "fork(first_thread_ends)",
    "a daemon of a thread": (
        "fork(os.setsid, lambda: in_thread(lambda: fork(lambda: fork(stays), orphaned)))"
    ),
}
STAYING = ("stays", "orphaned", "bare", "first_thread_ends", "first_thread_ends")  # and its child
NUMBERS = {way: sum(map(script.count, STAYING)) for way, script in WAYS.items()}


async def numbers(bot: Watched, count: int) -> set[int]:
    """Return what all that it started say of themselves."""
    await bot.until(lambda: len(bot.lines) == count, f"{count} processes")
    return {int(line) for _, line in bot.lines}


@pytest.mark.parametrize("way", WAYS)
def test_whoever_a_bot_started_is_found(way: str, tmp_path: Path) -> None:
    """Beside another bot that does the same; while the main process runs, and after it."""
    script = f"{STEPS}{WAYS[way]}\nsys.stdin.readline()"

    async def run() -> None:
        # Who hid is known by its byte of the lock, too, once its parent ended before it.
        lock = OwnerLock(tmp_path, "x")

        def start(generation: int) -> AbstractAsyncContextManager[Watched]:
            fd = lock.generation_fd(generation)
            return watched(script, stdin=True, generation=generation, lock=lock, lock_fd=fd)

        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(start(1))
            two = await stack.enter_async_context(start(2))
            for bot in (one, two):
                os.close(bot.child.plan.lock_fd or 0)
            first = await numbers(one, NUMBERS[way])
            second = await numbers(two, NUMBERS[way])
            assert set(one.child.members()) == {one.child.pid, *first}
            assert set(two.child.members()) == {two.child.pid, *second}
            one.child.write_line("end")
            await one.heard(ev.Exited)
            assert set(one.child.members()) == first
            assert set(two.child.members()) == {two.child.pid, *second}

    asyncio.run(run())


def test_who_was_once_seen_is_found_when_nothing_tells_whose_it_is() -> None:
    """With another session, without our mark, its parent gone: so is each that dies of SIGKILL."""

    async def run() -> None:
        async with watched(f"{STEPS}{WAYS['below a daemon, and hidden']}\nhold()") as bot:
            both = await numbers(bot, 2)
            (hidden,) = (pid for pid in both if tree.Stat(pid).session == pid)
            assert set(bot.child.members()) == {bot.child.pid, *both}
            (above,) = both - {hidden}
            os.kill(above, 9)
            while tree.Stat(hidden).parent == above:
                await asyncio.to_thread(os.sched_yield)
            assert set(bot.child.members()) == {bot.child.pid, hidden}
            os.kill(bot.child.pid, 9)
            await bot.heard(ev.Exited)
            assert bot.child.members() == [hidden]

    asyncio.run(run())


def test_our_first_thread_adopts_though_we_have_others() -> None:
    """Only its children are asked for: a strand of each of fifty bots would make a look long."""
    end = threading.Event()
    others = [threading.Thread(target=end.wait) for _ in range(3)]
    for thread in others:
        thread.start()

    async def run() -> None:
        async with watched(f"{STEPS}{WAYS['a daemon']}\nhold()") as bot:
            (orphan,) = await numbers(bot, 1)
            assert {bot.child.pid, orphan} <= set(tree.adopted())

    try:
        asyncio.run(run())
    finally:
        end.set()
        for thread in others:
            thread.join()


def test_nobody_looks_into_another_bot_s_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two hundred bots one asks for its own tree: it must not read of all the others."""
    looked: list[int] = []

    class Seen(tree.Stat):
        def __init__(self, pid: int) -> None:
            looked.append(pid)
            super().__init__(pid)

    async def run() -> None:
        script = f"{STEPS}fork(stays)\nsys.stdin.readline()"
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(watched(script, stdin=True, generation=1))
            two = await stack.enter_async_context(watched(script, stdin=True, generation=2))
            (child,) = await numbers(one, 1)
            other = {two.child.pid, *await numbers(two, 1)}
            assert set(tree.descendants(os.getpid())) >= other
            monkeypatch.setattr(tree, "Stat", Seen)
            assert one.child.members() == [one.child.pid, child]
            tree.reap_orphans()
            assert not other.intersection(looked)
            assert one.child.pid in looked

    asyncio.run(run())


def test_a_main_process_is_spared_until_its_number_is_free() -> None:
    """A zombie whose tree still lives is not reaped as an orphan; one that is gone is forgotten."""

    async def run() -> None:
        async with watched(f"{STEPS}fork(os.setsid, stays)", stdin=True) as bot:
            (child,) = await numbers(bot, 1)
            await bot.heard(ev.Exited)
            tree.reap_orphans()
            assert tree.Stat(bot.child.pid).state == "Z"
            os.kill(child, 9)
            await bot.heard(ev.TreeGone)
            assert bot.child.pid not in tree.mains

    asyncio.run(run())


def test_what_lives_elsewhere_is_told_from_ours() -> None:
    """We, a child, a grandchild and who is gone are no strangers; the one who started us is."""
    script = (
        "import os\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os.read(0, 1)\n"
        "    os._exit(0)\n"
        "print(pid, flush=True)\n"
        "os.waitpid(pid, 0)"
    )
    with subprocess.Popen(
        (*PYTHON, script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as proc:
        assert proc.stdin
        assert proc.stdout
        grandchild = int(proc.stdout.readline())
        ours = (os.getpid(), proc.pid, grandchild)
        assert not [pid for pid in ours if tree.lives_elsewhere(pid)]
        assert tree.lives_elsewhere(os.getppid())
        proc.stdin.close()
        proc.wait(5)
        assert not tree.lives_elsewhere(proc.pid)
