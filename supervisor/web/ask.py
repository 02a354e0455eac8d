"""Asks the supervisor over its control socket, as every command does; in a loop of its own."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from supervisor.control.client import PATIENCE_S, Client
from supervisor.core.errors import SupervisorError

LINE_BYTES = 1 << 20
# To restore a session a bot has to stop and to start again.
TOTAL_S = 300.0


class Ask:
    """For one config's supervisor. It is asked by threads, and followed by tasks."""

    def __init__(self, control: Path, config: Path) -> None:
        self._client = Client(control, name=str(config), total_s=TOTAL_S)

    async def call(self, command: str, **args: Any) -> Any:
        """Do one thing and return the result. Raises: SupervisorError."""
        return await asyncio.to_thread(self._client.call, command, **args)

    async def stream(self, command: str, **args: Any) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what a stream says until its end. Raises: SupervisorError."""
        connection = await asyncio.to_thread(self._client.opened, command, **args)
        connection.setblocking(False)  # noqa: FBT003 - the socket module's signature
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=LINE_BYTES)
        try:
            while True:
                answer = await _next(reader)
                if "end" in answer:
                    return
                if answer.get("ok") is False:
                    error = answer.get("error") or {}
                    raise SupervisorError(str(error.get("message")), str(error.get("hint", "")))
                if isinstance(answer.get("item"), dict):
                    yield answer["item"]
        finally:
            writer.close()


async def _next(reader: asyncio.StreamReader) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            line = await reader.readuntil(b"\n")
        answer = json.loads(line)
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, TimeoutError) as error:
        raise SupervisorError(f"the supervisor went away: {type(error).__name__}") from error
    if not isinstance(answer, dict):
        raise SupervisorError("the supervisor answered nonsense")
    return answer
