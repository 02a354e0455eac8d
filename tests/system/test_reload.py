"""A reload touches only the bots that it changes; what is wrong with a config changes nothing."""

import signal
from collections.abc import Callable
from contextlib import ExitStack, closing

from tests.system.harness import Folder, Running, alive, running

BOT = """
[bot.{name}]
command = ["/bin/sh", "-c", "mkdir -p {session}; touch {session}/x; echo here; exec tail -f {file}"]
ready = {{ log = "here" }}
{more}
"""


def config(more: str = "", **bots: str) -> str:
    """Return a config of bots; each value is a part of its command that may differ."""
    return "".join(
        BOT.format(name=name, session=f"sessions/session-{name}", file=file, more=more)
        for name, file in bots.items()
    )


def reload(supervisor: Running) -> int:
    """SIGHUP, as systemd sends it; return the place in the journal before."""
    mark = supervisor.mark_now()
    supervisor.process.send_signal(signal.SIGHUP)
    return mark


def pids(supervisor: Running) -> dict[str, int]:
    """Return the bots' main processes."""
    bots = supervisor.client.call("status")["bots"]
    return {name: bot["pid"] for name, bot in bots.items()}


def test_only_what_differs_is_touched(new_folder: Callable[..., Folder]) -> None:
    """One new, one gone, one with another command, and one that keeps its process."""
    folder = new_folder(config(stays="/dev/null", goes="/dev/null", differs="/dev/null"))
    with running(folder, "run") as supervisor:
        for name in ("stays", "goes", "differs"):
            supervisor.wait("restarted", bot=name)
        before = pids(supervisor)
        text = config(new="/dev/null", stays="/dev/null", differs="/dev/zero")
        folder.replace("config.toml", text)
        mark = reload(supervisor)
        done = supervisor.wait("reloaded", mark)
        kinds = ("added", "removed", "restarted", "changed")
        assert [done[kind] for kind in kinds] == [["new"], ["goes"], ["differs"], []]
        supervisor.wait("restarted", mark, bot="new")
        supervisor.wait("restarted", mark, bot="differs")
        after = pids(supervisor)
        assert list(after) == ["new", "stays", "differs"]
        assert after["stays"] == before["stays"]
        assert after["differs"] != before["differs"]
        assert not supervisor.seen("stopping", mark, bot="stays")
        assert supervisor.stop() == 0


def test_a_knob_is_turned_while_the_bot_runs(new_folder: Callable[..., Folder]) -> None:
    """A new limit counts at once, for the process that was there before."""
    folder = new_folder(config(a="/dev/null"))
    with running(folder, "run") as supervisor:
        supervisor.wait("restarted", bot="a")
        before = pids(supervisor)
        limits = 'limits.alive = { command = ["false"] }\nlimits.alive_every_s = 0.1'
        folder.replace("config.toml", config(limits, a="/dev/null"))
        mark = reload(supervisor)
        assert supervisor.wait("reloaded", mark)["changed"] == ["a"]
        assert pids(supervisor) == before
        supervisor.wait("hang", mark)


def test_a_config_with_mistakes_changes_nothing(new_folder: Callable[..., Folder]) -> None:
    """All of them are told; the bots go on, and the next reload may be right."""
    folder = new_folder(config(a="/dev/null"))
    with running(folder, "run") as supervisor:
        supervisor.wait("restarted", bot="a")
        before = pids(supervisor)
        for wrong, word in (
            ("[bot.a\n", "line 1"),
            (config(a="/dev/null") + "[supervisor]\nsessions = 'elsewhere'\n", "needs a restart"),
            ("", "there is no bot"),
        ):
            folder.replace("config.toml", wrong)
            mark = reload(supervisor)
            assert word in supervisor.wait("reload_refused", mark)["why"]
        done = folder.stillhere("reload")
        assert done.returncode == 1
        assert "there is no bot" in done.stderr
        folder.replace("config.toml", config(a="/dev/null"))
        done = folder.stillhere("reload")
        assert (done.returncode, done.stdout) == (0, "no bot is affected\n")
        assert pids(supervisor) == before


def test_who_was_stopped_by_hand_stays_down(new_folder: Callable[..., Folder]) -> None:
    """Also where its command is another one now."""
    folder = new_folder(config(a="/dev/null", b="/dev/null"))
    with running(folder, "run") as supervisor:
        for name in ("a", "b"):
            supervisor.wait("restarted", bot=name)
        assert folder.stillhere("stop", "b").returncode == 0
        folder.replace("config.toml", config(a="/dev/null", b="/dev/zero"))
        mark = reload(supervisor)
        assert supervisor.wait("reloaded", mark)["restarted"] == ["b"]
        assert supervisor.status("b")["phase"] == "down"
        assert folder.stillhere("start", "b").returncode == 0
        assert supervisor.status("b")["phase"] == "up"


def test_who_waits_for_a_bot_gets_its_successor(new_folder: Callable[..., Folder]) -> None:
    """`stillhere link` goes on where a reload puts the bot on other settings."""
    folder = new_folder(config(a="/dev/null"))
    with ExitStack() as stack, running(folder, "run") as supervisor:
        supervisor.wait("restarted", bot="a")
        assert folder.stillhere("stop", "a").returncode == 0
        link = stack.enter_context(closing(supervisor.client._connect()))
        link.send({"command": "link", "args": {"bot": "a"}})
        for _ in range(3):  # on others' connections, so that the first is served by then
            supervisor.client.call("ping")
        folder.replace("config.toml", config(a="/dev/zero"))
        mark = reload(supervisor)
        assert supervisor.wait("reloaded", mark)["restarted"] == ["a"]
        assert folder.stillhere("start", "a").returncode == 0
        assert set(link.receive()["item"]) == {"linked"}


STUBBORN = """
[bot.b]
command = ["python", "-u", "stubborn.py"]
ready = { log = "here" }
"""
STUBBORN_BOT = """
import signal, threading
from pathlib import Path
signal.signal(signal.SIGTERM, lambda *_: None)
Path("sessions/session-b").mkdir(parents=True, exist_ok=True)
Path("sessions/session-b/x").touch()
print("here")
while not Path("gate").exists():
    threading.Event().wait(0.02)
"""


def test_who_is_still_to_be_started_is_started(new_folder: Callable[..., Folder]) -> None:
    """A reload while the bots come up: who waits for its turn is not taken for stopped."""
    companion = '[bot.server]\ncommand = ["tail", "-f", "/dev/null"]\nsession = false\n'
    companion += 'ready = { file = "never" }\n'
    folder = new_folder(companion + config(a="/dev/null"))
    with running(folder, "run") as supervisor:
        supervisor.wait("spawned", bot="server")
        folder.replace("config.toml", companion + config(a="/dev/zero"))
        mark = reload(supervisor)
        assert supervisor.wait("reloaded", mark)["restarted"] == ["a"]
        supervisor.wait("restarted", bot="a")
        supervisor.client.call("stop", bot="server")


def test_who_is_started_meanwhile_is_stopped_once_more(new_folder: Callable[..., Folder]) -> None:
    """While another one takes its time to stop: never is a bot that runs let go."""
    folder = new_folder(config(a="/dev/null") + STUBBORN)
    folder.write("stubborn.py", STUBBORN_BOT)
    with running(folder, "run") as supervisor:
        for name in ("a", "b"):
            supervisor.wait("restarted", bot=name)
        folder.replace("config.toml", (config(a="/dev/zero") + STUBBORN).replace("-u", "-uB"))
        mark = reload(supervisor)
        supervisor.wait("down", mark, bot="a")
        assert folder.stillhere("start", "a").returncode == 0
        between = supervisor.status("a")["pid"]
        mark = supervisor.mark_now()
        folder.write("gate", "")
        assert supervisor.wait("reloaded", mark)["restarted"] == ["a", "b"]
        supervisor.wait("restarted", mark, bot="a")
        assert supervisor.status("a")["pid"] != between
        assert not alive(between)


DUMPS_BOT = """
import os, signal, threading
from pathlib import Path
signal.signal(signal.SIGUSR1, lambda *_: print("here are the stacks"))
Path("sessions/session-a").mkdir(parents=True, exist_ok=True)
Path("sessions/session-a/x").touch()
print("dumps itself:", os.environ.get("PYTHONFAULTHANDLER"))
while True:
    threading.Event().wait(0.02)
"""
DUMPS = """
[bot.a]
command = ["python", "-u", "dumps.py"]
ready = {{ log = "dumps itself" }}
{more}
"""


def test_a_hang_is_asked_about_as_the_new_config_says(new_folder: Callable[..., Folder]) -> None:
    """By its signal; and what is started from now on is told that it will be asked."""
    folder = new_folder(DUMPS.format(more=""))
    folder.write("dumps.py", DUMPS_BOT)
    with running(folder, "run") as supervisor:
        supervisor.wait("restarted", bot="a")
        limits = 'limits = { alive = { command = ["false"] }, alive_every_s = 0.1'
        limits += ', hang_signal = "SIGUSR1" }'
        folder.replace("config.toml", DUMPS.format(more=limits))
        assert supervisor.wait("reloaded", reload(supervisor))["changed"] == ["a"]
        supervisor.shows("here are the stacks")
        supervisor.shows("dumps itself: 1")


SAYS = """
[logs]
mask = [{mask}]

[bot.a]
command = ["python", "-u", "says.py"]
ready = {{ log = "here" }}
"""
SAYS_BOT = """
import sys, threading
from pathlib import Path
Path("sessions/session-a").mkdir(parents=True, exist_ok=True)
Path("sessions/session-a/x").touch()
print("here")
for number in range(10**9):
    print("number", 5550000 + number % 1000, flush=True)
    threading.Event().wait(0.02)
"""


def test_what_is_to_be_blotted_out_is_so_at_once(new_folder: Callable[..., Folder]) -> None:
    """By a bot that runs, which is not touched, and by its next generation."""
    folder = new_folder(SAYS.format(mask=""))
    folder.write("says.py", SAYS_BOT)
    with running(folder, "run") as supervisor:
        supervisor.wait("restarted", bot="a")
        supervisor.shows("number 555")
        folder.replace("config.toml", SAYS.format(mask="'555[0-9]+'"))
        before = supervisor.status("a")["pid"]
        supervisor.wait("reloaded", reload(supervisor))
        supervisor.shows("number [masked]")
        assert supervisor.status("a")["pid"] == before
        supervisor.client.call("restart", bot="a", wait=True)
        count = supervisor.console.count("[masked]")
        while supervisor.console.count("[masked]") < count + 3:
            supervisor.process_waits()
        assert "number 555" not in supervisor.console.partition("[masked]")[2]
