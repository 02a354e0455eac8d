"""The alerts of a service. What happens is always learnt; who tells of it is there if it is wanted.

So a reload that gives a config its first alerts tells what is so already, and an upgrade in place
forgets nothing of what a person was told.
"""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from supervisor.config import Config
from supervisor.control.journal import Record

if TYPE_CHECKING:
    from supervisor.service.alerting.announcer import Announcer
    from supervisor.service.alerting.rules import Rules

Report = Callable[[str | None, str, dict[str, Any]], None]


class Alerts:
    """Tells a person what needs one; `report` writes into the journal."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._rules: Rules | None = None
        self._announcer: Announcer | None = None

    def configure(self, config: Config, carried: Mapping[str, Any] | None = None) -> None:
        """Begin by this config, or go on by it; `carried`: from `carry`. In a running loop."""
        if self._rules is None:
            from supervisor.service.alerting.rules import Rules  # noqa: PLC0415 - `dev` has none

            self._rules = Rules(config, carried)
        else:
            self._rules.configure(config)
        if self._announcer is not None:
            self._announcer.reconfigure(config)
        elif config.alerts.command or config.alerts.webhook:
            from supervisor.service.alerting.announcer import Announcer  # noqa: PLC0415 - only if wanted

            self._announcer = Announcer(config, self._report, self._rules)

    def carry(self) -> dict[str, Any]:
        """Return what the program after ours has to know, as plain values."""
        undelivered = self._announcer.undelivered if self._announcer is not None else ()
        return {} if self._rules is None else self._rules.carry(undelivered)

    def take(self, record: Record) -> None:
        """Learn what happened. Never waits."""
        if self._announcer is not None:
            self._announcer.take(record)
        elif self._rules is not None:
            self._rules.take(record, time.monotonic())

    async def close(self) -> None:
        """Give what waits to be sent a last, short chance."""
        if self._announcer is not None:
            await self._announcer.close()
