"""Whether the loop turns, as `/healthz` says it."""

import asyncio
from http import HTTPStatus
from pathlib import Path

from supervisor.config.model import MetricsConfig
from supervisor.service.monitoring.facts import Facts, Glance
from supervisor.service.monitoring.http import Request
from supervisor.service.monitoring.serving import LATE_S, Serving


class Nobody:
    """Knows of no bot."""

    def glances(self) -> tuple[Glance, ...]:
        """Return none."""
        return ()

    async def facts(self) -> Facts:
        """Return none."""
        return Facts(())

    def close(self) -> None:
        """Nothing is held."""


def test_a_loop_that_stood_still_just_now_is_not_well(tmp_path: Path) -> None:
    """Who asked while it stood is answered after it, and must not hear that all is well."""

    async def story() -> None:
        serving = Serving(Nobody())
        await serving.listen(MetricsConfig(listen=f"unix:{tmp_path}/s", public=False))

        async def health() -> HTTPStatus:
            return (await serving._answer(Request("GET", "/healthz", {}))).status

        try:
            assert await health() is HTTPStatus.OK
            serving._beat_at -= LATE_S + 2
            assert await health() is HTTPStatus.SERVICE_UNAVAILABLE
            serving._on_beat()
            assert await health() is HTTPStatus.SERVICE_UNAVAILABLE
            serving._on_beat()
            assert await health() is HTTPStatus.OK
        finally:
            await serving.close()

    asyncio.run(story())
