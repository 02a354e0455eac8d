"""Serves `/metrics`, `/healthz` and `/readyz`: what is known, put on pages. It decides nothing."""

import asyncio
import json
import time
from http import HTTPStatus
from typing import Any

from supervisor.config.model import MetricsConfig
from supervisor.core.version import VERSION
from supervisor.service.monitoring.facts import Knows
from supervisor.service.monitoring.http import Answer, HttpServer, Request
from supervisor.service.monitoring.listening import Listening, listen
from supervisor.service.monitoring.metrics import Metrics
from supervisor.service.monitoring.readiness import readiness

BEAT_S = 1.0
# A loop that did not turn for so long is not well, though it answers now.
LATE_S = 5.0
NOWHERE = MetricsConfig(listen="", public=False)


class Serving:
    """Pages of what `knows` knows, and what counts: `metrics`. Of the loop's thread."""

    def __init__(self, knows: Knows) -> None:
        self._knows = knows
        self.metrics = Metrics((glance.name for glance in knows.glances()), VERSION)
        self._config = NOWHERE
        self._server: HttpServer | None = None
        self._listening: Listening | None = None
        self._turn = asyncio.Lock()
        self._beat: asyncio.TimerHandle | None = None
        self._beat_at = time.monotonic()
        self._late_s = 0.0  # of the last beat

    async def listen(self, config: MetricsConfig) -> None:
        """Serve there from now on, and nowhere else.

        Raises: SupervisorError if that can't be; then it serves where it did.
        """
        before = self._config
        if config == before:
            return
        if config.listen != before.listen:
            listening = await listen(config)
            await self._leave()
        else:  # one place can't be taken twice
            await self._leave()
            try:
                listening = await listen(config)
            except BaseException:
                await self.listen(before)
                raise
        self._config, self._listening = config, listening
        self._server = HttpServer(listening.sockets, self._answer, serves=listening.serves)
        if self._beat is None:
            self._expect_beat()

    async def close(self) -> None:
        """Serve no more."""
        await self._leave()
        self._knows.close()
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None

    async def _leave(self) -> None:
        self._config = NOWHERE
        if self._listening is not None:
            self._listening.remove_path()
            self._listening = None
        server, self._server = self._server, None
        if server is not None:
            await server.close()

    # Whether the loop turns.

    def _expect_beat(self) -> None:
        self._beat_at = time.monotonic()
        self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._on_beat)

    def _on_beat(self) -> None:
        self._late_s = max(0.0, time.monotonic() - self._beat_at - BEAT_S)
        self.metrics.counts.lag.observe(self._late_s)
        self._expect_beat()

    # What it is asked.

    async def _answer(self, request: Request) -> Answer:
        match request.path:
            case "/metrics":
                return await self._page(request.headers.get("accept", ""))
            case "/healthz":
                since_s = time.monotonic() - self._beat_at
                # Who asked meanwhile is heard only once the beat that was late is over.
                well = max(since_s - BEAT_S, self._late_s) < LATE_S
                return _told(well=well, page={"healthy": well, "beat_s": round(since_s, 3)})
            case "/readyz":
                ready, page = readiness(self._knows.glances())
                return _told(well=ready, page=page)
        return Answer(HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n")

    async def _page(self, accept: str) -> Answer:
        facts = await self._knows.facts()
        self.metrics.keep(glance.name for glance in facts.glances)
        # Hundreds of bots make a long page, and the loop has them to see to. One page at a time:
        # each thread more would keep it waiting for longer.
        async with self._turn:
            page, kind = await asyncio.to_thread(self.metrics.page, facts, accept)
        return Answer(HTTPStatus.OK, page, kind)


def _told(*, well: bool, page: dict[str, Any]) -> Answer:
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, json.dumps(page).encode() + b"\n", "application/json")
