"""Serves the page on a socket that it was given: bounded in every way, and silent in all logs."""

import asyncio
import logging
import socket
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from supervisor.web.app import application

CONNECTIONS = 64
HEADER_BYTES = 16 * 1024
# A request must be whole by then.
REQUEST_S = 10.0
# With no connection for so long the process ends; the next who comes starts it again.
IDLE_S = 60.0
_LOOK_S = 5.0


class _Bounded(H11Protocol):
    """So many connections at a time, and none that only stays."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            self._timer = self.loop.call_later(REQUEST_S, self._too_slow)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._waits:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(REQUEST_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    @property
    def _waits(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._waits:
            self.transport.abort()


async def _serve(listener: socket.socket, server: uvicorn.Server) -> None:
    async def watch() -> None:
        idle_s = 0.0
        while not server.should_exit:
            await asyncio.sleep(_LOOK_S)
            idle_s = 0.0 if server.server_state.connections else idle_s + _LOOK_S
            server.should_exit = idle_s >= IDLE_S

    watching = asyncio.create_task(watch())
    await server.serve([listener])
    watching.cancel()


def serve(listener: socket.socket, *, token: str, config: Path, control: Path) -> None:
    """Serve until nobody comes any more."""
    # A request's path holds the token.
    logging.disable(logging.WARNING)
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            application(token=token, port=port, config=config, control=control),
            http=_Bounded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_graceful_shutdown=1,
        )
    )
    asyncio.run(_serve(listener, server))
