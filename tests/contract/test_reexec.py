"""Our own program is replaced under the same pid: no signal, no line and no child is lost by it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.process import reexec
from supervisor.process.reexec import Refused, rehearse
from supervisor.process.tree import children
from tests.contract.execkit import program, told

PRELUDE = """
import asyncio, json, os, signal, sys
from supervisor.process import reexec
def say(*what):
    print(json.dumps(what), flush=True)
"""


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Hold that signals and descriptors are afterwards as they were."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    open_before = os.listdir("/proc/self/fd")
    yield
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask
    assert os.listdir("/proc/self/fd") == open_before


# In a program of its own: here other threads, that block nothing, might take the signals.
ALONE = f"""{PRELUDE}
import threading
heard = []
for number in reexec.HELD:
    signal.signal(number, lambda got, _: heard.append(got))
def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
"""


def alone(body: str) -> list[list[int]]:
    """Run a piece of code that hears all that a supervisor handles; return what it says."""
    lines, errors, status = told(program(ALONE + body))
    assert (errors, status) == ("", 0)
    return lines


# Signals.
def test_a_signal_waits_while_it_is_held_and_is_handled_after() -> None:
    """An upgrade that comes to nothing loses none, and handles none twice."""
    said = alone(
        "signals = reexec.Signals()\n"
        "send(signal.SIGTERM, signal.SIGHUP); say(*heard)\n"
        "signals.release(); say(*sorted(heard))\n"
        "send(signal.SIGINT); say(heard[-1])\n"
        "say(*signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
        "reexec.Signals().release(); say(len(heard))\n"
    )
    assert said == [[], [signal.SIGHUP, signal.SIGTERM], [signal.SIGINT], [], [3]]


def test_what_another_thread_took_is_raised_again() -> None:
    """A thread that does not block it takes it: its number is written down in the pipe."""
    said = alone(
        "def take():\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})\n"
        "    signal.pthread_kill(threading.get_ident(), signal.SIGHUP)\n"
        "signals = reexec.Signals()\n"
        "thread = threading.Thread(target=take)\n"
        "thread.start(); thread.join()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, ())  # runs what handlers are pending\n"
        "say(*heard); heard.clear()\n"
        "signals.release(); say(*heard)\n"
    )
    assert said == [[signal.SIGHUP], [signal.SIGHUP]], "the next program would hear it"


def test_only_what_a_supervisor_handles_is_raised_again() -> None:
    """Another number in the pipe would kill us; and each is raised once."""
    said = alone(
        "reads, writes = os.pipe(); os.set_blocking(reads, False)\n"
        "numbers = [signal.SIGUSR1, signal.SIGKILL, 0, 255, signal.SIGHUP, signal.SIGHUP]\n"
        "os.write(writes, bytes(numbers)); os.close(writes)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, reexec.HELD)\n"
        "reexec.release_inherited(reads); say(*heard)\n"
    )
    assert said == [[signal.SIGHUP]]


def test_an_empty_pipe_whose_writer_lives_keeps_nobody() -> None:
    """The next program does not wait for what may never come."""
    said = alone(
        "reads, writes = os.pipe(); os.set_blocking(reads, False)\n"
        "reexec.release_inherited(reads); say(*heard)\n"
    )
    assert said == [[]]


def test_signals_during_an_execve_are_handled_by_the_next_program() -> None:
    """Sent before it, each is heard once, by the handlers of the program after."""
    script = (
        f"{PRELUDE}"
        "if 'PIPE' in os.environ:\n"
        "    heard = []\n"
        "    for number in reexec.HELD:\n"
        "        signal.signal(number, lambda got, _: heard.append(got))\n"
        "    say(heard)\n"
        "    reexec.release_inherited(int(os.environ['PIPE']))\n"
        "    say(sorted(heard), sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())))\n"
        "    sys.exit()\n"
        "for number in reexec.HELD:\n"
        "    signal.signal(number, lambda *_: say('too early'))\n"
        "signals = reexec.Signals()\n"
        "for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGHUP, signal.SIGCHLD):\n"
        "    os.kill(os.getpid(), number)\n"
        "reexec.replace({**os.environ, 'PIPE': str(signals.pipe)}, [signals.pipe])\n"
    )
    lines, errors, status = told(program(script))
    all_of_them = sorted([signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD])
    assert (lines, errors, status) == ([[[]], [all_of_them, []]], "", 0)


# The program itself.
def test_the_command_line_and_the_pid_stay_and_only_what_is_kept_is_open() -> None:
    """By the interpreter's own options too; the environment is the one that was given."""
    script = (
        f"{PRELUDE}"
        "if 'KEPT' in os.environ:\n"
        "    kept, left = (int(n) for n in os.environ['KEPT'].split())\n"
        "    say(os.getpid(), sys.argv[1:], sys.flags.no_user_site, os.read(kept, 9).decode(),\n"
        "        os.path.exists(f'/proc/self/fd/{left}'), os.environ.get('GONE'))\n"
        "    sys.exit()\n"
        "(reads, writes), (left, _) = os.pipe(), os.pipe()\n"
        "os.write(writes, b'kept')\n"
        "say(os.getpid())\n"
        "reexec.replace({'KEPT': f'{reads} {left}'}, [reads])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-s", "-c", script, "-x", "a b", ""],
        cwd=Path(__file__).resolve().parents[2],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GONE": "x"},
    ) as running:
        lines, _, status = told(running)
    assert status == 0
    assert lines == [
        [running.pid],
        [running.pid, ["-x", "a b", ""], 1, "kept", False, None],
    ]


def test_a_program_that_cannot_be_run_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error; what was to be kept is inherited by nobody."""
    reads, writes = os.pipe()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        reexec.replace(os.environ, [reads, writes])
    assert not os.get_inheritable(reads)
    assert not os.get_inheritable(writes)
    os.close(reads)
    os.close(writes)


# A rehearsal.
def rehearsed(script: str, monkeypatch: pytest.MonkeyPatch, document: bytes = b"document") -> str:
    """Have a program look at a document; what it says."""
    fd = os.memfd_create("document")
    os.write(fd, document)
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", script])
    try:
        return asyncio.run(rehearse(fd))
    finally:
        os.close(fd)


LOOKS = (
    "import os, sys\n"
    "document, answer = (int(word) for word in os.environ['STILLHERE_REHEARSAL'].split())\n"
)


def test_a_rehearsal_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads what it would be handed, and its answer is all that it says there."""
    script = f"{LOOKS}os.write(answer, b'saw ' + os.pread(document, 99, 0)); print('noise')"
    assert rehearsed(script, monkeypatch) == "saw document"


def test_a_rehearsal_speaks_to_no_manager_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words would be taken for the running supervisor's; its input is nobody's."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/nobody")
    script = (
        f"{LOOKS}os.write(answer, repr(('NOTIFY_SOCKET' in os.environ, sys.stdin.read())).encode())"
    )
    assert rehearsed(script, monkeypatch) == "(False, '')"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("raise SystemExit('no such luck')", "no such luck"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError"),
        ("", "it ended with 0, and said nothing"),
        ("raise SystemExit(3)", "it ended with 3, and said nothing"),
        ("import os; os.kill(os.getpid(), 9)", "it ended with -9, and said nothing"),
        (f"{LOOKS}os.write(answer, b'1.0'); sys.exit(1)", "it ended with 1"),
        (f"{LOOKS}os.write(answer, b'1.0'); 1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_rehearsal_that_fails_says_why(
    script: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken new version is refused in its own last words, whatever it said before them."""
    with pytest.raises(Refused) as caught:
        rehearsed(script, monkeypatch)
    assert why in str(caught.value)


def test_a_rehearsal_that_talks_a_lot_is_cut_to_its_last_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Megabytes of complaints neither hang nor fill us."""
    script = (
        "import sys\n"
        "sys.stderr.write('noise\\n\\n' * 500_000)\n"
        "for n in range(9): print('line', n, file=sys.stderr)\n"
        "sys.exit(1)"
    )
    with pytest.raises(Refused) as caught:
        rehearsed(script, monkeypatch)
    assert str(caught.value).splitlines() == [f"line {n}" for n in range(3, 9)]


CLOSES = "import signal; os.write(answer, b'1'); os.close(answer); os.close(2); signal.pause()"


@pytest.mark.parametrize("script", ["import signal; signal.pause()", f"{LOOKS}{CLOSES}"])
def test_a_rehearsal_that_hangs_is_given_up(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a bound, and it is not left behind: the bots run on by the old code."""
    monkeypatch.setattr(reexec, "REHEARSAL_S", 0.3)
    before = children(os.getpid())
    with pytest.raises(Refused, match=r"it was not done in 0\.3 s"):
        rehearsed(script, monkeypatch)
    assert children(os.getpid()) == before


def test_a_program_that_cannot_be_started_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter itself is gone; nothing stays open."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError):
        rehearsed("", monkeypatch)


@pytest.mark.parametrize("words", ["", "1", "1 2 3", "a b", "-1 2", "1 2.0"])
def test_who_is_not_asked_to_rehearse_does_not(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a variable that says something else is removed all the same."""
    monkeypatch.setenv(reexec.REHEARSED, words)
    assert reexec.rehearsal() is None
    assert reexec.REHEARSED not in os.environ


def test_who_is_asked_to_rehearse_knows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: what it starts is not asked."""
    monkeypatch.setenv(reexec.REHEARSED, "7 8")
    assert reexec.rehearsal() == (7, 8)
    assert reexec.rehearsal() is None
