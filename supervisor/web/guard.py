"""Who may come in: everything that is refused before a page is made, and what each answer forbids.

The token is the first word of each path. A cookie would be sent to every port of this machine, to
another user's server as well; a path is only ever sent to the port that it belongs to.
"""

import hashlib
import hmac
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_CLOSED = "403: the address has no token, or an old one. The one of now: stillhere web\n"


def same(one: str, other: str) -> bool:
    """Compare two secrets; the time that it takes tells nothing."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def form_key(token: str) -> str:
    """Return what each form must send along: who does not see our pages does not know it."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()


class Guard:
    """Lets in who knows the token, at our own name, and from our own pages."""

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._names = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._let_in(scope)(scope, receive, sealed)

    def _let_in(self, scope: MutableMapping[str, Any]) -> ASGIApp:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host.lower() not in self._names:  # a foreign name that leads to this machine
            return PlainTextResponse("403: this page has another name\n", 403)
        given, slash, rest = scope["path"].removeprefix("/").partition("/")
        if not same(given, self._token):
            return PlainTextResponse(_CLOSED, 403)
        if scope["method"] not in ("GET", "HEAD") and not _from_us(headers, f"http://{host}"):
            return PlainTextResponse("403: this was sent from another page\n", 403)
        if not slash:
            return RedirectResponse(f"/{self._token}/", 308)
        scope["path"] = f"/{rest}"
        scope["raw_path"] = scope["path"].encode()
        return self._app


def _from_us(headers: Headers, origin: str) -> bool:
    """Say whether a form was sent by a page of ours.

    Since we ask for no referrer, browsers say `null` for the origin of a form; then it is the
    other field that tells, which no page can set.
    """
    site, said = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site == "same-origin" and said in (None, "null", origin)
    return said == origin
