"""A browser of the bot's own tree is asked to close itself; nobody else is ever spoken to."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from supervisor.process.browser import close_browsers
from supervisor.process.freezer import task_states
from supervisor.process.signals import send
from supervisor.process.tree import with_descendants
from tests.bots import nodekit
from tests.bots.chat import chatting

# What looks like a browser to whoever reads its command line. It writes down a port and a path,
# listens on one, says so, and then does nothing.
SCRIPT = """
import pathlib, socket, sys, time
folder, named, path = sys.argv[1:4]
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
text = f"{port if named == 'own' else named}\\n{path}"
pathlib.Path(folder, "DevToolsActivePort").write_text(text)
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    print("spoken to", flush=True)
    kept = connection
"""
GOOD_PATH = "/devtools/browser/3d4f2b1c-0000-4000-8000-000000000000"

Program = subprocess.Popen[bytes]


@pytest.fixture
def started() -> Iterator[Callable[..., Program]]:
    """Start programs that are ended after the test."""
    with ExitStack() as stack:

        def start(*command: str, says: bytes = b"", cwd: Path | None = None) -> Program:
            process = subprocess.Popen(
                command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            stack.callback(_end, process)
            while says and says not in (line := _out(process).readline()):
                assert line, "it ended"
            return process

        yield start


def _out(process: Program) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _end(process: Program) -> None:
    if process.poll() is None:
        for pid in with_descendants([process.pid]):
            send(pid, signal.SIGKILL)
    process.wait(10)
    _out(process).close()


def closed(*pids: int, within_s: float = 10.0) -> list[str]:
    """Close the browsers among these."""

    async def main() -> list[str]:
        async with asyncio.timeout(30):
            return await close_browsers(pids, within_s)

    return asyncio.run(main())


def looks_like_one(
    started: Callable[..., Program],
    folder: Path,
    port: str = "own",
    path: str = GOOD_PATH,
    asked: str = "0",
) -> Program:
    """Start what looks like a browser that wrote down this port and this path."""
    folder.mkdir(exist_ok=True)
    words = [f"--remote-debugging-port={asked}", f"--user-data-dir={folder}"]
    return started(sys.executable, "-c", SCRIPT, str(folder), port, path, *words, says=b"ready")


def test_only_a_port_that_it_listens_on_itself_is_spoken_to(
    started: Callable[..., Program], tmp_path: Path
) -> None:
    """What an earlier one left written down, or another has by now, is not."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        port = str(other.getsockname()[1])
        stale = looks_like_one(started, tmp_path / "a", port)
        fixed = looks_like_one(started, tmp_path / "b", asked=port)
        wrong = looks_like_one(started, tmp_path / "c", path="/json/new?http://somebody")
        told = closed(stale.pid, fixed.pid, wrong.pid)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert [line.partition(": ")[2] for line in told] == [
        "its DevToolsActivePort names a port that it does not listen on",
        f"it does not listen on 127.0.0.1:{port} itself",
        "the address that it gives is no browser's",
    ]
    for each in (stale, fixed, wrong):
        assert each.poll() is None
        each.kill()
        assert _out(each).read() == b"", "it was spoken to"


def test_one_that_never_answers_is_given_up_in_time(
    started: Callable[..., Program], tmp_path: Path
) -> None:
    """And the program that drives it goes on."""
    (tmp_path / "browser.py").write_text(SCRIPT)
    words = f"{sys.executable} {tmp_path}/browser.py {tmp_path} own {GOOD_PATH}"
    words += f" --remote-debugging-port=0 --user-data-dir={tmp_path}"
    driver = started("/bin/sh", "-c", f"{words}; true", says=b"ready")
    tree = with_descendants([driver.pid])
    (told,) = closed(*tree, within_s=0.2)
    assert told.startswith(f"browser (pid {tree[-1]}) can't be asked to close: ")
    assert _out(driver).readline() == b"spoken to\n"
    assert not {"T", "t"} & {state for pid in tree for state in task_states(pid)}


def test_what_is_no_browser_is_not_mentioned(started: Callable[..., Program]) -> None:
    """Neither a bot, nor a browser's helper, nor who is gone."""
    bot = started(sys.executable, "-c", SCRIPT.replace("sys.argv[1:4]", "'/nowhere', '1', ''"))
    helper = started("/bin/sh", "-c", "read x", "--type=renderer", "--remote-debugging-port=0")
    gone = started("/bin/true")
    gone.wait(10)
    assert closed(bot.pid, helper.pid, gone.pid, os.getpid()) == []


def a_browser(started: Callable[..., Program], folder: Path, port: int = 0) -> Program:
    """Start a real one; return it once it listens."""
    return started(
        str(nodekit.SMALL),
        *("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"),
        *(f"--remote-debugging-port={port}", "about:blank"),
        says=b"DevTools listening",
    )


@nodekit.needs_browser
def test_a_browser_of_the_tree_closes_itself(
    started: Callable[..., Program], tmp_path: Path
) -> None:
    """It exits as one that its user closes: with 0, and with nothing left of it."""
    browser = a_browser(started, tmp_path / "profile")
    tree = with_descendants([browser.pid])
    (told,) = closed(*tree)
    assert " closed itself in " in told
    assert any(told.startswith(f"browser (pid {pid}) ") for pid in tree)
    assert browser.wait(10) == 0
    assert not (tmp_path / "profile" / "SingletonLock").is_symlink()


@pytest.mark.long
@nodekit.needs_browser
def test_no_other_browser_is_closed(started: Callable[..., Program], tmp_path: Path) -> None:
    """Two of one user, with ports of their own choice; only that of the tree goes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours = a_browser(started, tmp_path / "ours", port)
    other = a_browser(started, tmp_path / "other")
    (told,) = closed(*with_descendants([ours.pid]))
    assert "closed itself" in told
    assert ours.wait(10) == 0
    assert other.poll() is None
    assert "closed itself" in closed(*with_descendants([other.pid]))[0]


@pytest.mark.long
@nodekit.needs_node
@nodekit.needs_browser
@nodekit.needs_packages("playwright-core", "puppeteer-core")
@pytest.mark.parametrize("driver", ["puppeteer", "playwright"])
def test_a_login_of_this_moment_is_kept(
    started: Callable[..., Program], tmp_path: Path, driver: str
) -> None:
    """Stopped right after the pairing, the bot is the same device in its next life.

    Puppeteer's is closed by us. Playwright speaks to its browser by a pipe: that is its own to
    close, and it does so on SIGTERM.
    """
    with chatting() as chat:
        folder = nodekit.bot_project(tmp_path / "bot", "browser_bot", chat, driver=driver)
        for life in range(2):
            bot = started(str(nodekit.NODE), "browser_bot.mjs", cwd=folder)
            if life == 0:
                chat.scan()
            while b"ready" not in (line := _out(bot).readline()):
                assert line, "it ended"
                assert life == 0, "it shows a code"
            (told,) = closed(*with_descendants([bot.pid]))
            assert ("closed itself" in told) == (driver == "puppeteer")
            assert ("its driver's part" in told) == (driver == "playwright")
            bot.terminate()
            bot.wait(20)
        assert (chat.pairings, chat.lost, len(chat.came_back)) == (1, [], 2)
