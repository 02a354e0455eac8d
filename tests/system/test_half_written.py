"""A hot copy that catches a bot as it writes its JSON in place is taken again, a moment later."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from supervisor.session import snapshots
from supervisor.session.copying import torn
from tests.system.hotkit import ID, PATIENCE_S, Hot, written

# It leaves the file as it is told, and ends the write once it was stopped and goes on.
WRITES = """
import pathlib, signal, sys
path = pathlib.Path(sys.argv[1])
ends = []
def go_on(*_):
    if ends:
        path.write_text(ends.pop(0))
signal.signal(signal.SIGCONT, go_on)
for line in sys.stdin:
    now, *ends = line.rstrip("\\n").split("|")
    path.write_text(now)
    print("done", flush=True)
"""
WHOLE = '{"me": "d1", "n": 1}'
NEXT = '{"me": "d1", "n": 2}'


class Writer:
    """A bot that is in the middle of a write whenever it is looked at."""

    def __init__(self, hot: Hot, bot: "subprocess.Popen[bytes]") -> None:
        self.hot = hot
        self._bot = bot
        hot.work._members = lambda _generation: [bot.pid]
        self.limit(10_000)  # of a busy machine

    def limit(self, freeze_timeout_ms: int) -> None:
        """Give a snapshot so long."""
        bot = self.hot.work._bot
        snapshots = replace(bot.snapshots, freeze_timeout_ms=freeze_timeout_ms)
        self.hot.work._bot = replace(bot, snapshots=snapshots)

    def begin(self, *states: str) -> None:
        """Write the first of these now, and one more each time that it was stopped."""
        assert self._bot.stdin
        assert self._bot.stdout
        self._bot.stdin.write(("|".join(states) + "\n").encode())
        assert self._bot.stdout.readline() == b"done\n"

    def verdict(self) -> tuple[str, str]:
        """Return the verdict on a snapshot, and what is in it."""
        snapshot = self.hot.snapshot()
        copy = self.hot.manager.export(ID, self.hot.root / snapshot["id"], snapshot["id"])
        return snapshot["verdict"], (copy / "creds.json").read_text()


@contextmanager
def writing(root: Path) -> Iterator[Writer]:
    """Let it write until the end of the block."""
    with written(root) as hot:
        command = [sys.executable, "-I", "-S", "-c", WRITES, str(hot.live / "creds.json")]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as bot:
            assert bot.stdin
            try:
                yield Writer(hot, bot)
            finally:
                bot.stdin.close()
                bot.wait(PATIENCE_S)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return what was waited for, each time."""
    seen: list[list[str]] = []

    def come_whole(root: Path, paths: list[str], until: float) -> bool:
        seen.append(paths)
        return torn.come_whole(root, paths, until)

    monkeypatch.setattr(snapshots, "come_whole", come_whole)
    return seen


@pytest.mark.parametrize("half", ["", WHOLE[:9], NEXT + "}"])
def test_the_write_is_let_come_to_its_end(tmp_path: Path, half: str) -> None:
    """Just emptied, in part, or with more of the old one behind it: the copy is of what follows."""
    with writing(tmp_path) as writer:
        writer.begin(WHOLE)
        assert writer.verdict() == ("good", WHOLE)
        writer.begin(half, NEXT)
        assert writer.verdict() == ("good", NEXT)


def test_a_bot_that_is_caught_again_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is whole as it lies may be torn once the bot stands still; the third time it is not."""
    count = 0

    def too_early(root: Path, paths: list[str], until: float) -> bool:
        nonlocal count
        count += 1
        return count == 1 or torn.come_whole(root, paths, until)

    monkeypatch.setattr(snapshots, "come_whole", too_early)
    with writing(tmp_path) as writer:
        writer.begin(WHOLE)
        assert writer.verdict() == ("good", WHOLE)
        writer.begin("", "", NEXT)
        assert writer.verdict() == ("good", NEXT)
    assert count == 2


def test_what_stays_torn_is_bad(tmp_path: Path, looks: list[list[str]]) -> None:
    """Nobody ends that write: the copy is what it would be without a wait, and is not good."""
    with writing(tmp_path) as writer:
        writer.begin(WHOLE)
        assert writer.verdict() == ("good", WHOLE)
        writer.limit(100)
        writer.begin("")
        assert writer.verdict() == ("bad", "")
    assert looks == [["creds.json"]]


def test_what_never_is_json_is_waited_for_once(tmp_path: Path, looks: list[list[str]]) -> None:
    """While nobody knows what it is; from then on it is the bot's own affair."""
    with writing(tmp_path) as writer:
        writer.limit(100)
        for number in range(3):
            writer.begin(f"no JSON, {number}")
            assert writer.verdict()[1] == f"no JSON, {number}"
    assert looks == [["creds.json"]]
