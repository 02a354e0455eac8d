"""A bot that nobody adapted, linked once, under a real supervisor."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tests.bots import nodekit
from tests.bots.chat import Chat, chatting
from tests.system.harness import Folder, Running, running

# A browser on a busy machine takes its time.
BACK_S = 60.0


@contextmanager
def linked(
    new_folder: Callable[..., Folder],
    name: str,
    more: str = "",
    *,
    driver: str = "playwright",
    config: str = "",
) -> Iterator[tuple[Running, Chat]]:
    """Run `browser_bot` or `baileys_bot`, and link it; the chat network lives as long.

    `more`: lines for its table in the config. `config`: all of a config, in place of ours.
    """
    folder = new_folder(config or nodekit.bot_config(name, more=more))
    with ExitStack() as stack:
        chat = stack.enter_context(chatting())
        nodekit.bot_project(folder.root, name, chat, driver=driver)
        supervisor = stack.enter_context(running(folder))
        chat.scan()
        chat.wait(lambda: bool(chat.came_back), "linked")
        supervisor.wait("restarted", timeout_s=BACK_S)  # the record of its first start
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
