"""What a real child process may do to us, and what of ours it may see."""

import asyncio
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from supervisor.core import events as ev
from supervisor.core.errors import SupervisorError
from supervisor.process import environment, output, survivors, tree
from supervisor.process.freezer import frozen
from supervisor.process.output import LineReader
from supervisor.session.lock import OwnerLock
from tests.contract.childkit import PATIENCE_S, PYTHON, Watched, live, watched

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


def test_a_full_queue_of_messages_blocks_nobody_for_good() -> None:
    """More messages than the kernel queues, sent at once: all are heard, in order."""

    async def run() -> None:
        script = "for n in range(500): say(b'STATUS=%d' % n)\nsay(b'READY=1')\nhold()"
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            assert bot.child.heard.status == "499"

    asyncio.run(run())


# What it prints.


def test_lines_of_any_length() -> None:
    """Long lines come in pieces, bytes are never lost, and a line without an end comes too."""

    async def run() -> None:
        script = (
            "out = sys.stdout.buffer\n"
            "out.write(b'short\\r\\n\\n' + b'y' * 3_000_000 + b'\\nnext\\nno end')\n"
            "out.flush()"
        )
        async with watched(script) as bot:
            await bot.heard(ev.TreeGone)
            lines = [line for _, line in bot.lines]
            assert lines[:2] == [b"short", b""]
            assert lines[-2:] == [b"next", b"no end"]
            assert all(len(line) <= output.LINE_MAX_BYTES for line in lines)
            assert sum(line.count(b"y") for line in lines) == 3_000_000

    asyncio.run(run())


def test_a_bot_that_never_stops_printing_does_not_take_the_loop() -> None:
    """Between its lines everything else gets its turn, and it can be stopped."""

    async def run() -> None:
        script = "data = b'y\\n' * 65536\nsay(b'READY=1')\nwhile True: os.write(1, data)"
        async with watched(script) as bot:
            await bot.heard(ev.BotReady)
            await bot.until(lambda: bot.lines, "printing")
            for _ in range(20):
                await asyncio.wait_for(asyncio.to_thread(os.getpid), PATIENCE_S)
            bot.child.kill()
            await bot.heard(ev.TreeGone)
            assert bot.lines

    asyncio.run(run())


def test_a_grandchild_that_prints_for_ever_does_not_hold_up_the_end() -> None:
    """The exit of the main process is told though its output never ends."""

    async def run() -> None:
        script = (
            "code = 'import os\\nwhile True: os.write(1, b\"y\\\\n\" * 65536)'\n"
            "subprocess.Popen([sys.executable, '-I', '-S', '-c', code], start_new_session=True)\n"
            "os.read(0, 1)"
        )
        async with watched(script, stdin=True) as bot:
            await bot.until(lambda: bot.lines, "printing")
            bot.child.write_line("")
            exited = await bot.heard(ev.Exited)
            assert exited.status == 0
            assert "TreeGone" not in bot.kinds()

    asyncio.run(run())


def test_kept_lines_are_bounded_by_their_bytes() -> None:
    """Ten thousand lines of any length would be no bound."""
    kept = output.Kept()
    for n in range(1000):
        kept.add({"line": "x" * 100_000, "n": n})
    assert sum(len(str(record["line"])) for record in kept.tail(10_000)) <= output.KEPT_BYTES
    assert kept.tail(1)[0]["n"] == 999
    assert kept.tail(0) == []
    for n in range(20_000):
        kept.add({"line": "", "n": n})
    assert [record["n"] for record in kept.tail(10_000)] == list(range(10_000, 20_000))


def test_a_reader_is_closed_once() -> None:
    """The end of the file closes it; closing again, or reading, does nothing."""

    async def run() -> None:
        ends = output.pipe()
        got: list[bytes] = []
        reader = LineReader(ends.ours, "stdout", lambda _, line: got.append(line))
        os.write(ends.childs, b"rest")
        os.close(ends.childs)
        reader.drain()
        reader.close()
        reader.drain()
        assert got == [b"rest"]
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(ends.ours)

    asyncio.run(run())


def test_a_qr_code_never_gets_into_the_log() -> None:
    """A bot that prints its code gets it replaced in what is kept; and it is handed over."""

    async def run() -> None:
        script = (
            "say(b'X_STILLHERE_SESSION=pairing')\n"
            "say(b'X_STILLHERE_QR=s3cret-code\\nX_STILLHERE_QR_TTL_USEC=20000000')\n"
            "sys.stdin.readline()\n"
            "print('scan s3cret-code', flush=True)\n"
            "say(b'X_STILLHERE_SESSION=linked')\n"
            "hold()"
        )
        async with watched(script, stdin=True) as bot:
            await bot.until(lambda: bot.child.heard.qr == "s3cret-code", "a code")
            bot.child.write_line("go on")
            await bot.until(lambda: bot.child.heard.qr is None, "linked")
            await bot.printed(b"scan [QR code]")
            assert list(bot.child.heard.tail) == ["scan [QR code]"]
            assert bot.qr_changes == 2

    asyncio.run(run())


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


# What it is given.


def test_the_bot_sees_nothing_of_our_own_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sockets, its watchdog, its token and an outer session are ours, not the bot's."""
    ours = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "x",
        "WATCHDOG_USEC": "1000",
        "WATCHDOG_PID": "1",
        tree.TOKEN: "outer.1.2",
        "STILLHERE_SESSION_DIR": "/outer",
        "STILLHERE_STANDBY_FD": "99",
        "STILLHERE_SESSION_ID": "outer",
        "STILLHERE_GENERATION": "77",
        "STILLHERE_CHANGED": "/outer/changed",
    }
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    script = "import json\nprint(json.dumps(dict(os.environ)), flush=True)"

    async def run(**plan: Any) -> dict[str, str]:
        async with watched(script, env=environment.base({}, None), **plan) as bot:
            await bot.heard(ev.TreeGone)
            found: dict[str, str] = json.loads(bot.text)
            return found

    cold = asyncio.run(run())
    for key, value in ours.items():
        assert cold.get(key) != value, key
    assert "LISTEN_FDS" not in cold
    assert "WATCHDOG_USEC" not in cold
    assert cold["PYTHONUNBUFFERED"] == "1"
    assert cold["STILLHERE_SESSION_ID"] == "971505760056"
    silent = asyncio.run(run(notify=False))
    assert "NOTIFY_SOCKET" not in silent
    assert "STILLHERE_STANDBY_FD" not in silent
    waiting = asyncio.run(run(session_dir=None))
    assert "STILLHERE_SESSION_DIR" not in waiting
    assert os.environ[tree.TOKEN] == "outer.1.2"  # ours is never mutated


def test_the_standby_s_pipe() -> None:
    """Cold: the line is there already. Standby: the line at the activation, else end of file."""
    script = (
        "fd = int(os.environ['STILLHERE_STANDBY_FD'])\n"
        "say(b'X_STILLHERE_STANDBY=1')\n"
        "print(os.read(fd, 8192), os.read(fd, 8192), flush=True)"
    )

    async def run() -> None:
        async with watched(script, session_dir=Path("/a b/ß")) as bot:
            await bot.heard(ev.TreeGone)
            assert bot.text == b"b'activate /a b/\\xc3\\x9f\\n' b''\n"
        async with watched(script, session_dir=None) as bot:
            await bot.heard(ev.StandbyReached)
            assert not bot.lines
            bot.child.activate(Path("/there"))
            bot.child.activate(Path("/twice"))
            await bot.heard(ev.TreeGone)
            assert bot.text == b"b'activate /there\\n' b''\n"

    asyncio.run(run())


def test_a_standby_sees_the_end_of_its_supervisor() -> None:
    """With nobody left who could activate it, the standby reads the end of the file."""
    code = """
import asyncio, os, sys, tempfile
from pathlib import Path
from supervisor.process.child import Child, Plan
async def main():
    folder = Path(sys.argv[1])
    script = ("import os, signal\\nsignal.signal(15, signal.SIG_IGN)\\n"
              "print(os.getpid(), flush=True)\\n"
              "open('read', 'wb').write(os.read(int(os.environ['STILLHERE_STANDBY_FD']), 99))\\n"
              "os.rename('read', 'end')")
    Child(Plan(generation=1, token_prefix="t", command=(sys.executable, "-I", "-S", "-c", script),
               cwd=folder, env={}, session_id="x", session_dir=None, notify=True,
               socket_dir=folder),
          emit=lambda event: None, on_qr=lambda: None,
          on_line=lambda stream, line: print(line.decode(), flush=True))
    await asyncio.Event().wait()
asyncio.run(main())
"""
    root = Path(__file__).resolve().parents[2]
    with (
        tempfile.TemporaryDirectory(prefix="n") as name,
        subprocess.Popen(
            [sys.executable, "-c", code, name], cwd=root, stdout=subprocess.PIPE, text=True
        ) as parent,
    ):
        assert parent.stdout
        pidfd = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(5)
        try:
            assert select.select([pidfd], [], [], PATIENCE_S)[0]
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)  # orphaned, it became ours
        finally:
            os.close(pidfd)
        assert (Path(name) / "end").read_bytes() == b""


def test_only_what_it_needs_is_inherited() -> None:
    """Standard streams, the standby's pipe, the lock's byte: no other descriptor of ours."""

    async def run(folder: Path) -> None:
        lock = OwnerLock(folder, "x")
        with lock:
            fd = lock.generation_fd(1)
            ours = os.open("/dev/null", os.O_RDONLY)
            fcntl.fcntl(ours, fcntl.F_SETFD, 0)
            script = (
                "known = {0, 1, 2, int(os.environ['STILLHERE_STANDBY_FD'])}\n"
                "names = [(int(f), os.readlink('/proc/self/fd/' + f))"
                " for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f)]\n"
                "print([name for f, name in names if f not in known], flush=True)"
            )
            async with watched(script, lock=lock, lock_fd=fd) as bot:
                os.close(fd)
                await bot.heard(ev.TreeGone)
                assert bot.text.decode() == f"['{lock.path}']\n"
            os.close(ours)

    with tempfile.TemporaryDirectory(prefix="n") as folder:
        asyncio.run(run(Path(folder).resolve()))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("no-such-program-here",), "'no-such-program-here' is not on PATH"),
        (("./missing.sh",), "does not exist"),
        (("./plain.txt",), "is not executable"),
        ((sys.executable, "-c", "pass"), "could not be started: No such file"),
    ],
)
def test_a_program_that_cannot_start_is_told_clearly(
    tmp_path: Path, command: tuple[str, ...], words: str
) -> None:
    """Missing, not executable, no such folder: an error with a hint, and nothing left open."""
    (tmp_path / "plain.txt").write_text("text")
    cwd = tmp_path / "nowhere" if command[0] == sys.executable else tmp_path

    async def run() -> None:
        before = set(os.listdir("/proc/self/fd"))
        with tempfile.TemporaryDirectory(prefix="n") as sockets:
            with pytest.raises(SupervisorError) as failure:
                Watched(tmp_path, "", command=command, cwd=cwd, socket_dir=Path(sockets))
            assert words in failure.value.message
            assert failure.value.hint
            assert os.listdir(sockets) == []
        assert set(os.listdir("/proc/self/fd")) == before

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


def test_the_terminal_is_a_terminal() -> None:
    """On a terminal of ours the bot has one too, and its bytes come as they were written."""

    async def run() -> None:
        script = (
            "print(os.isatty(1), os.isatty(2))\nsys.stdout.flush()\nos.write(2, b'\\x1b[31mr\\n')"
        )
        async with watched(script, terminal=True) as bot:
            await bot.heard(ev.TreeGone)
            assert bot.text == b"True True\n\x1b[31mr\n"

    asyncio.run(run())
