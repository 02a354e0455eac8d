"""Sees whether signs on a terminal are a QR code: by the three corner marks that each one has.

A mark is seven modules square: a frame, a gap, a block of three (ISO/IEC 18004, 'finder pattern').
A sign shows one module, half of one, or two above another, in whatever colours. Pure.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

_MARK = ("1111111", "1000001", "1011101", "1011101", "1011101", "1000001", "1111111")
_MARKS = 3
_TOKEN = re.compile(r"\x1b\[([0-9;]*)m|(.)", re.DOTALL)
_FLIP = str.maketrans("01", "10")
# Which halves of a sign, the upper and the lower, have the colour of the letters.
_INKED = {"▀": (True, False), "▄": (False, True), " ": (False, False), "\u00a0": (False, False)}
_OWN = {"⬛": "black", "⬜": "white"}


def is_code(rows: Sequence[str]) -> bool:
    """Return whether these rows are a QR code. A few hundred rows take milliseconds."""
    return any(len(list(_marks(grid))) >= _MARKS for grid in _grids(rows))


def modules(rows: Sequence[str]) -> list[str]:
    """Return a code's modules, row by row: 1 is dark, 0 is light; nothing where there is none.

    What is around it, its frame and the rest of a terminal's signs, is left out.
    """
    for grid in _grids(rows):
        marks = list(_marks(grid))
        if len(marks) >= _MARKS:
            left, top = min(x for x, _ in marks), min(y for _, y in marks)
            right, bottom = max(x for x, _ in marks), max(y for _, y in marks)
            size = len(_MARK)
            return [row[left : right + size] for row in grid[top : bottom + size]]
    return []


def _grids(rows: Sequence[str]) -> Iterator[list[str]]:
    """Yield what the rows may show, a digit for each module: dark and light are not told apart."""
    halves = [_colours(row) for row in rows]
    common = Counter(colour for upper, lower in halves for colour in (*upper, *lower))
    dark = common.most_common(1)[0][0] if common else ""

    def digits(colours: Sequence[str]) -> str:
        return "".join("1" if colour == dark else "0" for colour in colours)

    tall = [digits(upper) for upper, _lower in halves]
    stacked = [digits(half) for pair in halves for half in pair]
    for grid in (stacked, tall, [row[::2] for row in tall], [row[1::2] for row in tall]):
        yield grid
        yield [row.translate(_FLIP) for row in grid]


def _colours(row: str) -> tuple[list[str], list[str]]:
    """Return the colours of the upper and of the lower halves of a row's signs."""
    ink, ground, swapped = "ink", "ground", False
    upper: list[str] = []
    lower: list[str] = []
    for match in _TOKEN.finditer(row):
        if match[1] is not None:
            ink, ground, swapped = _coloured(match[1], ink, ground, swapped=swapped)
            continue
        front, back = (ground, ink) if swapped else (ink, ground)
        own = _OWN.get(match[2])
        above, below = _INKED.get(match[2], (True, True))
        upper.append(own or (front if above else back))
        lower.append(own or (front if below else back))
    return upper, lower


def _coloured(codes: str, ink: str, ground: str, *, swapped: bool) -> tuple[str, str, bool]:
    """Return what a sequence makes of the colours (ECMA-48, 'SGR')."""
    numbers = codes.split(";")
    while numbers:
        number = numbers.pop(0) or "0"
        if number == "0":
            ink, ground, swapped = "ink", "ground", False
        elif number in ("7", "27"):
            swapped = number == "7"
        elif number in ("38", "48"):
            length = 2 if numbers[:1] == ["5"] else 4
            colour, numbers = ";".join(numbers[:length]), numbers[length:]
            ink, ground = (colour, ground) if number == "38" else (ink, colour)
        elif re.fullmatch(r"[39][0-7]", number):
            ink = number[1:]
        elif re.fullmatch(r"(?:4|10)[0-7]", number):
            ground = number[-1:]
    return ink, ground, swapped


def _marks(grid: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield where a grid has corner marks."""
    for y in range(len(grid) - len(_MARK) + 1):
        x = grid[y].find(_MARK[0])
        while x >= 0:
            inside = grid[y + 1 : y + len(_MARK)]
            if all(row.startswith(mark, x) for row, mark in zip(inside, _MARK[1:], strict=True)):
                yield x, y
            x = grid[y].find(_MARK[0], x + 1)
