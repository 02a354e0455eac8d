"""Tells a person what needs one: by a command, by a webhook, in the background.

It reads the journal as it grows and never holds it up; whatever becomes of a message, no bot
notices. What waits is not kept over the supervisor's end: what still is so is found again then.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from supervisor.config import Config
from supervisor.control.journal import Record
from supervisor.core.errors import SupervisorError
from supervisor.core.version import VERSION
from supervisor.process import environment
from supervisor.service.alerting import errand
from supervisor.service.alerting.cases import Alert
from supervisor.service.alerting.delivery import Delivery, Outcome
from supervisor.service.alerting.rules import Rules

COMMAND_S = 30.0
POST_S = 10.0
# For the interpreter that posts to start, and to end by itself.
_START_S = 5.0
LAST_CHANCE_S = 2.0
_POST = Path(__file__).with_name("post.py")
_SAID_LINES, _SAID_CHARS = 5, 500

Report = Callable[[str | None, str, dict[str, Any]], None]


class Announcer:
    """Sends what `rules` find; `report` writes into the journal."""

    def __init__(self, config: Config, report: Report, rules: Rules) -> None:
        self._loop = asyncio.get_running_loop()
        self._report = report
        self._rules = rules
        self._timer: asyncio.TimerHandle | None = None
        self._ways: list[Delivery] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._settings: tuple[Any, ...] = ()
        self.reconfigure(config)

    def take(self, record: Record) -> None:
        """Learn what happened. Never waits."""
        self._rules.take(record, time.monotonic())
        self._look()

    def reconfigure(self, config: Config) -> None:
        """Go on with another config; what waits for a way that is changed is tried once more."""
        self._masks = [re.compile(pattern) for pattern in config.logs.mask]
        settings = (config.alerts.command, config.alerts.webhook, config.root)
        if settings != self._settings:
            self._settings = settings
            for way in self._ways:
                task = self._loop.create_task(way.close(LAST_CHANCE_S))
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            self._ways = [Delivery(name, send, self._tell) for name, send in ways(config).items()]
        self._look()

    @property
    def undelivered(self) -> set[tuple[str, str]]:
        """Return of which bot and kind a message still waits, by any way."""
        return set().union(*(way.waiting for way in self._ways))

    async def close(self) -> None:
        """Give what waits a last, short chance."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        closing = [way.close(LAST_CHANCE_S) for way in self._ways]
        self._ways = []
        await asyncio.gather(*closing, *self._closing)

    def _look(self) -> None:
        """Send what is due, and see when to look again."""
        for alert in map(self._masked, self._rules.due(time.monotonic())):
            told = {"kind": alert.kind, "status": alert.status, "summary": alert.summary}
            self._report(alert.bot, "alert", told)
            for way in self._ways:
                way.put(alert)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (at := self._rules.next_at()) is not None:
            self._timer = self._loop.call_later(max(0.0, at - time.monotonic()), self._look)

    def _mask(self, text: str) -> str:
        return masked(text, self._masks)

    def _masked(self, alert: Alert) -> Alert:
        """Blot out what the config calls a secret: a bot's own reason may hold one."""
        fields = {
            name: self._mask(value) if isinstance(value, str) else value
            for name, value in alert.fields.items()
        }
        return replace(alert, summary=self._mask(alert.summary), fields=fields)

    def _tell(self, bot: str, event: str, fields: dict[str, Any]) -> None:
        said = self._mask(str(fields.pop("said", "")))
        self._report(bot, event, fields | ({"said": said} if said else {}))


def masked(text: str, masks: Iterable[re.Pattern[str]]) -> str:
    """Blot out what the config calls a secret."""
    for pattern in masks:
        text = pattern.sub("[masked]", text)
    return text


def ways(config: Config) -> dict[str, Callable[[Alert], Any]]:
    """Return how alerts are sent by this config; nothing: nobody is told."""
    found: dict[str, Callable[[Alert], Any]] = {}
    if config.alerts.command:
        found["command"] = partial(by_command, config.alerts.command, config.root)
    if config.alerts.webhook:
        found["webhook"] = partial(by_webhook, config.alerts.webhook)
    return found


async def by_command(command: tuple[str, ...], cwd: Path, alert: Alert) -> Outcome:
    """Run the command of the config with the alert."""
    env = environment.base({}, None)
    env |= {"STILLHERE_ALERT": alert.kind, "STILLHERE_BOT": alert.bot}
    text = json.dumps(alert.as_json(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    return await _run(command, text=text, cwd=cwd, env=env, within_s=COMMAND_S)


async def by_webhook(url: str, alert: Alert) -> Outcome:
    """Post the alert. No URL is in the outcome."""
    order = {
        "url": url,
        "agent": f"stillhere/{VERSION}",
        "timeout_s": POST_S,
        "body": alert.as_json(),
    }
    command = (sys.executable, "-I", "-S", str(_POST))
    text = json.dumps(order).encode()
    within_s = POST_S + _START_S
    done = await _run(command, text=text, cwd=Path("/"), env=os.environ, within_s=within_s)
    try:
        answer = json.loads(done.said)
    except ValueError:
        return Outcome(ok=False, why=done.why or "the program that posts has failed")
    return Outcome(**answer)


async def _run(
    command: tuple[str, ...], *, text: bytes, cwd: Path, env: Mapping[str, str], within_s: float
) -> Outcome:
    try:
        done = await errand.run(command, text=text, cwd=cwd, env=env, within_s=within_s)
    except SupervisorError as error:
        return Outcome(ok=False, why=error.message)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the command
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Outcome(ok=False, why=f"it could not be started: {why}")
    said = "\n".join(done.output.decode("utf-8", "replace").splitlines()[-_SAID_LINES:])
    said = said[-_SAID_CHARS:]
    match done.status:
        case 0:
            return Outcome(ok=True, said=said)
        case None:
            return Outcome(ok=False, why=f"it took longer than {within_s:g} s", said=said)
        case status:
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            return Outcome(ok=False, why=f"it ended with {how}", said=said)
