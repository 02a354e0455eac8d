"""The terminal's mode, seen at a pseudo-terminal without a shell that would mend it."""

import asyncio
import os
import pty
import termios
from collections.abc import Iterator

import pytest

from supervisor.cli import keys
from supervisor.cli.keys import Keys


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Return both ends of a terminal that nobody else uses."""
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def raw(descriptor: int) -> bool:
    """Say whether single keys are read."""
    flags: int = termios.tcgetattr(descriptor)[3]
    return not flags & (termios.ICANON | termios.ECHO)


def test_the_mode_is_taken_and_given(terminal: tuple[int, int]) -> None:
    """Given for a while and taken again; given for good; each as often as one likes."""
    master, slave = terminal

    async def scenario() -> None:
        got: asyncio.Queue[str] = asyncio.Queue()
        reader = Keys(got.put_nowait, lambda: None, descriptor=slave)
        before = termios.tcgetattr(slave)
        reader.start()
        assert reader.active
        assert raw(slave)
        os.write(master, "r\xffq".encode("latin-1"))
        async with asyncio.timeout(5):
            assert [await got.get(), await got.get()] == ["r", "q"]
        reader.give()
        assert not reader.active
        assert termios.tcgetattr(slave) == before
        reader.take()
        assert raw(slave)
        for _ in range(2):
            reader.stop()
            assert termios.tcgetattr(slave) == before
        reader.take()
        assert not reader.active

    asyncio.run(scenario())


def test_a_line_is_typed_and_cancelled(terminal: tuple[int, int]) -> None:
    """Enter passes the line on, Ctrl-C and Ctrl-D nothing; what is pasted with it is no keys."""
    master, slave = terminal

    async def scenario() -> None:
        got: asyncio.Queue[str] = asyncio.Queue()
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        asked: asyncio.Queue[str] = asyncio.Queue()

        def key(pressed: str) -> None:
            if pressed == "i":
                assert reader.line(lines.put_nowait)
                assert not reader.line(lines.put_nowait)
                asked.put_nowait(pressed)
            else:
                got.put_nowait(pressed)

        reader = Keys(key, lambda: None, descriptor=slave)
        before = termios.tcgetattr(slave)
        reader.start()
        keys_mode = termios.tcgetattr(slave)
        async with asyncio.timeout(5):
            for first, typed, line in (
                ("i", "1234-q\n", "1234-q"),
                ("i1234\nqqq", "", "1234"),
                ("i12", "34\n", "1234"),
                ("i", "1234\nqqq\n", "1234"),
                ("i", "qqq\x03", None),
                ("i", "\x04", None),
                ("i", "\xe9\r", "\udce9"),
            ):
                os.write(master, first.encode())
                await asked.get()
                os.write(master, typed.encode("latin-1"))
                assert await lines.get() == line
                assert termios.tcgetattr(slave) == keys_mode
            os.write(master, b"r")
            assert await got.get() == "r"
            assert got.empty()
            reader.line(lines.put_nowait)
            mode = termios.tcgetattr(slave)[3]
            assert mode & termios.ECHO
            assert mode & termios.ICANON
            reader.give()
            assert await lines.get() is None
        assert termios.tcgetattr(slave) == before
        assert not reader.line(lines.put_nowait)
        reader.stop()

    asyncio.run(scenario())


def test_the_background_is_left_alone(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in the background nothing is read or set; back in front the keys work again."""
    master, slave = terminal
    monkeypatch.setattr(keys, "LOOK_AGAIN_S", 0.01)

    async def scenario() -> None:
        got: asyncio.Queue[str] = asyncio.Queue()
        looked: asyncio.Queue[str] = asyncio.Queue()
        where = "ours"

        def place(_: int) -> str:
            looked.put_nowait(where)
            return where

        monkeypatch.setattr(keys, "place", place)
        reader = Keys(got.put_nowait, lambda: None, descriptor=slave)
        reader.start()
        where = "background"
        os.write(master, b"x")
        async with asyncio.timeout(5):
            while await looked.get() != "background" or reader.active:
                pass
            assert got.empty()
            where = "ours"
            assert await got.get() == "x"
        assert reader.active
        reader.stop()

    asyncio.run(scenario())


def test_what_is_no_terminal_is_not_read() -> None:
    """A pipe and a closed descriptor have no keys, and are no error."""
    reader, writer = os.pipe()

    async def scenario(descriptor: int) -> None:
        found = Keys(lambda _: None, lambda: None, descriptor=descriptor)
        found.start()
        assert not found.active
        found.stop()

    asyncio.run(scenario(reader))
    os.close(reader)
    os.close(writer)
    asyncio.run(scenario(reader))
