"""What a real child says of itself is heard, in order, and from nobody else."""

import asyncio
import os
import socket
import tempfile
from pathlib import Path

import pytest

from supervisor.core import events as ev
from supervisor.process.notify import NotifySocket
from tests.contract.childkit import watched

pytestmark = pytest.mark.usefixtures("adopting")


# What it says.
def test_a_stranger_is_counted_and_its_message_dropped() -> None:
    """Only the generation's own tree is heard: main process, and whatever it started."""

    async def run() -> None:
        script = (
            "say(b'STATUS=main')\n"
            "code = 'import os, socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);'"
            '\'s.sendto(b"STATUS=helper\\\\nREADY=1", os.environ["NOTIFY_SOCKET"]);\''
            "'sys.stdin.read()'\n"
            "helper = subprocess.Popen([sys.executable, '-I', '-S', '-c', code],"
            " stdin=subprocess.PIPE, start_new_session=True)\n"
            "hold()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            assert bot.child.heard.status == "helper"
            path = bot.child._notify
            assert path is not None
            stranger = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            with stranger:
                stranger.sendto(b"STATUS=stranger\nX_STILLHERE_PROOF=roundtrip", str(path.path))
            path.drain()
            assert path.strangers == 1
            assert bot.child.heard.status == "helper"
            assert "ProofGiven" not in bot.kinds()
            assert path.path.stat().st_mode & 0o777 == 0o600

    asyncio.run(run())


def test_torn_messages_and_sent_descriptors_do_no_harm() -> None:
    """A truncated datagram is dropped and counted; descriptors that come along are closed."""

    async def run() -> None:
        script = (
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)\n"
            "s.connect(os.environ['NOTIFY_SOCKET'])\n"
            "s.send(b'READY=1\\nSTATUS=' + b'x' * 70000)\n"
            "import array\n"
            "fds = array.array('i', [0] * 10)\n"
            "for n in range(20):\n"
            "    s.sendmsg([b'STATUS=%d' % n], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])\n"
            "s.send(b'\\xff\\xfe=\\n=\\n\\nno assignment\\nREADY=1\\n'"
            " b'STATUS=\\xf0\\x9f\\x99\\x82 ok')\n"
            "hold()"
        )
        before = len(os.listdir("/proc/self/fd"))
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            assert bot.child.heard.status == "🙂 ok"
            assert bot.child._notify is not None
            assert bot.child._notify.truncated == 1
            assert bot.child._notify.strangers == 0
            assert len(os.listdir("/proc/self/fd")) < before + 20
        assert len(os.listdir("/proc/self/fd")) <= before + 3

    asyncio.run(run())


def test_last_words_come_before_the_end() -> None:
    """What it said and printed right before it exited is heard before its exit is."""

    async def run(*, terminal: bool) -> None:
        script = (
            "sys.stdout.buffer.write(b'%032d\\n' * 1500 % tuple(range(1500)))\n"
            "sys.stdout.flush()\n"
            "say(b'X_STILLHERE_SESSION=lost\\nX_STILLHERE_REASON=401 device removed')\n"
            "say(b'X_STILLHERE_RELEASED=1')\n"
            "os._exit(7)"
        )
        async with watched(script, terminal=terminal) as bot:
            exited = await bot.heard(ev.Exited)
            assert exited.status == 7
            assert bot.kinds()[-4:-1] == ["SessionReported", "Released", "Exited"] or bot.kinds()[
                -3:
            ] == ["SessionReported", "Released", "Exited"]
            await bot.heard(ev.TreeGone)
            assert bot.text == b"".join(b"%032d\n" % n for n in range(1500))

    asyncio.run(run(terminal=False))
    asyncio.run(run(terminal=True))


def opened(fifo: Path) -> None:
    """Wait until somebody writes there; the loop stands still until then, which is wanted."""
    fifo.read_bytes()


def test_what_it_said_before_it_printed_is_known() -> None:
    """Whichever channel is read first: a QR code that it told us of is in no line."""

    async def run() -> None:
        script = (
            "say(b'X_STILLHERE_SESSION=pairing\\nX_STILLHERE_QR=scan me')\n"
            "print('code: scan me', flush=True)\n"
            "open('printed', 'w').close()\n"
            "hold()"
        )
        with tempfile.TemporaryDirectory() as name:
            os.mkfifo(Path(name, "printed"))
            async with watched(script, cwd=Path(name)) as bot:
                opened(Path(name, "printed"))
                for reader in bot.child.speech._readers:
                    reader.drain()
                assert bot.lines == [("stdout", b"code: [QR code]")]

    asyncio.run(run())


def test_no_secret_is_in_what_it_says_of_itself() -> None:
    """A status and a reason get into events, alerts and answers, beside a QR code or not."""

    async def run() -> None:
        script = (
            "say(b'X_STILLHERE_SESSION=pairing\\nX_STILLHERE_QR=scan me\\nSTATUS=shows scan me')\n"
            "say(b'X_STILLHERE_SESSION=lost\\nX_STILLHERE_REASON=logged out: password: hunter22')\n"
            "hold()"
        )
        async with watched(script) as bot:
            lost = "logged out: password: [masked]"
            await bot.until(lambda: ev.SessionReported(1, "lost", "", lost) in bot.events, lost)
            assert bot.child.heard.status == "shows [QR code]"

    asyncio.run(run())


def test_a_flood_of_strangers_is_looked_up_once() -> None:
    """To find out who somebody is takes a look at all processes: once for each reading."""

    async def run() -> None:
        asked: list[int] = []
        strangers: list[int] = []
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, "n")

            def trusts(pid: int) -> bool:
                asked.append(pid)
                return False

            notify = NotifySocket(path, lambda _: None, trusts, lambda: strangers.append(1))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
                for _ in range(5):
                    stranger.sendto(b"READY=1", str(path))
                notify.drain()
                assert (asked, len(strangers), notify.strangers) == ([os.getpid()], 5, 5)
                stranger.sendto(b"READY=1", str(path))
                notify.drain()
                assert len(asked) == 2, "it may be one of the tree's by now"
            notify.close()

    asyncio.run(run())


def test_a_full_queue_of_messages_blocks_nobody_for_good() -> None:
    """More messages than the kernel queues, sent at once: all are heard, in order."""

    async def run() -> None:
        script = "for n in range(500): say(b'STATUS=%d' % n)\nsay(b'READY=1')\nhold()"
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            assert bot.child.heard.status == "499"

    asyncio.run(run())


def test_a_checkpoint_counts_only_when_it_answers_our_request() -> None:
    """An answer that is older than the request is none."""

    async def run() -> None:
        script = (
            "import time\n"
            "def usec(): return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000\n"
            "old = usec()\n"
            "def flush(*_):\n"
            "    say(b'X_STILLHERE_CHECKPOINT=1\\nMONOTONIC_USEC=%d' % old)\n"
            "    say(b'STATUS=old')\n"
            "    say(b'X_STILLHERE_CHECKPOINT=1\\nMONOTONIC_USEC=%d' % usec())\n"
            "signal.signal(signal.SIGUSR1, flush)\n"
            "say(b'X_STILLHERE_CAPS=standby checkpoint:SIGUSR1 roundtrip unknown')\n"
            "hold()"
        )
        async with watched(script) as bot:
            caps = await bot.heard(ev.CapsDeclared)
            assert (caps.standby, caps.checkpoint, caps.roundtrip) == (True, True, True)
            bot.child.request_checkpoint()
            await bot.heard(ev.Checkpointed)
            assert bot.child.heard.status == "old"
            assert bot.kinds().count("Checkpointed") == 1

    asyncio.run(run())
