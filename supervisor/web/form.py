"""Reads a form that was sent: bounded in its size, its fields and its time."""

import asyncio
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request

FORM_BYTES = 4096
FORM_FIELDS = 10
FORM_S = 10.0


async def fields(request: Request) -> dict[str, str]:
    """Return what a form says. Raises: HTTPException, for one that is none of ours."""
    body = b""
    try:
        async with asyncio.timeout(FORM_S):
            async for piece in request.stream():
                body += piece
                if len(body) > FORM_BYTES:
                    raise HTTPException(413, "the form is too long")
    except TimeoutError:
        raise HTTPException(408, "the form did not come") from None
    try:
        found = parse_qs(body.decode("utf-8", "replace"), max_num_fields=FORM_FIELDS)
    except ValueError:
        raise HTTPException(400, "the form has too many fields") from None
    return {key: values[-1] for key, values in found.items()}
