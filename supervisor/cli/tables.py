"""Plain tables for a terminal or a pipe: columns, no frames, no library."""

import unicodedata
from collections.abc import Sequence


def width(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    wide = sum(1 for c in text if unicodedata.east_asian_width(c) in "WF")
    return len(text) + wide - sum(1 for c in text if unicodedata.combining(c))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; empty columns are left out."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows) or not rows]
    cells = [[head[i] for i in kept], *[[row[i] or "-" for i in kept] for row in rows]]
    widths = [max(width(row[i]) for row in cells) for i in range(len(kept))]
    return [
        "  ".join(
            cell + " " * (w - width(cell)) for cell, w in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def pairs(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return the lines of a list of names and values."""
    widest = max((width(name) for name, _ in rows), default=0)
    return [f"{name}{' ' * (widest - width(name))}  {value}".rstrip() for name, value in rows]
