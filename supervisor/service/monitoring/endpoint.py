"""`[metrics] listen`: metrics and health over HTTP, for a config that asks for them.

For all others it is a word and no weight: what serves is imported only where something is served.
"""

from typing import TYPE_CHECKING, Any

from supervisor.config.model import MetricsConfig
from supervisor.service.monitoring.facts import Knows

if TYPE_CHECKING:
    from supervisor.service.monitoring.serving import Serving


class Endpoint:
    """Serves what `knows` knows and what it was told of. Of the loop's thread."""

    def __init__(self, knows: Knows) -> None:
        self._knows = knows
        self._serving: Serving | None = None

    async def configure(self, config: MetricsConfig) -> None:
        """Serve what the config asks for, at its start and after a reload. Counts go on.

        Raises: SupervisorError if it can't be served there; then all is as it was before.
        """
        if not config.listen:
            await self.close()
            return
        serving = self._serving
        if serving is None:
            from supervisor.service.monitoring.serving import Serving  # noqa: PLC0415 - it weighs 6 MB

            serving = Serving(self._knows)
        await serving.listen(config)
        self._serving = serving

    async def close(self) -> None:
        """Serve no more."""
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.close()

    def note(self, record: dict[str, Any]) -> None:
        """Hear a record of the journal."""
        if self._serving is not None:
            self._serving.metrics.note(record)
