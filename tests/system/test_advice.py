"""What a stranger gets wrong is told with its next step, and a saved config is taken at once."""

from collections.abc import Callable

from tests.system.harness import Folder, running

SILENT = """
[bot.a]
command = ["./nodemon", "bot.js"]
session = "a"
watch = ["."]
restore_timeout_s = 0.2
"""


def test_a_bot_without_a_word_is_helped_by_a_saved_config(
    new_folder: Callable[..., Folder],
) -> None:
    """It never says READY=1: that is told, once. The `ready` that is saved then counts, unasked.

    Before all it is told that what starts it restarts it, too.
    """
    folder = new_folder(SILENT)
    folder.write("nodemon", "#!/bin/sh\necho here; exec tail -f /dev/null\n").chmod(0o755)
    with running(folder) as supervisor:
        supervisor.wait("watched_twice", bot="a", by="nodemon")
        supervisor.wait("unheard", bot="a", after_s=0.2)
        supervisor.shows("it has said nothing by the contract in 0.20 s")
        folder.replace("config.toml", SILENT + 'ready = { log = "here" }\n')
        assert supervisor.wait("reloaded")["restarted"] == ["a"]
        supervisor.wait("restarted", bot="a")
        # It is no source of the bot's.
        assert not supervisor.seen("changed")
        assert supervisor.stop() == 0
        assert len(supervisor.seen("unheard")) == 1


BOT = """
import signal
def TelegramClient(name): ...
TelegramClient("one")
print("(Press Ctrl+C to stop this)", flush=True)
signal.pause()
"""


def test_a_source_that_moves_its_session_is_told(new_folder: Callable[..., Folder]) -> None:
    """What is kept is the old place: without a word nobody would know until it is needed."""
    folder = new_folder("")
    folder.write("requirements.txt", "telethon\n")
    folder.write("bot.py", BOT)
    folder.command = ["python", "bot.py"]
    with running(folder) as supervisor:
        supervisor.restarted(0, bot="project")
        mark = supervisor.mark_now()
        folder.replace("bot.py", BOT.replace("one", "two"))
        told = supervisor.wait("session_elsewhere", mark)
        assert (told["before"], told["place"]) == (
            f"{folder.root} (one.session)",
            f"{folder.root} (two.session)",
        )
        supervisor.shows("next: stillhere reload")
        mark = supervisor.mark_now()
        assert folder.stillhere("reload").returncode == 0
        supervisor.restarted(mark, bot="project")
        mark = supervisor.mark_now()
        folder.replace("bot.py", BOT.replace("one", "two") + "#\n")
        supervisor.restarted(mark, bot="project")
        assert supervisor.stop() == 0
        assert len(supervisor.seen("session_elsewhere")) == 1
