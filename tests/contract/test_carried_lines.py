"""A reader of output goes on where another one was: what was cut stays cut, all is counted once."""

import asyncio
import os

from supervisor.process import output
from supervisor.process.carried import Reading
from supervisor.process.masks import MASKED
from supervisor.process.output import LineReader
from supervisor.process.speech import Speech
from tests.contract.adoptkit import drop_reader
from tests.contract.childkit import PATIENCE_S


def test_the_rest_of_a_line_that_was_cut_stays_cut() -> None:
    """What is too long to be kept is thrown away by the next reader too."""

    async def run() -> None:
        ends, over = output.pipe(), asyncio.Event()
        lines: list[bytes] = []

        def sink(_stream: str, line: bytes) -> None:
            lines.append(line)
            if line == b"next":
                over.set()

        reader = LineReader(ends.ours, "stdout", sink)
        reader._add(b"x" * (output.LINE_MAX_BYTES + 1))
        carried = reader.carry()
        assert carried == Reading(fd=ends.ours, stream="stdout", skips=True)
        drop_reader(reader)
        os.write(ends.childs, b"rest of it\nnext\n")
        reader = LineReader(ends.ours, "stdout", sink, carried=carried)
        async with asyncio.timeout(PATIENCE_S):
            await over.wait()
        assert [len(line) for line in lines] == [output.LINE_MAX_BYTES + len(output.CUT), 4]
        os.close(ends.childs)
        reader.close()
        assert reader.carry() is None

    asyncio.run(run())


def test_what_was_left_out_of_a_flood_is_counted_before() -> None:
    """The count is told by the program that left it out."""

    async def run() -> None:
        ends = output.pipe()
        told: list[tuple[str, int]] = []
        reader = LineReader(
            ends.ours, "stdout", lambda *_: None, on_drop=lambda *drop: told.append(drop)
        )
        reader._leave_out(b"a\nb\nc\n", 3)
        assert told == []
        reader.carry()
        assert told == [("stdout", 2)]
        os.close(ends.childs)
        reader.close()
        assert told == [("stdout", 2)]

    asyncio.run(run())


def test_a_payload_that_goes_on_is_blotted_out_by_the_next_program_too() -> None:
    """A QR code's words, wrapped over two lines: the second alone looks like no secret."""

    async def run() -> None:
        lines: list[bytes] = []

        def speech() -> Speech:
            return Speech(
                on_line=lambda _stream, line: lines.append(line),
                on_prompt=None,
                on_drop=lambda *_: None,
                before=lambda: None,
                blot=lambda line: line,
                mask=(),
                uid=None,
            )

        close_after: list[int] = []
        first = speech()
        out, _err = first.open(terminal=False, close_after=close_after)
        os.write(out, b"2@" + b"A1b2" * 10 + b"\n")
        first.drain()
        carried = first.carry()
        for reader in first._readers:
            drop_reader(reader)
        os.write(out, b"C3d4" * 10 + b"\n")
        second = speech()
        second.adopt(carried)
        second.drain()
        second.close()
        for fd in close_after:
            os.close(fd)
        assert lines == [MASKED, MASKED]

    asyncio.run(run())
