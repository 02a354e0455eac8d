"""A tree that is frozen stands still, whole and not for long; and nobody is left frozen."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.process import thawer, tree
from supervisor.process.freezer import frozen, task_states
from supervisor.session.lock import OwnerLock
from tests.contract.childkit import PATIENCE_S, PYTHON, live

pytestmark = pytest.mark.usefixtures("adopting")

ROOT = Path(__file__).resolve().parents[2]
SHORT_S = 0.5  # a busy machine takes a while to ask whether it stands still
# How late a thread may come to run on a machine that is busy.
SCHEDULING_S = 1.0
ROUNDS = 15
MARK = "freezer.1.x"

# Threads, a child in the same group, a grandchild in a session of its own; all end with stdin.
FAMILY = """
import os, sys, threading
def follow(depth):
    if depth and os.fork() == 0:
        if depth == 1:
            os.setsid()
        follow(depth - 1)
    else:
        threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
        print("ready", flush=True)
        sys.stdin.read()
        os._exit(0)
"""
# Never without somebody new: fork, vfork, and orphans that leave the group.
BREEDS = """
import os, subprocess, sys, threading
def ends():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=ends, daemon=True).start()
print("ready", flush=True)
command = [sys.executable, "-I", "-S", "-c", "import os; os.fork(); os.fork()"]
while True:
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
        os._exit(0)
    subprocess.run(command)
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            break
"""
# A supervisor as far as it matters here: it starts a bot, freezes it, and is not heard of again.
FREEZES = """
import os, subprocess, sys
from supervisor.process import tree
from supervisor.process.freezer import frozen
tree.become_subreaper()
bot = subprocess.Popen([sys.executable, "-I", "-S", "-c", sys.argv[1]], stdout=subprocess.PIPE)
for _ in range(3):
    bot.stdout.readline()
with frozen(lambda: [bot.pid], 60.0) as freeze:
    members = tree.with_descendants([bot.pid])
    helper = next(pid for pid in tree.children(os.getpid()) if pid not in members)
    print(freeze.whole, helper, *members, flush=True)
    os.read(0, 1)
"""


@contextmanager
def bot(script: str, ready: int = 1) -> Iterator[tuple[int, Callable[[], list[int]]]]:
    """Run a script; yield its pid and what lists its tree. It is all gone afterwards."""
    env = {**os.environ, tree.TOKEN: MARK}
    before = tree.children(os.getpid())
    command = (*PYTHON, script)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, start_new_session=True
    ) as proc:
        assert proc.stdin
        assert proc.stdout
        for _ in range(ready):
            assert proc.stdout.readline() == b"ready\n"
        try:
            yield proc.pid, lambda: tree.members(proc.pid, MARK)
        finally:
            proc.stdin.close()
            proc.wait(PATIENCE_S)
            until(lambda: all_reaped(before))


def until(happened: Callable[[], bool]) -> None:
    """Wait for what must happen."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        os.sched_yield()


def reap(pids: list[int]) -> None:
    """Collect those that became ours."""
    for pid in pids:
        os.waitpid(pid, 0)


def all_reaped(before: list[int]) -> bool:
    """Collect what became ours and has ended; return whether no more of it is left."""
    tree.reap_orphans(before)
    return tree.children(os.getpid()) == before


def states(pids: list[int]) -> set[str]:
    """Return in which states their threads are."""
    return {state for pid in pids for state in task_states(pid)}


def ignores(pid: int, *signals: signal.Signals) -> bool:
    """Return whether a process ignores these signals: what we were started with may add others."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return all(mask >> (number - 1) & 1 for number in signals)


def test_nobody_stays_frozen_when_the_supervisor_is_killed() -> None:
    """Every member runs again, threads and other sessions too, though nobody comes to help.

    Nor does it help to ask the helper to end first, as whoever stops a whole service does.
    """
    script = FAMILY + "follow(2)"
    with subprocess.Popen(
        [sys.executable, "-c", FREEZES, script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as supervisor:
        assert supervisor.stdin
        assert supervisor.stdout
        whole, helper, *members = supervisor.stdout.readline().split()
        pids = [int(pid) for pid in members]
        assert whole == "True"
        assert len(pids) == 3
        assert states(pids) == {"T"}
        until(lambda: ignores(int(helper), signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(int(helper), number)
        assert states(pids) == {"T"}
        supervisor.kill()
        supervisor.wait(PATIENCE_S)
        until(lambda: "T" not in states(pids))
        assert live(pids) == pids
        supervisor.stdin.close()
        reap([int(helper), *pids])


def test_the_helper_needs_no_program_but_the_shell() -> None:
    """Small images have none that is called kill."""
    alone = "from supervisor.process import thawer\nthawer._SCRIPT = 'PATH=/;' + thawer._SCRIPT\n"
    with subprocess.Popen(
        [sys.executable, "-c", alone + FREEZES, FAMILY + "follow(2)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as supervisor:
        assert supervisor.stdout
        whole, helper, *members = supervisor.stdout.readline().split()
        pids = [int(pid) for pid in members]
        assert whole == "True"
        assert states(pids) == {"T"}
        supervisor.kill()
        supervisor.wait(PATIENCE_S)
        reap([int(helper)])
        ended = states(pids)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        reap(pids)
        assert "T" not in ended


def test_the_helper_has_nothing_of_ours_and_is_gone_afterwards(tmp_path: Path) -> None:
    """No lock, no session, no terminal, no mark of the bot's tree; and no zombie is left."""
    with (
        OwnerLock(tmp_path, "1"),
        (tmp_path / "creds.json").open("w"),
        bot(FAMILY + "follow(0)") as (pid, members),
    ):
        with frozen(members, PATIENCE_S) as freeze:
            assert freeze.whole
            (helper,) = set(tree.children(os.getpid())) - {pid}
            until(lambda: tree.Stat(helper).state == "S")
            held = {str(link.readlink()) for link in Path(f"/proc/{helper}/fd").iterdir()}
            assert tree.Stat(helper).session == helper
            assert Path(f"/proc/{helper}/environ").read_bytes() == b""
            assert Path(f"/proc/{helper}/cwd").readlink() == Path("/")
            assert helper not in members()
        (pipe,) = held - {os.devnull}
        assert pipe.startswith("pipe:")
        assert tree.children(os.getpid()) == [pid]


def test_the_deadline_ends_the_freeze_whatever_is_still_to_do() -> None:
    """Past it the bot runs, though the copy does not come to its end, and the caller is told."""
    with bot(FAMILY + "follow(2)", ready=3) as (_pid, members):
        with frozen(members, SHORT_S) as freeze:
            assert freeze.whole
            until(lambda: "T" not in states(members()))
            assert not freeze.whole
        assert not freeze.whole
        assert "before the end" in freeze.why
        assert SHORT_S / 2 < freeze.frozen_s < SHORT_S + SCHEDULING_S


def test_who_forks_while_it_is_frozen_is_frozen_with_all_its_children() -> None:
    """Also who waits in vfork(2) for one, and orphans in sessions of their own."""
    with bot(BREEDS) as (_pid, members):
        for _ in range(ROUNDS):
            with frozen(members, PATIENCE_S) as freeze:
                assert freeze.whole, freeze.why
                assert states(members()) <= {"T"}
            assert freeze.whole, freeze.why
            until(lambda: "T" not in states(members()))


def test_who_was_stopped_by_somebody_else_stays_so() -> None:
    """A debugger's process is not ours to let go; the tree stands still all the same."""
    with bot(FAMILY + "follow(2)", ready=3) as (pid, members):
        middle = tree.children(pid)
        os.kill(middle[0], signal.SIGSTOP)
        until(lambda: states(middle) == {"T"})
        with frozen(members, PATIENCE_S) as freeze:
            assert freeze.whole
            assert states(members()) == {"T"}
        assert freeze.whole
        assert states(middle) == {"T"}
        assert "T" not in states([other for other in members() if other not in middle])
        os.kill(middle[0], signal.SIGCONT)


def test_a_bot_that_was_woken_did_not_stand_still() -> None:
    """Somebody sends SIGCONT in the middle: the copy may be torn, and it is said."""
    with bot(FAMILY + "follow(2)", ready=3) as (pid, members):
        with frozen(members, PATIENCE_S) as freeze:
            assert freeze.whole
            os.kill(pid, signal.SIGCONT)
            until(lambda: "T" not in states([pid]))
        assert not freeze.whole
        assert "woken" in freeze.why


def test_without_a_helper_nobody_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather a fuzzy snapshot than a bot that may stand still for ever."""
    monkeypatch.setattr(thawer, "_SHELL", os.devnull)
    with bot(FAMILY + "follow(2)", ready=3) as (_pid, members):
        with frozen(members, PATIENCE_S) as freeze:
            assert not freeze.whole
            assert "T" not in states(members())
        assert "nothing could be stopped" in freeze.why
        assert freeze.frozen_s == 0.0
