"""docs/start.md, followed to its end: what it has one type is typed, what it shows is shown."""

import re
import shlex
import subprocess
from collections.abc import Callable

import pytest

from supervisor.cli.console import Console
from supervisor.cli.main import execute
from tests.markdown import ROOT, blocks, section
from tests.system.harness import PHONE, WAIT_S, Event, Folder, Running, running

START = ROOT / "docs" / "start.md"
STAMPED = re.compile(r"\d\d:\d\d:\d\d (.*)")
# In the recording and in this run alike: measured times, pids, snapshots (where nothing changed
# after the one that precedes the stop, that one is the newest).
DIFFERS = re.compile(r"\d+(?:\.\d+)? s|pid \d+|\.\d{6}\.\d{8}T\d{6}Z(?:\.(?:sealed|stop))?")
MAKE = "make dev"


def typed(heading: str) -> list[str]:
    """Return the command lines of a section, in their order."""
    shown = "".join(blocks(section(START, heading), "console"))
    return [line.removeprefix("$ ") for line in shown.splitlines()]


def recorded(heading: str) -> list[str]:
    """Return the console's lines that a section shows."""
    (block,) = blocks(section(START, heading), "text")
    return [
        DIFFERS.sub("#", found[1]) for found in map(STAMPED.fullmatch, block.splitlines()) if found
    ]


def calm(events: list[Event], sessions: dict[str, str | None]) -> list[str]:
    """Return what a person reads of these events on a terminal."""
    console = Console(sessions)
    shown = [line for event in events for line in console.lines(event)]
    return [DIFFERS.sub("#", line.text) for line in shown if line.weight != "detail"]


def ours(line: str) -> list[str]:
    """Return the words behind `stillhere`, however it is called."""
    program, *words = shlex.split(line)
    assert program.rpartition("/")[2] == "stillhere", line
    return words


def test_a_broken_session_is_back_as_the_page_says(
    linked: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damaged by its command, whole at the next start, then put back by hand while it runs."""
    damage, start, *asked = typed("## Break the session")
    assert start == MAKE
    subprocess.run(["/bin/sh", "-c", damage], cwd=linked.root, check=True)
    assert (linked.session / "creds.json").stat().st_size == 0
    with running(linked) as supervisor:
        supervisor.restarted(0)
        shown = calm(list(supervisor.events), {"server": None, "echo": PHONE})
        missing = [line for line in recorded("## Break the session") if line not in shown]
        assert not missing, shown
        info, check, snapshots, restore = asked
        config = ["--config", str(linked.root / "config.toml")]
        for line in (info, check, snapshots):
            assert execute([*config, *ours(line)]) == 0, capsys.readouterr().err
        number = re.findall(r"\.(\d{6})\.", capsys.readouterr().out)[-1]
        mark = supervisor.mark_now()
        words = ours(restore.replace("NUMBER", str(int(number))))
        assert execute([*config, *words, "--yes"]) == 0, capsys.readouterr().err
        assert "the session before is in quarantine" in capsys.readouterr().out
        assert supervisor.restarted(mark)["verified"]


@pytest.mark.long
def test_a_bot_of_one_s_own_is_run_as_the_page_says(new_folder: Callable[..., Folder]) -> None:
    """Without a config, with what was assumed; a save; then with the config that `init` writes."""
    heading = "## Your own bot"
    (program,) = blocks(section(START, heading), "python")
    first, init, again = typed(heading)
    folder = new_folder("", name="mine")
    folder.write("bot.py", program)
    words = ours(first)
    assert words[:2] == ["dev", "--"]
    folder.command = words[2:]
    with running(folder) as supervisor:
        started(supervisor)
        mark = supervisor.mark_now()
        folder.write("bot.py", program + "# saved\n")
        supervisor.restarted(mark, bot="mine")
        shown = calm(list(supervisor.events), {"mine": "mine"})
    assert [line for line in shown if line in recorded(heading)] == recorded(heading), shown

    done = folder.stillhere(*ours(init))
    assert done.returncode == 0, done.stderr
    assert ours(again) == ["dev"]
    folder.command = []
    with running(folder) as supervisor:
        started(supervisor)
        assert supervisor.status("mine")["session"]["identity"] == "robot-7"


def started(supervisor: Running) -> None:
    """Wait until its bot was up as the device that it is."""
    assert supervisor.restarted(0, WAIT_S, "mine")["proof"] == "identity"
