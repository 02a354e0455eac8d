"""A hook that does what hooks must not: it takes no longer than it may, and leaves nothing."""

import asyncio
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.process import probes
from supervisor.service.alerting import errand
from supervisor.service.alerting.announcer import by_command
from supervisor.service.alerting.delivery import Outcome
from supervisor.service.alerting.errand import OUTPUT_BYTES, Ended
from tests.unit.service.alertkit import alert

LONG_S = 30.0
ENV = {"PATH": os.environ["PATH"]}


def run(
    folder: Path, *command: str, text: bytes = b"", within_s: float = LONG_S
) -> tuple[Ended, int]:
    """Run one; return how it ended, and how many descriptors it left open here."""
    before = len(os.listdir("/proc/self/fd"))

    async def story() -> Ended:
        done = await errand.run(command, text=text, cwd=folder, env=ENV, within_s=within_s)
        async with asyncio.timeout(LONG_S):  # it is reaped in a thread, a moment later
            while probes.running:
                await asyncio.to_thread(os.sched_yield)
        return done

    done = asyncio.run(story())
    return done, len(os.listdir("/proc/self/fd")) - before


def gone(pid: int) -> bool:
    """Wait until a process has ended, whoever reaps it."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], LONG_S)[0])
    finally:
        os.close(pidfd)


def test_it_reads_the_text_and_its_words_come_back(tmp_path: Path) -> None:
    """Both of its streams; a text larger than any pipe needs nobody to read it."""
    text = b"x" * 1_000_000
    script = "wc -c; echo bad >&2; exit 3"
    assert run(tmp_path, "/bin/sh", "-c", script, text=text) == (Ended(3, b"1000000\nbad\n"), 0)
    assert run(tmp_path, "true", text=text) == (Ended(0, b""), 0)


@pytest.mark.parametrize(
    ("script", "status"),
    [("kill -TERM $$", -signal.SIGTERM), ("exit 255", 255), ("kill -KILL $$", -signal.SIGKILL)],
)
def test_how_it_ended_is_told(tmp_path: Path, script: str, status: int) -> None:
    """A status, or the signal negated."""
    assert run(tmp_path, "/bin/sh", "-c", script)[0].status == status


def test_a_flood_is_read_and_only_its_end_is_kept(tmp_path: Path) -> None:
    """It is not held up by a full pipe, and fills no memory."""
    script = "head -c 5000000 /dev/zero; echo the end"
    done, left = run(tmp_path, "/bin/sh", "-c", script)
    assert (done.status, len(done.output), left) == (0, OUTPUT_BYTES, 0)
    assert done.output.endswith(b"the end\n")


def test_an_endless_flood_ends_with_its_time(tmp_path: Path) -> None:
    """It is killed as one that is silent."""
    done, left = run(tmp_path, "yes", within_s=0.1)
    assert (done.status, left) == (None, 0)


def test_what_takes_too_long_is_killed_with_all_of_its_group(tmp_path: Path) -> None:
    """Deaf to SIGTERM, with a child that is the same: gone. Its last words are told."""
    script = "trap '' TERM HUP INT; tail -f /dev/null & echo $! $$; wait"
    done, left = run(tmp_path, "/bin/sh", "-c", script, within_s=0.2)
    assert (done.status, left) == (None, 0)
    child, parent = map(int, done.output.split())
    assert not Path(f"/proc/{parent}").exists()
    assert gone(child)


def test_a_child_that_keeps_the_pipe_holds_nobody_up(tmp_path: Path) -> None:
    """The command is over with its own end; what it left in its group ends with it."""
    script = "tail -f /dev/null & echo $!"
    done, left = run(tmp_path, "/bin/sh", "-c", script)
    assert (done.status, left) == (0, 0)
    assert gone(int(done.output))


def test_one_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    """The supervisor stops meanwhile: the command is killed and reaped, no descriptor stays."""
    before = len(os.listdir("/proc/self/fd"))
    started = tmp_path / "started"
    os.mkfifo(started)
    command = ("/bin/sh", "-c", f"echo $$ > {started}; exec tail -f /dev/null")

    async def story() -> int:
        running = asyncio.ensure_future(
            errand.run(command, text=b"", cwd=tmp_path, env=ENV, within_s=LONG_S)
        )
        pid = int(await asyncio.to_thread(started.read_text))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        async with asyncio.timeout(LONG_S):
            while probes.running:
                await asyncio.to_thread(os.sched_yield)
        return pid

    pid = asyncio.run(story())
    assert not Path(f"/proc/{pid}").exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_can_not_be_started_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    """No such program, no right to it, a folder that is gone: and no descriptor stays."""
    plain = tmp_path / "plain"
    plain.write_text("no program")
    before = len(os.listdir("/proc/self/fd"))
    for command in (["no-such-program-here"], [str(plain)], ["./plain"]):
        with pytest.raises(SupervisorError):
            run(tmp_path, *command)
    with pytest.raises(OSError, match="No such file"):
        run(tmp_path / "gone", "/bin/true")
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_hook_gets_the_alert_and_no_shell(tmp_path: Path) -> None:
    """The kind and the bot in its environment, the object on its input, what it says kept."""
    script = "import os, sys; e = os.environ; print(e['STILLHERE_ALERT'], e['STILLHERE_BOT'])"
    outcome = asyncio.run(
        by_command((sys.executable, "-c", script, "$HOME;`id`"), tmp_path, alert())
    )
    assert outcome == Outcome(ok=True, said="failed echo")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("/bin/sh", "-c", "exit 4"), "it ended with exit status 4"),
        (("/bin/sh", "-c", "kill -KILL $$"), f"it ended with signal {int(signal.SIGKILL)}"),
        (("no-such-program-here",), "the program 'no-such-program-here' is not on PATH"),
        (("/bin/sh", "-c", "\0"), "it could not be started: embedded null byte"),
    ],
)
def test_a_hook_that_fails_is_tried_again(
    tmp_path: Path, command: tuple[str, ...], why: str
) -> None:
    """It is no error of ours: the reason is told, and another try may help."""
    outcome = asyncio.run(by_command(command, tmp_path, alert()))
    assert outcome == Outcome(ok=False, why=why)


def test_of_a_hooks_words_only_the_end_is_told(tmp_path: Path) -> None:
    """At most five lines and 500 characters, whatever bytes they are."""
    script = "seq 1 1000; printf '\\377\\n'; head -c 3000 /dev/zero | tr '\\0' x"
    outcome = asyncio.run(by_command(("/bin/sh", "-c", script), tmp_path, alert()))
    assert outcome == Outcome(ok=True, said="x" * 500)
