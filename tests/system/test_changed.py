"""The new generation is told what changed."""

from collections.abc import Callable

from tests.system.harness import Folder, running

CONFIG = """
[bot.echo]
command = ["python", "main.py"]
watch = ["main.py", "words"]
"""

BOT = """
import json, os, signal, sys
from bot.link import Link

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
link = Link()
link.caps("standby")
session = link.standby()
if session is None:
    sys.exit()
(session / "device").write_text("device-1")
with open(os.environ["STILLHERE_CHANGED"]) as file:
    link.status(" ".join(json.load(file)["changed"]))
link.ready("restored", identity="device-1")
signal.sigwait({signal.SIGTERM})
"""


def test_the_new_generation_finds_a_list_of_what_changed(
    new_folder: Callable[..., Folder],
) -> None:
    """A bot may load anew only what it must; at a first start the list is empty."""
    folder = new_folder(CONFIG)
    folder.write("main.py", BOT)
    folder.write("words/one.txt", "1")
    with running(folder) as supervisor:
        supervisor.restarted(0)
        assert supervisor.status()["status"] is None
        mark = supervisor.mark_now()
        folder.write("words/one.txt", "2")
        assert supervisor.restarted(mark)["mode"] == "standby"
        assert supervisor.status()["status"] == "words/one.txt"
