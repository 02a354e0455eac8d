"""Posts one JSON text to a URL: a program of its own, run by its path, for one request.

So the supervisor never loads TLS, and a name server that hangs is killed with this process. It
reads `{"url", "agent", "timeout_s", "body"}` on its standard input and prints one object: `ok`,
and if not, `why`, `final` (no new try can help) and `retry_after_s`. The URL is a secret, so it is
neither on the command line nor in what is printed. It imports nothing of ours.
"""

import json
import socket
import ssl
import sys
import time
from base64 import b64encode
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, InvalidURL
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

# Later tries may be taken: a timeout at their end, a conflict, too early, too many.
_LATER = {408, 409, 425, 429}
_SERVER_ERROR = 500
_OK, _REDIRECT = 200, 300
# X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h. Their messages
# name the host.
_MISMATCHES = {62, 64}


class _NoRedirect(HTTPRedirectHandler):
    """Follow nothing: whoever may redirect could have the alert, and the token with it."""

    def redirect_request(self, *_: Any) -> None:
        """Return no new request, so that the answer is an error as any other."""


def post(order: dict[str, Any]) -> dict[str, Any]:
    """Return what came of it; see above."""
    headers = {"Content-Type": "application/json", "User-Agent": order["agent"]}
    body = json.dumps(order["body"]).encode()
    try:
        url, login = _without_login(order["url"])
        if login:
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        # Scheme: the config takes http:// and https:// only.
        request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - see above
        with build_opener(_NoRedirect).open(request, timeout=order["timeout_s"]) as answer:
            return _answered(answer.status, answer.headers)
    except HTTPError as error:
        with error:
            return _answered(error.code, error.headers)
    except URLError as error:
        return _failed(error.reason)
    except (OSError, HTTPException, ValueError) as error:
        return _failed(error)


def _without_login(url: str) -> tuple[str, str]:
    """Return a URL without its `user:password@`, which urllib takes for a host, and that."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=host).geturl(), unquote(login)


def _answered(status: int, headers: Message) -> dict[str, Any]:
    if _OK <= status < _REDIRECT:
        return {"ok": True}
    if _REDIRECT <= status < 400:  # noqa: PLR2004 - the end of the redirects
        why = f"it answered {status}: redirects are not followed, so give the final URL"
        return {"ok": False, "why": why, "final": True}
    final = status < _SERVER_ERROR and status not in _LATER
    wait_s = retry_after_s(headers.get("Retry-After"), time.time())
    return {
        "ok": False,
        "why": f"it answered {status}",
        "final": final,
        "retry_after_s": wait_s,
    }


def retry_after_s(text: str | None, now: float) -> float | None:
    """Return how long a `Retry-After` says to wait, RFC 9110 section 10.2.3; None: nothing."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _failed(error: object) -> dict[str, Any]:
    """Say what went wrong in our own words: the system's may hold the host, or the whole URL."""
    match error:
        case TimeoutError():
            why = "no answer in time"
        case ssl.SSLCertVerificationError(verify_code=code) if code in _MISMATCHES:
            why = "its certificate is another host's"
        case ssl.SSLCertVerificationError():
            why = f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            why = f"no TLS with it: {error.reason or 'it broke off'}"
        case socket.gaierror():
            why = "its name could not be resolved"
        case OSError(strerror=str(text)):
            why = f"it could not be reached: {text}"
        case HTTPException() | OSError() if not isinstance(error, InvalidURL):
            why = "it does not speak HTTP"
        case _:
            return {"ok": False, "why": "its URL can't be used", "final": True}
    return {"ok": False, "why": why, "final": False}


if __name__ == "__main__":
    json.dump(post(json.load(sys.stdin)), sys.stdout)
