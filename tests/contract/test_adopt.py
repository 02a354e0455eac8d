"""A real child is let go of and taken over: it does not notice, and nothing of it is lost."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import pytest

from supervisor.core import events as ev
from supervisor.session.lock import OwnerLock
from tests.contract.adoptkit import hand_over
from tests.contract.childkit import PATIENCE_S, watched

pytestmark = pytest.mark.usefixtures("adopting")

# Waits to be told to go on, by a signal that it has blocked from its beginning.
GATE = """
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
def gate():
    signal.sigwait({signal.SIGUSR2})
def show(text, end="\\n"):
    print(text, end=end, flush=True)
"""


# What it prints.
def test_a_line_that_was_half_there_is_whole() -> None:
    """One that is cut by the hand-over, on each stream, is one line, once; so is one between."""

    async def run() -> None:
        script = (
            f"{GATE}show('first'); print('err-', end='', file=sys.stderr, flush=True)\n"
            "show('ha', end=''); say(b'READY=1'); gate()\n"
            "show('lf'); print('or', file=sys.stderr, flush=True); show('last'); hold()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            bot.child._drain()  # what it printed before it said so is there
            assert bot.lines == [("stdout", b"first")]
            child = hand_over(bot, lambda: os.kill(bot.child.pid, signal.SIGUSR2))
            await bot.printed(b"last")
            await bot.until(lambda: ("stderr", b"err-or") in bot.lines)
            assert bot.text == b"first\nhalf\nlast\n"
            assert next(iter(child.heard.tail)) == "first", "an alert quotes them"

    asyncio.run(run())


def test_what_stands_without_an_end_is_told_once_over_all_programs() -> None:
    """A question is told to a person though its line came to the program before, never twice."""

    async def run() -> None:
        script = f"{GATE}show('Code: ', end=''); say(b'READY=1'); gate(); show('thanks'); hold()"
        prompts: list[bytes] = []
        asked = asyncio.Event()

        def on_prompt(_generation: int, _stream: str, text: bytes) -> None:
            prompts.append(text)
            asked.set()

        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            bot.child._drain()
            hand_over(bot, on_prompt=on_prompt)  # before anybody was told
            async with asyncio.timeout(PATIENCE_S):
                await asked.wait()
            child = hand_over(bot, on_prompt=on_prompt)
            os.kill(child.pid, signal.SIGUSR2)
            await bot.printed(b"Code: thanks")
            assert prompts == [b"Code: "]

    asyncio.run(run())


def test_secrets_are_blotted_out_by_the_next_program_too() -> None:
    """A QR payload, a line that a person typed, and the rest of a private key that has begun."""

    async def run() -> None:
        begin, end = (f"-----{word} PRIVATE KEY-----" for word in ("BEGIN", "END"))
        script = (
            f"{GATE}say(b'X_STILLHERE_QR=2@old'); say(b'X_STILLHERE_QR=2@secret')\n"
            f"typed = input(); show({begin!r}); show('first'); say(b'READY=1'); gate()\n"
            f"show('second'); show({end!r})\n"
            "show('codes 2@secret 2@old'); show('typed ' + typed); show('over'); hold()"
        )
        async with watched(script, stdin=True) as bot:
            bot.child.write_line("ABCD-EFGH")
            await bot.heard(ev.BotReady)
            bot.child._drain()
            child = hand_over(bot)
            assert child.heard.qr == "2@secret", "it is shown still"
            os.kill(child.pid, signal.SIGUSR2)
            await bot.printed(b"over")
            assert bot.text == (
                b"[masked]\n" * 4 + b"codes [QR code] [QR code]\ntyped [your line]\nover\n"
            )

    asyncio.run(run())


# What it says, and what it is told.
def test_what_it_says_meanwhile_is_heard_and_a_stranger_still_is_not() -> None:
    """The socket is the same one: what comes while nobody reads waits in it."""

    async def run() -> None:
        script = (
            f"{GATE}say(b'STATUS=before\\nX_STILLHERE_IDENTITY=me\\nX_STILLHERE_CAPS=standby')\n"
            "say(b'READY=1'); gate(); say(b'STATUS=after\\nX_STILLHERE_PROOF=roundtrip')\n"
            "os.write(1, b'said\\n'); hold()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            first = bot.child
            path = bot.child._notify
            assert path is not None

            def meanwhile() -> None:
                os.kill(first.pid, signal.SIGUSR2)
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
                    stranger.sendto(b"STATUS=stranger\nX_STILLHERE_RELEASED=1", str(path.path))

            child = hand_over(bot, meanwhile)
            assert (child.heard.status, child.heard.identity) == ("before", "me")
            await bot.heard(ev.ProofGiven)
            await bot.printed(b"said")
            assert child._notify is not None
            child._notify.drain()
            assert child._notify.strangers == 1
            assert child.heard.status == "after"
            assert "Released" not in bot.kinds()
            third = hand_over(bot)._notify
            assert third is not None
            assert third.strangers == 1, "it is counted over all programs"
            assert bot.kinds().count("BotReady") == 1

    asyncio.run(run())


def test_an_orphan_of_its_tree_is_still_trusted_and_still_killed() -> None:
    """It left its session, its parent and its token: that it was seen before is carried."""

    async def run() -> None:
        helper = (
            "import os, signal, socket\n"
            "def say(data):\n"
            "    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "    s.sendto(data, os.environ['NOTIFY_SOCKET'])\n"
            "say(b'READY=1\\nSTATUS=%d' % os.getpid())\n"
            "signal.sigwait({signal.SIGUSR2}); say(b'X_STILLHERE_PROOF=roundtrip')\n"
            "signal.pause()\n"
        )
        between = (
            "import os, subprocess, sys\n"
            "env = {'NOTIFY_SOCKET': os.environ['NOTIFY_SOCKET']}\n"
            "subprocess.Popen([sys.executable, '-I', '-S', '-c', sys.argv[1]], env=env)\n"
            "sys.stdin.read()\n"
        )
        script = (
            f"{GATE}made = subprocess.Popen([sys.executable, '-I', '-S', '-c', {between!r},"
            f" {helper!r}], stdin=subprocess.PIPE, start_new_session=True)\n"
            "gate(); made.communicate(); say(b'X_STILLHERE_CAPS=standby'); hold()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            orphan = int(bot.child.heard.status)
            os.kill(bot.child.pid, signal.SIGUSR2)
            await bot.heard(ev.CapsDeclared)
            child = hand_over(bot)
            os.kill(orphan, signal.SIGUSR2)
            await bot.heard(ev.ProofGiven)
            assert child._notify is not None
            assert child._notify.strangers == 0
            assert set(child.members()) == {child.pid, orphan}
            child.kill()
            await bot.heard(ev.TreeGone)
            assert child.members() == []

    asyncio.run(run())


def test_it_flushes_when_it_is_asked_by_the_next_program() -> None:
    """By the signal that it chose; an answer to the question before counts no more."""

    async def run() -> None:
        script = (
            "def flush(*_):\n"
            "    import time\n"
            "    say(b'X_STILLHERE_CHECKPOINT=1\\nMONOTONIC_USEC=%d' %"
            " (time.monotonic_ns() // 1000))\n"
            "signal.signal(signal.SIGUSR1, flush)\n"
            "say(b'X_STILLHERE_CAPS=checkpoint:SIGUSR1\\nREADY=1'); hold()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            child = hand_over(bot)
            assert child.heard.checkpoint_signal is signal.SIGUSR1
            child.request_checkpoint()
            await bot.heard(ev.Checkpointed)

    asyncio.run(run())


def test_lines_that_it_has_not_read_yet_reach_it_whole_and_in_order() -> None:
    """More than a pipe holds, given before; and what is given after, after it."""

    async def run() -> None:
        script = (
            f"{GATE}say(b'READY=1'); gate()\n"
            "def sizes(count): return [len(sys.stdin.readline()) for _ in range(count)]\n"
            "show(sizes(3)); show(sizes(1)); hold()"
        )
        async with watched(script, stdin=True) as bot:
            await bot.heard(ev.BotReady)
            for size in (70_000, 80_000, 90_000):
                bot.child.write_line("x" * size)
            assert bot.child._input is not None
            assert bot.child._input._waiting
            child = hand_over(bot)
            os.kill(child.pid, signal.SIGUSR2)
            await bot.printed(b"[70001, 80001, 90001]")
            async with asyncio.timeout(PATIENCE_S):
                await child.drained()
            child.write_line("x" * 100_000)
            await bot.printed(b"[100001]")

    asyncio.run(run())


# Its end.
@pytest.mark.parametrize("end", ["sys.exit(7)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_its_exit_status_is_seen(end: str) -> None:
    """It is our child still: its status is ours to collect, with its last words before."""

    async def run() -> None:
        script = f"{GATE}say(b'READY=1'); gate(); show('bye', end=''); {end}"
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            child = hand_over(bot)
            os.kill(child.pid, signal.SIGUSR2)
            await bot.heard(ev.TreeGone)
            assert bot.kinds()[-2:] == ["Exited", "TreeGone"]
            assert child.status == (7 if "exit" in end else -signal.SIGKILL)
            assert bot.text == b"bye\n"
            with pytest.raises(ProcessLookupError):
                os.kill(child.pid, 0)  # it was collected

    asyncio.run(run())


def test_one_that_died_meanwhile_is_seen_with_its_status() -> None:
    """Whoever ends between two programs waits, as a zombie, with all that it had said."""

    async def run() -> None:
        script = (
            f"{GATE}show('par', end=''); say(b'READY=1'); gate()\n"
            "show('tial'); say(b'STATUS=last words\\nX_STILLHERE_RELEASED=1'); sys.exit(9)"
        )
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            pid = bot.child.pid

            def meanwhile() -> None:
                os.kill(pid, signal.SIGUSR2)
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

            child = hand_over(bot, meanwhile)
            assert child.status is None, "nobody is told before the loop turns"
            await bot.heard(ev.TreeGone)
            assert child.status == 9
            assert child.heard.status == "last words"
            assert bot.kinds() == ["BotReady", "Released", "Exited", "TreeGone"]
            assert bot.text == b"partial\n"

    asyncio.run(run())


def test_nothing_stays_open_once_it_is_gone() -> None:
    """Each descriptor that came along is closed, and the socket's file is removed."""

    async def run() -> None:
        async with watched("say(b'READY=1'); hold()", stdin=True) as bot:
            before = len(os.listdir("/proc/self/fd"))
            await bot.heard(ev.BotReady)
            hand_over(bot)
            child = hand_over(bot)
            assert len(os.listdir("/proc/self/fd")) == before
            notify = child._notify
            assert notify is not None
            child.terminate()
            await bot.heard(ev.TreeGone)
            # The pidfd, two pipes of output, one of input, the socket.
            assert len(os.listdir("/proc/self/fd")) == before - 5
            assert not notify.path.exists()
            assert child.carry() is None

    asyncio.run(run())


# One copy, ever.
def test_the_locks_outlive_the_program(tmp_path: Path) -> None:
    """Byte 0 goes with its descriptor; the generation's is held until the whole tree is gone."""

    async def run() -> None:
        mine = OwnerLock(tmp_path, "x")
        mine.acquire()
        fd = mine.generation_fd(1)
        async with watched("say(b'READY=1'); hold()", lock=mine, lock_fd=fd) as bot:
            os.close(fd)
            await bot.heard(ev.BotReady)
            kept = mine.carry()
            assert kept is not None
            assert os.get_inheritable(kept) is False
            del mine
            # The next program's: another object, the same open file.
            other = OwnerLock(tmp_path, "x")
            assert not other.held
            other.adopt(kept)
            assert other.held
            other.acquire()  # harmless: it has it
            child = hand_over(bot)
            assert other.survivors() == (1,)
            assert not child._kin.byte_free(1)
            os.kill(child.pid, signal.SIGKILL)
            await bot.heard(ev.TreeGone)
            assert other.survivors() == ()
            other.release()
            assert not other.held
            with OwnerLock(tmp_path, "x") as third:
                assert third.held

    asyncio.run(run())


# Who is not carried.
def test_who_stands_by_or_has_ended_is_not_carried() -> None:
    """An upgrade waits for these: half of a hand-over, or of a tree, is nothing to go on by."""

    async def run() -> None:
        async with watched("say(b'READY=1'); hold()", session_dir=None) as bot:
            await bot.heard(ev.BotReady)
            assert bot.child.stands_by
            assert bot.child.carry() is None
            bot.child.activate(bot.child.plan.cwd)
            assert bot.child.carry() is not None
            hand_over(bot)
            bot.child.kill()
            await bot.heard(ev.Exited)
            assert bot.child.carry() is None

    asyncio.run(run())
