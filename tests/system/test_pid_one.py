"""The supervisor as PID 1 of a namespace of its own, as in a container."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.harness import ROOT, WAIT_S, Folder, Running, running

ORPHANS = 500
USER = "54321"  # nobody has it: there is no name, no home, no group
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]

CALM = """
[bot.calm]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }
"""
STORMY = f"""
[bot.stormy]
command = ["{sys.executable}", "stormy_bot.py", "{ORPHANS}"]
ready = {{ log = "here" }}
restart = {{ intensity = [1, 60], backoff_s = [0.01, 0.01] }}
{CALM}"""


# Nothing can be written but the project, and an empty /tmp. What is needed of that which lies in
# /tmp or in a home (a test's project does) is put where it was.
READ_ONLY = """
set -e
mount -t tmpfs none /mnt
for path in $KEPT; do mkdir -p "/mnt$path"; mount --bind "$path" "/mnt$path"; done
for place in /tmp $HIDDEN; do mount -t tmpfs -o mode=1777 none "$place"; done
for path in $KEPT; do mkdir -p "$path"; mount --bind "/mnt$path" "$path"; done
umount --lazy /mnt
for path in $KEPT; do
    [ "$path" = "$PROJECT" ] || mount -o remount,bind,ro "$path"
done
for place in / $HIDDEN; do mount -o remount,bind,ro "$place"; done
cd "$PROJECT"
exec "$@"
"""


@pytest.fixture(autouse=True)
def rights() -> None:
    """Skip where no namespaces can be made."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1)")
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no right to make namespaces: {done.stderr.strip()}")


def first(supervisor: Running) -> int:
    """Return the process that is PID 1 inside, by its number here."""
    pid = supervisor.process.pid
    until = time.monotonic() + WAIT_S
    while not (children := offspring(pid)):
        assert time.monotonic() < until
        supervisor.process_waits()
    return children[0]


def offspring(pid: int) -> list[int]:
    """Return the children of a process, those that nobody collected included."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def end(supervisor: Running) -> int:
    """SIGTERM to PID 1, as `docker stop` sends it; return its exit code."""
    if supervisor.process.poll() is None:
        os.kill(first(supervisor), signal.SIGTERM)
    return supervisor.process.wait(WAIT_S)


@contextmanager
def as_first(folder: Folder, **extra: str) -> Iterator[Running]:
    """Run the supervisor as PID 1 for the block; unshare(1) does not pass on that it shall end."""
    folder.before = folder.before or UNSHARE
    with running(folder, "run", **extra) as supervisor:
        try:
            yield supervisor
        finally:
            end(supervisor)


def go(folder: Folder, word: str) -> None:
    """Let the storm begin."""
    (folder.root / "go").write_text(word)


@pytest.fixture
def stormy(new_folder: Callable[..., Folder]) -> Folder:
    """A folder with a bot of many orphans."""
    folder = new_folder(STORMY)
    shutil.copy(ROOT / "tests" / "system" / "bots" / "stormy_bot.py", folder.root)
    os.mkfifo(folder.root / "go")
    return folder


@pytest.mark.long
def test_a_storm_of_orphans_hides_no_end_of_a_bot(stormy: Folder) -> None:
    """500 end at once, and a bot among them: its exit status is seen, all are reaped.

    It crashes for good, so the supervisor's own exit code is 3.
    """
    with as_first(stormy) as supervisor:
        supervisor.wait("verified", bot="calm")
        for _ in range(2):
            place = supervisor.mark()
            supervisor.wait("verified", bot="stormy")
            go(stormy, "crash")
            assert supervisor.wait("exited", place, bot="stormy")["status"] == 7
        supervisor.wait("failed", bot="stormy")
        until = time.monotonic() + WAIT_S
        while len(offspring(first(supervisor))) > 1:
            assert time.monotonic() < until, "there are zombies"
            supervisor.process_waits()
        assert supervisor.status("calm")["phase"] == "up"
        assert end(supervisor) == 3
        assert "Exception ignored" not in supervisor.console
        assert "wakeup" not in supervisor.console


def test_a_stop_is_heard_in_a_storm(stormy: Folder) -> None:
    """SIGTERM comes while 500 children end: it is not lost among their signals."""
    with as_first(stormy) as supervisor:
        supervisor.wait("verified", bot="stormy")
        pid = first(supervisor)
        os.kill(pid, signal.SIGSTOP)  # so all of them come in one turn of its loop
        go(stormy, "on")
        until = time.monotonic() + WAIT_S
        while running_children(pid) > 2:
            assert time.monotonic() < until
            supervisor.process_waits()
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        assert supervisor.process.wait(WAIT_S) == 0
        assert "Exception ignored" not in supervisor.console


def running_children(pid: int) -> int:
    """Return how many children have not ended yet."""
    stats = (Path(f"/proc/{child}/stat").read_text() for child in offspring(pid))
    return sum(stat.rpartition(")")[2].split()[0] != "Z" for stat in stats)


def test_a_stop_right_after_the_start_is_not_dropped(new_folder: Callable[..., Folder]) -> None:
    """Before anybody handles it the kernel drops it for PID 1; here it waits, and is obeyed."""
    folder = new_folder(CALM)
    folder.module = "tests.system.early_supervisor"
    with as_first(folder) as supervisor:
        assert supervisor.process.wait(WAIT_S) == 0
        assert "verified" not in [event["event"] for event in supervisor.events]


def test_what_was_held_is_not_inherited(new_folder: Callable[..., Folder]) -> None:
    """A bot's SIGTERM works: nothing of what PID 1 blocks at its start is passed on."""
    folder = new_folder(CALM)
    with as_first(folder) as supervisor:
        supervisor.wait("verified", bot="calm")
        (bot,) = offspring(first(supervisor))
        status = Path(f"/proc/{bot}/status").read_text()
        assert "\nSigBlk:\t0000000000000000\n" in status
        assert end(supervisor) == 0


# In a session of its own, as a container's runtime starts it.
STRANGER = "setsid /bin/sh -c ': > here; read -r _ < go' &"
TWICE = f"""
[bot.slow]
command = ["{sys.executable}", "-u", "slow.py"]
session = false
ready = {{ log = "here" }}
"""
# Ends at its second signal: whoever passed both on would end it too soon.
SLOW = """
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
print("here")
print("got", signal.sigwait({signal.SIGTERM, signal.SIGINT}).name)
open("stopping", "w").close()
found = signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, 0.5)
print("then", found and signal.Signals(found.si_signo).name)
"""


def until(true: Callable[[], object], supervisor: Running) -> None:
    """Wait for something that no event tells."""
    end_at = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end_at
        supervisor.process_waits()


def test_a_stranger_is_reaped(new_folder: Callable[..., Folder]) -> None:
    """Whom `docker exec` left behind becomes a child of PID 1: its end leaves no zombie."""
    if shutil.which("nsenter") is None or shutil.which("setsid") is None:
        pytest.skip("there is no nsenter(1) and setsid(1) to come in as a stranger")
    folder = new_folder(CALM)
    os.mkfifo(folder.root / "go")
    with as_first(folder) as supervisor:
        supervisor.wait("verified", bot="calm")
        pid = first(supervisor)
        bot = set(offspring(pid))
        inside = ["nsenter", "--target", str(pid), "--pid", "/bin/sh", "-c", STRANGER]
        subprocess.run(inside, cwd=folder.root, check=True)
        until((folder.root / "here").exists, supervisor)
        until(lambda: len(set(offspring(pid)) - bot) == 1, supervisor)
        (folder.root / "go").write_text("on\n")
        until(lambda: set(offspring(pid)) == bot, supervisor)
        assert supervisor.status("calm")["phase"] == "up"
        assert end(supervisor) == 0


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_stop_is_passed_on_once(
    new_folder: Callable[..., Folder], number: signal.Signals
) -> None:
    """The bot gets its stop signal; a second SIGTERM to PID 1 hurries nobody, a Ctrl-C does."""
    folder = new_folder(TWICE)
    folder.write("slow.py", SLOW)
    with as_first(folder) as supervisor:
        supervisor.wait("verified", bot="slow")
        pid = first(supervisor)
        os.kill(pid, number)
        until((folder.root / "stopping").exists, supervisor)
        os.kill(pid, number)
        assert supervisor.process.wait(WAIT_S) == 0
        assert "got SIGTERM" in supervisor.console
        hurried = number is signal.SIGINT
        assert ("then None" in supervisor.console) is not hurried
        assert ("stopping at once" in supervisor.console) is hurried


@pytest.mark.long
def test_a_nameless_user_on_a_read_only_root(new_folder: Callable[..., Folder]) -> None:
    """One folder and /tmp are all that can be written; no name, no home. `status` says well."""
    if os.geteuid() != 0 or shutil.which("nsenter") is None:
        pytest.skip("to become another user one has to be root, and nsenter(1) is needed")
    folder = new_folder(CALM)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(folder.root)], check=True)
    kept = dict.fromkeys([str(folder.root), str(ROOT), sys.prefix, sys.base_prefix])
    user = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--"]
    folder.before = [*UNSHARE, "/bin/sh", "-c", READ_ONLY, "sh", *user]
    folder.cache = Path("/tmp/cache")  # noqa: S108 - inside it is its own
    places = {"PROJECT": str(folder.root), "KEPT": " ".join(kept), "HIDDEN": str(Path.home())}
    with as_first(folder, **places, HOME="/") as supervisor:
        supervisor.shows("ready in")  # its socket is in a /tmp that we don't see
        pid = first(supervisor)
        inside = ["nsenter", "--target", str(pid), "--mount", "--pid", *user]
        config = str(folder.root / "config.toml")
        asked = subprocess.run(
            [*inside, sys.executable, "-m", "supervisor", "--config", config, "status"],
            cwd=folder.root,
            env=folder.environment(HOME="/"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (asked.returncode, asked.stderr) == (0, "")
        tried = [*inside, "/bin/sh", "-c", "touch /tmp/x && ! touch /x && ! touch /usr/x"]
        assert subprocess.run(tried, stderr=subprocess.DEVNULL, check=False).returncode == 0
        assert end(supervisor) == 0
