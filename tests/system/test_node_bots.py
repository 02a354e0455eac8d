"""Node bots that nobody adapted keep their login over restarts, crashes and leftovers.

Their whole config is a log line that says ready, and where the session lies.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from supervisor.core.errors import SupervisorError
from supervisor.process.browser import close_browsers
from supervisor.process.signals import send
from supervisor.process.tree import with_descendants
from supervisor.session.leftovers import clear_leftovers
from tests.bots import nodekit
from tests.bots.chat import Chat, chatting
from tests.system.harness import Folder, Running, alive, running
from tests.system.unadapted import BACK_S, is_one_device, linked, restarted

pytestmark = nodekit.needs_node

BAILEYS = pytest.param("baileys_bot", id="baileys")
BROWSER = pytest.param(
    "browser_bot",
    id="browser",
    marks=[nodekit.needs_browser, nodekit.needs_packages("playwright-core"), pytest.mark.long],
)


@pytest.mark.parametrize("name", [BAILEYS, BROWSER])
def test_it_is_linked_once(new_folder: Callable[..., Folder], name: str) -> None:
    """Over three restarts: no code is shown again, and no two copies meet."""
    with linked(new_folder, name) as (supervisor, chat):
        for _ in range(3):
            restarted(supervisor, chat)
            if name == "baileys_bot":
                assert chat.ask(next(iter(chat.devices)), "hello") == "re: hello"
        is_one_device(chat)


def test_a_save_that_does_not_parse_stops_nobody(new_folder: Callable[..., Folder]) -> None:
    """The bot stays online, and the console shows file, line and column; the next save is taken."""
    more = 'watch = ["baileys_bot.mjs"]'
    with linked(new_folder, "baileys_bot", more) as (supervisor, chat):
        folder, name = supervisor.folder, "baileys_bot.mjs"
        good, mark = (folder.root / name).read_text(), supervisor.mark()
        folder.replace(name, f"{good}\nconst = 3;\n")
        line = good.count("\n") + 2
        (error,) = supervisor.wait("preflight_failed", mark)["errors"]
        assert (error["path"], error["line"], error["column"]) == (name, line, 7)
        supervisor.shows(f"{name}:{line}:7: SyntaxError: Unexpected token '='")
        assert chat.ask(next(iter(chat.devices)), "hello") == "re: hello"
        assert len(chat.came_back) == 1
        mark = supervisor.mark()
        folder.replace(name, f"{good}\n// better\n")
        assert supervisor.restarted(mark, bot="one")["reason"] == "change"
        chat.wait(lambda: len(chat.came_back) == 2, "back")
        is_one_device(chat)


@pytest.mark.long
@pytest.mark.parametrize("name", [BAILEYS, BROWSER])
def test_it_is_linked_once_over_twenty_restarts(
    new_folder: Callable[..., Folder], name: str
) -> None:
    """And the journal counts one link."""
    with linked(new_folder, name) as (supervisor, chat):
        for _ in range(20):
            restarted(supervisor, chat)
        is_one_device(chat)
        assert supervisor.status("one")["restarts"] == 20


BY_TSX = [pytest.mark.long, nodekit.needs_packages("tsx")]


def whole(path: Path) -> bool:
    """Return whether a JSON file was not caught in the middle of a write."""
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def test_two_copies_of_one_login_are_seen(tmp_path: Path) -> None:
    """The network of these tests sees them, and ends the first: so that none here is overlooked."""
    with chatting() as chat, ExitStack() as stack:

        def started(folder: Path) -> "subprocess.Popen[bytes]":
            words = [str(nodekit.NODE), "baileys_bot.mjs"]
            process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        first = started(nodekit.bot_project(tmp_path / "one", "baileys_bot", chat))
        chat.scan()
        chat.wait(lambda: len(chat.came_back) == 1, "linked")
        assert chat.ask(chat.came_back[0], "hello") == "re: hello"
        shutil.copytree(tmp_path / "one", tmp_path / "two", symlinks=True)
        creds = Path(nodekit.SESSION["baileys_bot"], "creds.json")
        while not whole(tmp_path / "two" / creds):  # it is written in place, all the time
            shutil.copy(tmp_path / "one" / creds, tmp_path / "two" / creds)
        started(tmp_path / "two")
        chat.wait(lambda: len(chat.came_back) == 2, "back")
        assert b"conflict" in first.communicate(timeout=30)[0]
        assert (first.returncode, chat.conflicts, chat.pairings) == (1, 1, 1)


def test_a_profile_that_somebody_has_open_is_left_alone(new_folder: Callable[..., Folder]) -> None:
    """The start says who has it; once that one is gone, the bot is back by the next start."""
    with linked(new_folder, "baileys_bot") as (supervisor, chat):
        supervisor.client.call("stop", bot="one")
        supervisor.wait("down")
        folder = supervisor.folder.root / nodekit.SESSION["baileys_bot"]
        words = ["-c", "read x", "sh", f"--user-data-dir={folder}"]
        with subprocess.Popen(["/bin/sh", *words], stdin=subprocess.PIPE) as browser:
            (folder / "SingletonLock").symlink_to(f"{os.uname().nodename}-{browser.pid}")
            supervisor.client.call("start", bot="one")
            told = supervisor.wait("session_trouble")
            assert f"(pid {browser.pid})" in told["why"]
            assert f"kill {browser.pid}" in told["hint"]
            supervisor.wait("failed")
            assert not supervisor.seen("spawned", generation=2)
        supervisor.client.call("start", bot="one")
        chat.wait(lambda: len(chat.came_back) == 2, "back")
        (event,) = supervisor.seen("leftovers_cleared")
        supervisor.shows(f"SessionManager: {event['what'][0]}")
        is_one_device(chat)


WRAPPED = """
import { appendFileSync } from "node:fs";
process.on("SIGTERM", () => {
  appendFileSync("said", "told ");
  setTimeout(() => {
    appendFileSync("said", "flushed ");
    process.exit(0);
  }, 300);
});
setInterval(() => {}, 1000);
console.log("it is up");
"""


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "node bot.mjs; true"],
        pytest.param(["npm", "start"], marks=pytest.mark.long),
        pytest.param(["npm", "run", "deep"], marks=pytest.mark.long),
        pytest.param(["npx", "tsx", "bot.mjs"], marks=BY_TSX),
        pytest.param(["npm", "run", "typed"], marks=BY_TSX),
        pytest.param(["node_modules/.bin/tsx", "bot.mjs"], marks=BY_TSX),
    ],
    ids=" ".join,
)
def test_below_a_wrapper_it_has_its_time_to_flush(
    new_folder: Callable[..., Folder], command: list[str]
) -> None:
    """Whatever the wrapper does with the signal, the bot gets it once, and is waited for."""
    if "/" not in command[0] and shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: with it this would run")
    ready = 'session = "x"\nready = { log = "it is up" }'
    folder = new_folder(f"[bot.one]\ncommand = {json.dumps(command)}\n{ready}\n")
    nodekit.node_project(folder.root)
    folder.write("bot.mjs", WRAPPED)
    folder.write(
        "package.json",
        '{"scripts": {"start": "node bot.mjs", "deep": "npm start", "typed": "tsx bot.mjs"}}',
    )
    with running(folder) as supervisor:
        supervisor.wait("restarted", timeout_s=BACK_S)  # the record of its first start
        mark = supervisor.mark()
        supervisor.client.call("restart", bot="one")
        supervisor.wait("restarted", mark, BACK_S)
        # Once it has flushed, what is left of its group may be told again: that costs nothing.
        assert (folder.root / "said").read_text().startswith("told flushed ")
        assert not supervisor.seen("killed")


def browser_of(pids: list[int]) -> int:
    """Return the browser's main process."""
    for pid in pids:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(word.startswith(b"--user-data-dir=") for word in words):
            return pid
    raise AssertionError(f"no browser among {pids}")


def closes(supervisor: Running, chat: Chat) -> None:
    """Have the browser write the login down: the bot ends with it, and comes back."""
    mark, back = supervisor.mark(), len(chat.came_back)
    tree = with_descendants([supervisor.status("one")["pid"]])
    (told,) = asyncio.run(close_browsers(tree, 10.0))
    assert "closed itself" in told
    supervisor.wait("verified", mark, BACK_S)
    chat.wait(lambda: len(chat.came_back) > back, "back")


@pytest.mark.long
@nodekit.needs_browser
@nodekit.needs_packages("playwright-core", "puppeteer-core")
@pytest.mark.parametrize("killed", ["browser", "driver", "all"])
@pytest.mark.parametrize("driver", ["playwright", "puppeteer"])
def test_after_a_sigkill_it_is_back_as_the_same_device(
    new_folder: Callable[..., Folder], driver: str, killed: str
) -> None:
    """Whoever of the two died: no browser is left over, and the profile is free."""
    with linked(new_folder, "browser_bot", driver=driver) as (supervisor, chat):
        if driver == "playwright":
            restarted(supervisor, chat)  # it closes its browser: the login is on the disk
        else:
            closes(supervisor, chat)
        mark, back = supervisor.mark(), len(chat.came_back)
        tree = with_descendants([supervisor.status("one")["pid"]])
        chosen = {"driver": tree[:1], "all": tree, "browser": [browser_of(tree)]}[killed]
        for pid in chosen:
            send(pid, signal.SIGKILL)
        supervisor.wait("verified", mark, BACK_S)
        chat.wait(lambda: len(chat.came_back) > back, "back")
        is_one_device(chat)
        assert not [pid for pid in tree if alive(pid)]


@pytest.mark.long
@nodekit.needs_browser
@nodekit.needs_packages("playwright-core")
def test_a_lock_of_another_host_is_no_obstacle(new_folder: Callable[..., Folder]) -> None:
    """Chromium would respect it for ever; once it is cleared, the bot is back as it was."""
    with linked(new_folder, "browser_bot") as (supervisor, chat):
        supervisor.client.call("stop", bot="one")
        supervisor.wait("down")
        profile = supervisor.folder.root / nodekit.SESSION["browser_bot"]
        (profile / "SingletonLock").symlink_to("3f9ab12-7")
        mark, back = supervisor.mark(), len(chat.came_back)
        supervisor.client.call("start", bot="one")
        supervisor.wait("verified", mark, BACK_S)
        chat.wait(lambda: len(chat.came_back) > back, "back")
        is_one_device(chat)
        assert len(supervisor.seen("leftovers_cleared", mark)) == 1
        tree = with_descendants([supervisor.status("one")["pid"]])
        with pytest.raises(SupervisorError, match=f"pid {browser_of(tree)}"):
            clear_leftovers(profile)
