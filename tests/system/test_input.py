"""A bot asks for a line: a person on a terminal, or a pipe, gives it; nobody else ever sees it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.consoles import DEV, ends, events_of, holders, needs_bash, on_terminal
from tests.system.harness import Folder, running

BOT = Path(__file__).with_name("bots") / "pairing_bot.py"
CODE = "7391-4628"
CONFIG = """
[bot.echo]
command = ["python", "pairing_bot.py"]
watch = ["pairing_bot.py"]
"""

NewFolder = Callable[..., Folder]
pytestmark = pytest.mark.usefixtures("patient")


def pairing_folder(new_folder: NewFolder) -> Folder:
    """Return a project whose bot asks for a code; the code is in none of its files."""
    folder = new_folder(CONFIG)
    first, second = CODE.split("-")
    folder.write(BOT.name, BOT.read_text().replace(f'"{CODE}"', f'"{first}" + "-" + "{second}"'))
    return folder


@needs_bash
def test_a_person_types_the_code(new_folder: NewFolder) -> None:
    """The prompt is seen at once, `i` gives the line, and the code is on the terminal only."""
    folder = pairing_folder(new_folder)
    with on_terminal(folder, NO_COLOR="1") as shell:
        shell.send(f"{DEV}\n")
        shell.wait("\nPair code: \r\n")
        shell.wait("the bot asks for a line: press i, type it, Enter")
        for typed, answer in (
            ("0000\n", "\n[your line] is wrong\r\nPair code: \r\n"),
            ("99\x03", "nothing was sent to echo"),
            (f"{CODE}\n", ""),
        ):
            shell.send("i")
            shell.wait("a line for echo, then Enter; Ctrl-C: nothing is sent\r\n")
            shell.send(typed)
            shell.wait(answer)
        # What the bot prints and what it notifies are two channels.
        came = shell.wait("\n[your line] is right\r\n")
        if "new device (identity)" not in came:
            shell.wait("new device (identity)")
        told = folder.stillhere("logs").stdout
        assert "stdin is pipe:" in told
        assert "Pair code: [your line] is right" in told
        shell.send("r")
        shell.wait("same device (identity)")
        assert holders(folder, [CODE]) == set()
        assert CODE not in told
        shell.send("q")
        ends(shell, 0)
        # Where it was typed, and nowhere else.
        assert shell.seen.count(CODE) == 1
    asked = [event for event in events_of(folder) if event["event"] == "line_wanted"]
    assert len(asked) == 2
    assert set(asked[0]) == {"t", "bot", "event", "generation"}


def test_a_pipe_brings_the_code(new_folder: NewFolder) -> None:
    """What comes while no bot is there waits for it; the end of the pipe changes nothing."""
    folder = pairing_folder(new_folder)
    ours, theirs = os.pipe()
    folder.stdin = ours
    os.write(theirs, b"0000\n")
    with running(folder) as supervisor:
        os.close(ours)
        supervisor.shows("[your line] is wrong\nPair code: \n")
        supervisor.wait("line_wanted")
        supervisor.shows("the bot asks for a line on its standard input")
        assert not supervisor.seen("linked")
        supervisor.client.call("stop", bot="echo")
        os.write(theirs, f"{CODE}\n".encode())
        os.close(theirs)
        supervisor.client.call("start", bot="echo")
        supervisor.wait("linked", identity="device-1")
        supervisor.wait("restarted")
        mark = supervisor.mark_now()
        folder.replace(BOT.name, (folder.root / BOT.name).read_text() + "# changed\n")
        record = supervisor.restarted(mark)
        assert (record["reason"], record["verified"]) == ("change", True)
        assert holders(folder, [CODE]) == set()
    assert "[your line] is right\n" in supervisor.console


def test_a_service_has_nobody_to_ask(new_folder: NewFolder) -> None:
    """`run` gives its bots /dev/null, whatever its own standard input is."""
    folder = pairing_folder(new_folder)
    ours, theirs = os.pipe()
    folder.stdin = ours
    os.write(theirs, f"{CODE}\n".encode())
    with running(folder, "run") as supervisor:
        supervisor.shows("nobody answers")
        assert "stdin is /dev/null\n" in supervisor.console
        assert os.read(ours, 100) == f"{CODE}\n".encode()
    os.close(ours)
    os.close(theirs)
    assert supervisor.seen("line_wanted") == []
