"""A drawn code is told by its corner marks, in whatever signs; a picture without them is none."""

import io
from pathlib import Path

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.presets.modules import is_code, modules
from supervisor.process.masks import row

HALVES = " ▀▄█"


def rows_of(text: str) -> list[str]:
    """Return the lines of a drawing."""
    return text.rstrip("\n").split("\n")


@settings(max_examples=60, deadline=None)
@given(
    payload=st.text(st.characters(codec="latin-1"), min_size=1, max_size=300),
    border=st.integers(0, 4),
    compact=st.booleans(),
)
def test_every_code_is_one(payload: str, border: int, *, compact: bool) -> None:
    """Of any size and frame, in half blocks or in spaces on coloured grounds."""
    out = io.StringIO()
    segno.make(payload, error="l", micro=False).terminal(out, border=border, compact=compact)
    assert is_code(rows_of(out.getvalue()))


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="latin-1"), min_size=1, max_size=80))
def test_every_code_in_double_signs_is_one(payload: str) -> None:
    """Two signs for a module, dark or light."""
    matrix = segno.make(payload, error="l", micro=False).matrix
    for dark, light in (("##", "  "), ("  ", "██")):
        assert is_code(["".join(dark if bit else light for bit in line) for line in matrix])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(HALVES, min_size=24, max_size=24), min_size=12, max_size=40))
def test_noise_is_none(rows: list[str]) -> None:
    """A square of the same signs, a picture or a game's board, asks nobody for a link."""
    assert not is_code(rows)


@given(st.lists(st.text(max_size=80), max_size=40))
def test_nothing_breaks_it(rows: list[str]) -> None:
    """A stranger may print anything."""
    assert not is_code(rows)


def test_two_marks_are_no_code() -> None:
    """Each code has three."""
    out = io.StringIO()
    segno.make("a code", micro=False).terminal(out, compact=True)
    rows = rows_of(out.getvalue())
    assert is_code(rows)
    assert not is_code(rows[: len(rows) // 2])


CODES = sorted((Path(__file__).parent / "codes").glob("*.txt"))


@pytest.mark.parametrize("path", CODES, ids=lambda path: path.stem)
def test_a_code_s_modules_are_taken_out_of_its_frame(path: Path) -> None:
    """As tools draw them: a square of a size that codes have, with a mark in three corners."""
    grid = modules([found for line in path.read_text().split("\n") if (found := row(line))])
    assert len(grid) in range(21, 178, 4)
    assert {len(line) for line in grid} == {len(grid)}
    for line in (grid[0][:7], grid[0][-7:], grid[-1][:7], grid[6][:7]):
        assert line == "1111111"
