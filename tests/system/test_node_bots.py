"""Node bots that nobody adapted keep their login over restarts, crashes and leftovers.

Their whole config is a log line that says ready, and where the session lies.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.bots import nodekit
from tests.bots.chat import Chat, chatting
from tests.system.harness import Folder, Running, running

pytestmark = nodekit.needs_node

BAILEYS = pytest.param("baileys_bot", id="baileys")
BROWSER = pytest.param(
    "browser_bot",
    id="browser",
    marks=[nodekit.needs_browser, nodekit.needs_packages("playwright-core"), pytest.mark.long],
)
BACK_S = 60.0


@contextmanager
def linked(
    new_folder: Callable[..., Folder], name: str, more: str = ""
) -> Iterator[tuple[Running, Chat]]:
    """Run a bot that has been linked, under a supervisor."""
    folder = new_folder(nodekit.bot_config(name, more=more))
    with ExitStack() as stack:
        chat = stack.enter_context(chatting())
        nodekit.bot_project(folder.root, name, chat)
        supervisor = stack.enter_context(running(folder))
        chat.scan()
        chat.wait(lambda: bool(chat.came_back), "linked")
        supervisor.wait("verified", timeout_s=BACK_S)
        yield supervisor, chat


def restarted(supervisor: Running, chat: Chat) -> None:
    """Restart the bot; it is back as the device that it was."""
    mark, back = supervisor.mark(), len(chat.came_back)
    supervisor.client.call("restart", bot="one")
    supervisor.wait("restarted", mark, BACK_S)
    chat.wait(lambda: len(chat.came_back) > back, "back")


def is_one_device(chat: Chat) -> None:
    """It was linked once, and has always been that device, alone and with its newest keys."""
    assert (chat.pairings, chat.lost, len(chat.devices)) == (1, [], 1)
    assert set(chat.came_back) == set(chat.devices)
    assert (chat.conflicts, chat.deaf) == (0, 0)


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
