"""Draws a QR code on a terminal. The payload is a secret: it goes nowhere else."""

import io
import os
from collections.abc import Mapping

# White on black whatever the theme: many phones do not read an inverted code.
_ON, _OFF = "\x1b[97;40m", "\x1b[0m"
_UNKNOWN_COLUMNS = 80


def columns(descriptor: int = 1) -> int:
    """Return the terminal's width; one that does not tell (a serial line) has 80 columns."""
    try:
        return os.get_terminal_size(descriptor).columns or _UNKNOWN_COLUMNS
    except OSError:
        return _UNKNOWN_COLUMNS


def plain(environ: Mapping[str, str]) -> bool:
    """Say whether colours are not wanted (no-color.org), or not understood."""
    return bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"


def draw(payload: str, *, room: int, colours: bool) -> tuple[bool, list[str]]:
    """Return (drawn, the lines of the code); if it can't be drawn, a line that says why.

    The smallest error correction: a screen is clean, and each module gets larger.
    """
    import segno  # noqa: PLC0415 - only where a code is drawn

    try:
        code = segno.make(payload, error="l", micro=False, boost_error=False)
    except ValueError:
        return False, [f"the link data is too long for a QR code: {len(payload)} characters"]
    for border in (4, 2, 1):
        if code.symbol_size(border=border)[0] <= room:
            out = io.StringIO()
            code.terminal(out, compact=True, border=border)
            lines = out.getvalue().rstrip("\n").split("\n")
            return True, [f"{_ON}{line}{_OFF}" if colours else line for line in lines]
    needs = code.symbol_size(border=1)[0]
    why = f"the QR code needs {needs} columns, this terminal has {room}: make it wider"
    return False, [f"{why}, then: stillhere link"]
