"""A whole execve(2) with a real bot below: the next program has its lines, its end and its lock."""

from pathlib import Path

import pytest

from tests.contract.execkit import program, told

BOT = """
import os, signal, socket, sys
def say(data):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, os.environ["NOTIFY_SOCKET"])
print("first", flush=True)
print("ha", end="", flush=True)
say(b"READY=1\\nX_STILLHERE_QR=2@secret")
print("lf " + input() + " 2@secret", flush=True)
say(b"X_STILLHERE_PROOF=roundtrip")
sys.exit(7)
"""
# Twice the same program: it starts a bot and replaces itself, or it takes over and tells the end.
SUPERVISOR = """
import asyncio, json, os, signal, sys
from pathlib import Path
from supervisor.core import events as ev
from supervisor.core.plain import plain, rebuilt
from supervisor.loop.handoff import sealed, unsealed
from supervisor.process import environment, reexec
from supervisor.process.carried import Carried
from supervisor.process.child import Child
from supervisor.process.plan import Plan
from supervisor.session.lock import OwnerLock

folder, way, bot = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
lock = OwnerLock(folder, "x")
lines, kinds = [], []

def say(*what):
    print(json.dumps(what), flush=True)

def child(wanted, carried=None, lock_fd=None):
    happened = asyncio.Event()
    def emit(event):
        kinds.append(type(event).__name__)
        if kinds[-1] == wanted:
            happened.set()
    plan = Plan(
        generation=1, token_prefix="test", command=(sys.executable, "-I", "-S", "-c", bot),
        cwd=folder, env=environment.base({}, None), session_id="x", session_dir=folder,
        notify=True, socket_dir=folder, stdin=True, lock=lock, lock_fd=lock_fd)
    made = Child(
        plan, emit=emit, on_line=lambda _, stream, line: lines.append([stream, line.decode()]),
        on_qr=lambda: None, carried=carried)
    return made, happened

async def first():
    lock.acquire()
    fd = lock.generation_fd(1)
    made, ready = child("BotReady", lock_fd=fd)
    os.close(fd)
    await ready.wait()
    made._drain()
    say(os.getpid(), made.pid, lines)
    if way != "reads later":
        made.write_line("given")
    if way == "died":
        os.waitid(os.P_PID, made.pid, os.WEXITED | os.WNOWAIT)
    signals = reexec.Signals()
    carried = made.carry()
    document = {"child": plain(carried), "lock": lock.carry(), "signals": signals.pipe}
    fd = sealed(json.dumps(document).encode())
    keep = [fd, lock.carry(), signals.pipe, *carried.descriptors()]
    reexec.replace({**os.environ, "DOCUMENT": str(fd)}, keep)

async def then():
    fd = int(os.environ["DOCUMENT"])
    document = json.loads(unsealed(fd))
    os.close(fd)
    carried = rebuilt(Carried, document["child"])
    for each in (document["lock"], *carried.descriptors()):
        os.set_inheritable(each, False)
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, lambda: None)
    held = OwnerLock(folder, "x").free(0)
    lock.adopt(document["lock"])
    made, gone = child("TreeGone", carried)
    reexec.release_inherited(document["signals"])
    alive = way != "reads later" or not lock.free(1)  # else it may have ended
    if way == "reads later":
        made.write_line("given")
    await gone.wait()
    say(os.getpid(), made.pid, made.status, kinds, lines, held, alive, lock.free(1))
    lock.release()
    say(OwnerLock(folder, "x").free(0), len(os.listdir("/proc/self/fd")))

async def bounded():
    async with asyncio.timeout(30):
        await (then() if "DOCUMENT" in os.environ else first())

asyncio.run(bounded())
"""


@pytest.mark.parametrize("way", ["reads later", "read already", "died"])
def test_a_bot_outlives_the_program_that_started_it(way: str, tmp_path: Path) -> None:
    """Its half line is whole, its code blotted out, its status known, and one copy runs, ever.

    `died`: it has ended before the next program begins, with its last words unheard.
    """
    lines, errors, status = told(program(SUPERVISOR, str(tmp_path), way, BOT))
    assert (errors, status) == ("", 0)
    (pid, child, heard), then, (free, opened) = lines
    assert heard == [["stdout", "first"]]
    assert then == [
        *(pid, child, 7),
        ["ProofGiven", "Exited", "TreeGone"],
        [["stdout", "half [your line] [QR code]"]],
        *(False, True, True),
    ]
    assert free
    # The standard ones, the loop's own three, and the listing itself.
    assert opened <= 7
