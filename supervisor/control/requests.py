"""What may be asked over the control socket, and who answers it. No sockets here."""

import json
from collections.abc import AsyncIterator
from typing import Any, Protocol

from supervisor.core.errors import SupervisorError

_NONE = type(None)
_BOT: dict[str, tuple[type, ...]] = {"bot": (str, _NONE)}
# What may be asked, and of which exact types its arguments are.
CALLS: dict[str, dict[str, tuple[type, ...]]] = {
    "ping": {},
    "status": {},
    "start": {**_BOT, "wait": (bool,)},
    "stop": _BOT,
    "restart": {**_BOT, "wait": (bool,)},
    "pause": _BOT,
    "resume": _BOT,
    "reload": {},
    "upgrade": {},
    "web": {},
    "session": {"op": (str,), "id": (str, _NONE), "snapshot": (str, _NONE)},
}
STREAMS: dict[str, dict[str, tuple[type, ...]]] = {
    "events": {**_BOT, "follow": (bool,)},
    "logs": {**_BOT, "follow": (bool,), "lines": (int,)},
    "link": _BOT,
}
SESSION_OPS = ("backup", "check", "restore", "clear", "prune")


class Requests(Protocol):
    """What answers the requests: the runner."""

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Do it and return what a JSON line can hold. Raises: SupervisorError."""
        ...

    def stream(self, command: str, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield objects until it ends or the asker is gone. Raises: SupervisorError."""
        ...


def parse(line: bytes) -> tuple[str, dict[str, Any]]:
    """Read one request.

    Raises: SupervisorError saying what is wrong with it.
    """
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise SupervisorError("the request is not JSON", "one JSON object a line") from None
    if not isinstance(request, dict):
        raise SupervisorError("the request is not a JSON object", 'such as {"command": "ping"}')
    command, args = request.get("command"), request.get("args", {})
    if not isinstance(command, str):
        raise SupervisorError("the request has no command", 'such as {"command": "ping"}')
    known = CALLS.get(command, STREAMS.get(command))
    if known is None:
        raise SupervisorError(
            f"unknown command {command[:40]!r}", "known: " + ", ".join([*CALLS, *STREAMS])
        )
    if not isinstance(args, dict):
        raise SupervisorError(f"{command}: args is not a JSON object")
    for key, value in args.items():
        if key not in known:
            raise SupervisorError(
                f"{command}: unknown argument {key[:40]!r}",
                "known: " + (", ".join(known) or "none"),
            )
        # bool is an int to isinstance: `lines: true` would be one line.
        if type(value) not in known[key]:
            raise SupervisorError(f"{command}: {key} has the wrong type")
    if command == "session" and args.get("op") not in SESSION_OPS:
        raise SupervisorError(
            "session: op is missing or unknown", "one of " + ", ".join(SESSION_OPS)
        )
    return command, args
