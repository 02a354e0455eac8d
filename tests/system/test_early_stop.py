"""A stop while the bots come up: it ends, too."""

from collections.abc import Callable

from tests.system.harness import Folder, running

COMPANION = """
[bot.server]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
session = false
ready = { log = "here" }
"""
BOT = """
[bot.b{number}]
command = ["tail", "-f", "/dev/null"]
ready = {{ file = "never" }}
"""


def test_who_serves_the_bots_is_stopped_after_them(new_folder: Callable[..., Folder]) -> None:
    """All bots may be down again before the start of the last is over: nothing moves any more."""
    folder = new_folder(COMPANION + "".join(BOT.format(number=number) for number in range(8)))
    with running(folder, "run") as supervisor:
        supervisor.wait("spawned", bot="b0")
        assert supervisor.stop(15) == 0
