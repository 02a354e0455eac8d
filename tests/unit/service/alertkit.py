"""Rules with a clock of the test's own, and alerts to send."""

import json
from pathlib import Path
from typing import Any

from supervisor.service.alerting.cases import Alert, made
from supervisor.service.alerting.rules import Rules
from tests.unit.configkit import read

REPEAT_S = 3600.0
CONFIG = """
[alerts]
command = ["true"]
repeat_s = 3600

[bot.echo]
command = ["true"]
ready = { log = "here" }
"""


class Story:
    """What happens to one bot, and what is told of it."""

    def __init__(self, folder: Path, text: str = CONFIG) -> None:
        self.folder = folder
        self.now = 1000.0
        self.rules = Rules(read(folder, text))
        self.alerts: list[Alert] = []

    def happens(self, event: str, bot: str = "echo", **fields: Any) -> list[str]:
        """Take one record; return what is told of it, as `kind status`."""
        self.rules.take({"event": event, "bot": bot, **fields}, self.now)
        return self._told()

    def passes(self, seconds: float) -> list[str]:
        """Let time go by, from instant to instant as a loop does; return what is told meanwhile."""
        until, told = self.now + seconds, list[str]()
        while (at := self.rules.next_at()) is not None and at <= until:
            self.now = max(self.now, at)
            told += self._told()
        self.now = until
        return told + self._told()

    def upgraded(self, *undelivered: tuple[str, str]) -> list[str]:
        """Go on in another program; return what is told then."""
        carried = json.loads(json.dumps(self.rules.carry(undelivered)))
        self.rules = Rules(read(self.folder, CONFIG), carried)
        return self._told()

    def _told(self) -> list[str]:
        found = self.rules.due(self.now)
        self.alerts += found
        return [f"{alert.kind} {alert.status}" for alert in found]


def alert(
    kind: str = "failed", bot: str = "echo", text: str = "it has FAILED", **fields: Any
) -> Alert:
    """Return one alert."""
    return made(bot, kind, text, fields)
