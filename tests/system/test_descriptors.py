"""A supervisor may open more files than it was given at first; its bots may as many as that."""

import resource
from collections.abc import Callable, Iterator

import pytest

from tests.system.harness import Folder, running

SOFT = 1000
CONFIG = """
[bot.x]
command = ["python", "src/bot.py"]
session = "x"
watch = ["src"]
ready = "notify"
standby = "warm"
"""
BOT = """
import os, signal, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    signal.pause()
"""


@pytest.fixture
def hard() -> Iterator[int]:
    """Have what is started begin with few; yield the hard limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_ours_is_raised_and_a_bot_has_what_we_were_given(
    new_folder: Callable[..., Folder], hard: int
) -> None:
    """Also the next generation, which comes from a warm spare: select(2) works in all of them."""
    if 0 <= hard <= SOFT:
        pytest.skip("no more can be had here")
    folder = new_folder(CONFIG)
    folder.write("src/bot.py", BOT)
    with running(folder) as supervisor:
        supervisor.wait("verified")
        ours = resource.prlimit(supervisor.process.pid, resource.RLIMIT_NOFILE)
        assert ours[0] > SOFT
        assert ours[1] == hard
        first = supervisor.status("x")["pid"]
        assert resource.prlimit(first, resource.RLIMIT_NOFILE) == (SOFT, hard)
        supervisor.wait("spare_ready")
        mark = supervisor.mark_now()
        folder.write("src/bot.py", BOT + "# changed\n")
        supervisor.restarted(mark, bot="x")
        supervisor.wait("spawned", mark, spare=True)
        second = supervisor.status("x")["pid"]
        assert second != first
        assert resource.prlimit(second, resource.RLIMIT_NOFILE) == (SOFT, hard)
