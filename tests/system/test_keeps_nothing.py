"""A bot that has a session in the config, and never writes anything into it."""

from collections.abc import Callable

from tests.system.harness import Folder, running

IDLE = """
[bot.idle]
command = ["/bin/sh", "-c", "echo here; exec tail -f /dev/null"]
ready = { log = "here" }
session = "idle"
"""


def test_no_link_is_made_up_for_it(new_folder: Callable[..., Folder]) -> None:
    """Each start is a first one: nothing is missed, and no end of a link is written down."""
    folder = new_folder(IDLE)
    with running(folder, "run") as supervisor:
        mark = 0
        for _start in range(3):
            supervisor.wait("verified", mark, bot="idle")
            mark = supervisor.mark()
            supervisor.client.call("restart", bot="idle")
        supervisor.wait("verified", mark, bot="idle")
        assert not supervisor.seen("nothing_to_restore")
        assert not supervisor.seen("epoch_closed")
        assert {one["linked"] for one in supervisor.seen("session_checked")} == {False}
    assert not list((folder.root / ".session-cache").glob("session-*.json"))
