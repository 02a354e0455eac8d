"""A bot's prompt is seen before its line ends; what it is told is passed on and blotted out."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.cli import piped
from supervisor.process import output
from supervisor.process.input import Input
from supervisor.process.output import LineReader


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return both ends of a pipe; the test may close them."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


class Heard:
    """What a reader told, and the bot's end to write to."""

    def __init__(self) -> None:
        ends = output.pipe()
        self._childs = ends.childs
        self.lines: list[bytes] = []
        self.prompts: asyncio.Queue[bytes] = asyncio.Queue()
        self.reader = LineReader(ends.ours, "stdout", self._line, self._prompt)
        self._came = asyncio.Event()

    def _line(self, _: str, line: bytes) -> None:
        self.lines.append(line)
        self._came.set()

    def _prompt(self, _: str, text: bytes) -> None:
        self.prompts.put_nowait(text)

    def write(self, text: bytes) -> None:
        """Print, as the bot."""
        os.write(self._childs, text)

    async def line(self) -> bytes:
        """Return the next line."""
        while not self.lines:
            self._came.clear()
            await self._came.wait()
        return self.lines.pop(0)

    def close(self) -> None:
        """End both."""
        os.close(self._childs)
        self.reader.close()


def test_a_prompt_is_told_once_and_its_line_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands without an end is told; more of the same line is not; the next one is."""
    monkeypatch.setattr(output, "PROMPT_S", 0.01)

    async def scenario() -> None:
        bot, other = Heard(), Heard()
        async with asyncio.timeout(5):
            bot.write(b"hello\nPair code: ")
            assert await bot.prompts.get() == b"Pair code: "
            assert bot.lines == [b"hello"]
            bot.write(b"(again) ")
            other.write(b"a later one? ")
            assert await other.prompts.get() == b"a later one? "
            assert bot.prompts.empty()
            bot.lines.clear()
            bot.write(b"linked\nName: ")
            assert await bot.line() == b"Pair code: (again) linked"
            assert await bot.prompts.get() == b"Name: "
        bot.close()
        other.close()
        assert bot.lines == [b"Name: "]

    asyncio.run(scenario())


def test_what_is_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that ends in time, one that draws itself over, and silence are not told."""
    monkeypatch.setattr(output, "PROMPT_S", 0.01)

    async def scenario() -> None:
        ended, drawn, other = Heard(), Heard(), Heard()
        drawn.write(b"\r 45 % |####")
        ended.write(b"in two ")
        ended.write(b"pieces\n")
        async with asyncio.timeout(5):
            assert await ended.line() == b"in two pieces"
            # Written after them, told after their time.
            other.write(b"? ")
            await other.prompts.get()
        assert ended.prompts.empty()
        assert drawn.prompts.empty()
        for each in (ended, drawn, other):
            each.close()
        assert drawn.lines == [b"\r 45 % |####"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("Pair code: ", True),
        ("Really? [y/N] ", True),
        ("> ", True),
        ("Enter the code.", True),
        ("  ", False),
        ("Connecting ...", False),
        ("Connecting … ", False),
        ("Loading 45%", False),
    ],
)
def test_which_prompts_are_questions(text: str, *, question: bool) -> None:
    """Work that goes on is shown, and nobody is sent to answer it."""
    assert output.asks(text.encode()) is question


def test_lines_wait_for_a_bot_that_is_slow_to_read() -> None:
    """More than a pipe holds: nothing blocks, nothing is lost, in order; then there is room."""

    async def scenario() -> None:
        bot = Input()
        lines = [b"%d" % number * 100 for number in range(3000)]
        for line in lines:
            bot.put(line)
        drained = asyncio.ensure_future(bot.drained())
        got = b""
        async with asyncio.timeout(5):
            while not drained.done():
                got += await asyncio.to_thread(os.read, bot.childs, 65536)
            bot.close()
            while data := os.read(bot.childs, 65536):
                got += data
        assert got.splitlines() == lines
        os.close(bot.childs)

    asyncio.run(scenario())


def test_a_bot_that_is_gone_loses_its_lines() -> None:
    """Nobody waits for it, and closing twice is no error."""

    async def scenario() -> None:
        bot = Input()
        bot.put(b"x" * 1_000_000)
        waiting = asyncio.ensure_future(bot.drained())
        os.close(bot.childs)
        async with asyncio.timeout(5):
            await waiting
        bot.close()
        bot.close()
        bot.put(b"late")

    asyncio.run(scenario())


def test_what_was_typed_is_blotted_out() -> None:
    """Wherever the bot prints it; a `y` would be half of all words, and is no secret."""

    async def scenario() -> None:
        bot = Input()
        bot.put(b" 1234-5678 ")
        bot.put(b"y")
        assert bot.blot(b"Code: 1234-5678, so you say") == b"Code: [your line], so you say"
        bot.close()
        os.close(bot.childs)

    asyncio.run(scenario())


def test_lines_of_a_pipe(pipe: tuple[int, int]) -> None:
    """One by one as they come, the last one without an end too; then it is over."""
    ours, theirs = pipe

    async def scenario() -> None:
        source = piped.lines(ours)
        async with asyncio.timeout(5):
            os.write(theirs, b"one\ntw")
            assert await anext(source) == "one"
            os.write(theirs, b"o\n\nlast\xff")
            assert await anext(source) == "two"
            assert await anext(source) == ""
            os.close(theirs)
            assert [line async for line in source] == ["last\udcff"]
        assert os.get_blocking(ours)

    asyncio.run(scenario())


def test_lines_of_a_file_and_of_nothing(tmp_path: Path) -> None:
    """What never makes anyone wait is read too; a closed descriptor has no lines."""
    (tmp_path / "lines").write_text("one\ntwo\n")

    async def scenario(descriptor: int) -> list[str]:
        async with asyncio.timeout(5):
            return [line async for line in piped.lines(descriptor)]

    for path, expected in ((tmp_path / "lines", ["one", "two"]), (Path(os.devnull), [])):
        with path.open() as file:
            assert asyncio.run(scenario(file.fileno())) == expected
