"""Draws a QR code as a picture. The payload is a secret: it is in that picture and nowhere else."""

import io
from collections.abc import Sequence

import segno

from supervisor.presets.modules import modules

# The light frame that a code needs, in modules.
_FRAME = 4


def picture(payload: str) -> bytes:
    """Return the code as SVG: black on white whatever the theme, since phones want it so.

    Raises: ValueError if it is too long for a code.
    """
    out = io.BytesIO()
    code = segno.make(payload, error="l", micro=False, boost_error=False)
    code.save(out, kind="svg", border=4, light="#fff", dark="#000", xmldecl=False, omitsize=True)
    return out.getvalue()


def copy(rows: Sequence[str]) -> bytes:
    """Return a code that a bot has drawn on a terminal itself, as SVG. Raises: ValueError."""
    grid = modules(rows)
    if not grid:
        raise ValueError("no QR code was drawn")
    width, height = max(map(len, grid)) + 2 * _FRAME, len(grid) + 2 * _FRAME
    dark = "".join(
        f"M{x + _FRAME} {y + _FRAME}h1v1h-1z"
        for y, row in enumerate(grid)
        for x, module in enumerate(row)
        if module == "1"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{width}v{height}h-{width}z"/>'
        f'<path d="{dark}"/></svg>'
    ).encode()
