"""What a homeserver's answer means: whether it is one, and whose fault it is not to be one."""

from typing import Any

from nio import ErrorResponse


class LoggedOutError(Exception):
    """The server does not know this device's token any more."""

    def __init__(self, said: str, *, soft: bool) -> None:
        super().__init__(said)
        self.soft = soft  # the device is still there: a login by password brings it back


class RefusedError(Exception):
    """The server says no to this request, and will say no again."""


class ServerError(Exception):
    """The server can't do it now. The session is not to blame."""


def must(response: Any) -> Any:
    """Return the response if it is none of an error.

    Raises: LoggedOutError, RefusedError, ServerError.
    """
    if not isinstance(response, ErrorResponse):
        return response
    status = getattr(response.transport_response, "status", 0)
    words = f"{response.status_code or status} {response.message}"[:300]
    if response.status_code == "M_UNKNOWN_TOKEN":
        raise LoggedOutError(words, soft=bool(response.soft_logout))
    if 400 <= status < 500 and status not in (401, 408, 429):  # noqa: PLR2004 (HTTP)
        raise RefusedError(words)
    raise ServerError(words)
