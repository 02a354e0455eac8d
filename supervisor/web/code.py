"""Draws a QR code as a picture. The payload is a secret: it is in that picture and nowhere else."""

import io

import segno


def picture(payload: str) -> bytes:
    """Return the code as SVG: black on white whatever the theme, since phones want it so.

    Raises: ValueError if it is too long for a code.
    """
    out = io.BytesIO()
    code = segno.make(payload, error="l", micro=False, boost_error=False)
    code.save(out, kind="svg", border=4, light="#fff", dark="#000", xmldecl=False, omitsize=True)
    return out.getvalue()
