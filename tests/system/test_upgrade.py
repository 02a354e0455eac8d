"""The supervisor goes on by new code, in place; no bot notices, and nobody who talks to one."""

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from bot.phone_client import PhoneClient
from bot.server_store import ServerStore
from tests.system.harness import ROOT, Folder, Running, link, running

COUNTS = """
[bot.counts]
command = ["python", "-u", "count.py"]
session = false
ready = { log = "line 0" }
"""
COUNT = """
import threading
for number in range(10**9):
    print("line", number, "x" * (number % 3000))
    threading.Event().wait(0.001)
"""
TWO = """
[bot.{name}]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
session = false
ready = {{ log = "here" }}
"""


def upgrade(folder: Folder) -> None:
    """As a person does."""
    done = folder.stillhere("upgrade", timeout_s=60)
    assert done.returncode == 0, done.stderr


def size(pid: int) -> tuple[int, int]:
    """Return how many descriptors and threads a process has."""
    process = psutil.Process(pid)
    return process.num_fds(), process.num_threads()


def talked_through(folder: Folder, upgrades: int) -> None:
    """Upgrade so often while messages flow; nothing may be lost, doubled or restarted."""
    with running(folder, "run") as supervisor, link(supervisor) as phone:
        before = supervisor.status()
        asked: list[str] = []
        sizes = []
        for _ in range(upgrades):
            asked += [phone.send("!ping") for _ in range(3)]
            upgrade(folder)
            asked += [phone.send("!ping") for _ in range(3)]
            sizes.append(size(supervisor.process.pid))
        phone.settle(20.0)
        after = supervisor.status()
        assert (after["pid"], after["restarts"]) == (before["pid"], before["restarts"])
        assert after["generation"] == before["generation"]
        assert Counter(reply.re for reply in phone.replies) == Counter(asked)
        _flat(sizes)
        assert _restarts_as_ever(supervisor, phone)
        assert supervisor.stop() == 0
    with closing(ServerStore(folder.chat_data / "server.db")) as store:
        stats = store.stats()
    assert (stats["answered_twice"], stats["undecryptable"]) == (0, 0)
    assert folder.info()["link_count"] == 1


def _flat(sizes: list[tuple[int, int]]) -> None:
    first, last = sizes[0], sizes[-1]
    assert last[0] <= first[0] + 1, f"descriptors: {sizes}"
    assert last[1] <= first[1] + 2, f"threads: {sizes}"


def _restarts_as_ever(supervisor: Running, phone: PhoneClient) -> bool:
    mark = supervisor.mark_now()
    supervisor.client.call("restart", bot="echo", wait=True)
    record = supervisor.restarted(mark)
    phone.wait_reply(phone.send("!ping"), 20.0)
    return bool(record["verified"] and record["proof"] == "roundtrip")


def test_twice_while_messages_flow(folder: Folder) -> None:
    """The bot keeps its process and its connection; each message has its one answer."""
    talked_through(folder, 2)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_times_while_messages_flow(folder: Folder) -> None:
    """And nothing grows."""
    talked_through(folder, 100)


def test_no_line_is_lost_or_torn(new_folder: Callable[..., Folder]) -> None:
    """Of a bot that prints all the time."""
    folder = new_folder(COUNTS)
    folder.write("count.py", COUNT)
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="counts")
        for _ in range(3):
            upgrade(folder)
        supervisor.stop()
        said = supervisor.console.splitlines()
    lines = [line for line in said if line.startswith("line ")]
    whole = lines[:-1]  # it was ended in the middle of its last one, be that right behind "line"
    numbers = [int(line.split()[1]) for line in whole]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 100
    for line in whole:
        number, _, rest = line.removeprefix("line ").partition(" ")
        assert rest == "x" * (int(number) % 3000)


def test_new_code_that_is_broken_is_refused(
    new_folder: Callable[..., Folder], tmp_path: Path
) -> None:
    """Before anything is done: the old code goes on, and its bots too."""
    code = tmp_path / "code"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "supervisor", code / "supervisor", ignore=ignore)
    folder = new_folder(TWO.format(name="one"))
    with running(folder, "run", PYTHONPATH=str(code)) as supervisor:
        supervisor.wait("verified", bot="one")
        before = supervisor.status("one")["pid"]
        broken = code / "supervisor" / "loop" / "charge.py"
        good = broken.read_text()
        broken.write_text(good + "\nthis is no Python\n")
        done = folder.stillhere("upgrade", timeout_s=60)
        assert done.returncode == 1
        assert "charge.py" in done.stderr
        assert "the old one goes on" in done.stderr
        broken.write_text(good)
        upgrade(folder)
        assert supervisor.status("one")["pid"] == before


def test_who_died_meanwhile_is_started_again(new_folder: Callable[..., Folder]) -> None:
    """An end that nobody saw is seen afterwards, with its status; the others are left alone."""
    folder = new_folder(TWO.format(name="one") + TWO.format(name="two"))
    with running(folder, "run") as supervisor:
        for name in ("one", "two"):
            supervisor.wait("verified", bot=name)
        ones, twos = (supervisor.status(name)["pid"] for name in ("one", "two"))
        mark = supervisor.mark_now()
        os.kill(supervisor.process.pid, signal.SIGSTOP)
        os.kill(ones, signal.SIGKILL)
        os.kill(supervisor.process.pid, signal.SIGCONT)
        upgrade(folder)
        assert supervisor.wait("exited", mark, bot="one")["signal"] == signal.SIGKILL
        assert supervisor.restarted(mark, bot="one")["reason"] == "crash"
        assert supervisor.status("two")["pid"] == twos


def test_a_stop_that_comes_meanwhile_is_not_lost(new_folder: Callable[..., Folder]) -> None:
    """Signals in the middle of it: held back, and heard by the new program."""
    folder = new_folder(TWO.format(name="one"))
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="one")
        mark = supervisor.mark_now()
        for _ in range(20):
            supervisor.process.send_signal(signal.SIGHUP)
        upgrade(folder)
        supervisor.wait("upgraded", mark)
        assert supervisor.stop() == 0


@pytest.mark.long
def test_who_waits_for_the_disk_of_its_logs_is_not_replaced(
    new_folder: Callable[..., Folder],
) -> None:
    """The lines that wait would be lost, and a thread in the kernel's hands would hold it up."""
    folder = new_folder(TWO.format(name="one") + '[logs]\nfolder = "logs"\n')
    (folder.root / "logs").mkdir()
    pipe = folder.root / "logs" / "one.log"
    os.mkfifo(pipe)  # to open it takes as long as nobody reads it
    with running(folder, "run") as supervisor:
        supervisor.wait("verified", bot="one")
        before = supervisor.status("one")["pid"]
        done = folder.stillhere("upgrade", timeout_s=60)
        assert done.returncode == 1
        assert "the log files are not written in time" in done.stderr
        assert "nothing was changed" in done.stderr
        with open(pipe, "rb", buffering=0):  # noqa: PTH123 - no buffer
            pipe.unlink()
        upgrade(folder)
        assert supervisor.status("one")["pid"] == before
        assert supervisor.stop() == 0
