"""The alerts of a service, if its config wants any: without, nothing of them is even imported."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervisor.config import Config
from supervisor.control.journal import Record

if TYPE_CHECKING:
    from supervisor.service.alerting.announcer import Announcer

Report = Callable[[str | None, str, dict[str, Any]], None]


class Alerts:
    """Tells a person what needs one; `report` writes into the journal."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._announcer: Announcer | None = None

    def configure(self, config: Config) -> None:
        """Begin by this config, or go on by it. In a running loop."""
        if self._announcer is not None:
            self._announcer.reconfigure(config)
        elif config.alerts.command or config.alerts.webhook:
            from supervisor.service.alerting.announcer import Announcer  # noqa: PLC0415 - only if wanted

            self._announcer = Announcer(config, self._report)

    def take(self, record: Record) -> None:
        """Learn what happened. Never waits."""
        if self._announcer is not None:
            self._announcer.take(record)

    async def close(self) -> None:
        """Give what waits to be sent a last, short chance."""
        if self._announcer is not None:
            await self._announcer.close()
