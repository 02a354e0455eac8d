"""A stop signal that tsx would pass on, and follow up by a kill, goes to the bot itself."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.process.relays import told_to_stop
from supervisor.process.signals import send
from supervisor.process.tree import with_descendants


@contextmanager
def running(*command: str, cwd: Path) -> Iterator[list[int]]:
    """Run a program whose last descendant prints a line; give all pids, parents first."""
    with subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        try:
            yield with_descendants([process.pid])
        finally:
            for pid in with_descendants([process.pid]):
                send(pid, signal.SIGKILL)


@pytest.fixture
def tsx(tmp_path: Path) -> Path:
    """Make what looks like tsx, and runs a bot."""
    (tmp_path / "bot").write_text("echo up\nread never\n")
    program = tmp_path / "node_modules" / "tsx" / "dist" / "cli.mjs"
    program.parent.mkdir(parents=True)
    program.write_text('/bin/sh "$PWD/bot"\ntrue\n')
    return program


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("{sh} {tsx} bot.ts", -1),
        ("{sh} -c {sh}\t{tsx}\tbot.ts;true", -1),
        ("{sh} npm start", -1),
        ("{sh} {tsx} watch bot.ts", 0),
        ("{sh} own start", 0),
        ("{sh} bot", 0),
    ],
)
def test_only_what_tsx_runs_is_told(tmp_path: Path, tsx: Path, command: str, told: int) -> None:
    """Also below npm and a shell; not for who watches, nor below a bot that happens to use it."""
    for name in ("npm", "own"):
        (tmp_path / name).write_text(f"/bin/sh {tsx} bot.ts\ntrue\n")
    words = [word.format(sh="/bin/sh", tsx=tsx).replace("\t", " ") for word in command.split(" ")]
    with running(*words, cwd=tmp_path) as pids:
        assert told_to_stop(pids[:1]) == [pids[told]]
        if told:
            assert told_to_stop(pids) == [pids[-1]], "each once"


def test_who_is_gone_is_nobodys_relay() -> None:
    """Its number is told as it is; who sends finds nobody."""
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    assert told_to_stop([process.pid, os.getpid()])[0] == process.pid
