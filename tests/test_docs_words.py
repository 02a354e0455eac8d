"""The words that the documents quote are the program's own: lines, events, phases."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.markdown import ROOT, blocks, code, rows, section

RECOVERY = ROOT / "docs" / "recovery.md"
YOUR_BOT = ROOT / "docs" / "your-bot.md"
# What stands for something else in a quoted line, and is no word of the program's.
STANDS_FOR = ("ID", "DEVICE", "WHY", "N", "PID", "TIME", "AGE", "SNAPSHOT", "NAME", "PLACE", "FILE")
# 401, 440 and what follows are the network's words, in examples.
EXAMPLES = ("401 device removed", "440 replaced", "No space left on device", "No space left")
CUT = re.compile(
    "|".join(
        [
            r"\bN (?:snapshots|messages)\b",
            rf"\b(?:{'|'.join(STANDS_FOR)})\b",
            *map(re.escape, EXAMPLES),
            r"[:;,] ",
            r"[()\[\]`'.]",
        ]
    )
)


@cache
def said() -> str:
    """Return every text in the program's source, f-strings in pieces; each on a line of its own."""
    found: set[str] = set()
    for path in (ROOT / "supervisor").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(" ".join(node.value.split()))
    return "\n".join(found)


def strange(line: str) -> list[str]:
    """Return the pieces of a quoted line that no text of the program has."""
    pieces = (" ".join(piece.split()) for piece in CUT.split(line))
    return [piece for piece in pieces if len(piece) > 1 and piece not in said()]


def quoted(path: Path) -> Iterator[str]:
    """Yield the lines that a document says the program says."""
    for block in blocks(path.read_text(), "text"):
        yield from block.splitlines()


@pytest.mark.parametrize("path", [RECOVERY, YOUR_BOT], ids=lambda path: path.stem)
def test_every_line_of_the_handbook_is_the_program_s(path: Path) -> None:
    """Who searches for a line finds it, word for word, but for what differs."""
    wrong = {line: found for line in quoted(path) if (found := strange(line))}
    assert not wrong, "it quotes what the program does not say (any more)"


def test_a_line_that_nobody_says_is_seen() -> None:
    """A word that differs is enough."""
    assert not strange("late: not verified in time, still waiting; nothing is restored for that")
    assert strange("late: not verified in time, still waiting; nothing was restored for that")
    assert strange("the snapshots up to N are missing, in PLACE")


@pytest.mark.parametrize("heading", ["## Find it by what you see", "## A bot is in FAILED"])
def test_what_one_looks_for_is_said_too(heading: str) -> None:
    """The left column of the tables holds pieces of lines."""
    for cell, *_ in rows(section(RECOVERY, heading)):
        assert code(cell)
        assert not [piece for span in code(cell) for piece in strange(span)], cell
