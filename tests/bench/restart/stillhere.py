"""Ours, in the forms in which people have it."""

import sys
import time
from contextlib import suppress
from typing import Any

from supervisor.control.client import Client
from supervisor.core.errors import SupervisorError
from tests.bench import clock
from tests.bench.restart.tools import Tool

_SPARE_S, _ASK_AGAIN_S = 10.0, 0.05


class Stillhere(Tool):
    """A bot that is not modified; a spare interpreter waits, as is the default in `dev`."""

    name = "stillhere"
    program = sys.executable
    ours = True
    contract = False
    spare = True
    config = 'ready = { log = "^ready" }\n'

    def argv(self) -> list[str]:
        """Write the config, and run `dev` on it."""
        self.project.configure(self.config)
        return [sys.executable, "-m", "supervisor", "dev"]

    def prepared(self) -> bool:
        """Wait for the spare, if this form has one: a person saves less often than it takes."""
        until_s = time.monotonic() + _SPARE_S
        while self.spare and not self.status().get("spare"):
            if time.monotonic() > until_s:
                return False
            clock.wait(_ASK_AGAIN_S)
        return True

    def status(self) -> dict[str, Any]:
        """Return what `status --json` says of the bot; {} while nobody answers."""
        with suppress(SupervisorError):
            found = Client.for_config(self.project.root / "config.toml").call("status")
            return dict(found["bots"]["bench"])
        return {}


class Contract(Stillhere):
    """The bot that speaks the contract: it stands by, flushes when asked, says the last word."""

    name = "stillhere, contract"
    contract = True
    config = ""


class NoSpare(Contract):
    """The same, and no spare: the standby is a new interpreter."""

    name = "stillhere, contract, no spare"
    spare = False
    config = 'standby = "bot"\n'


OURS: tuple[type[Stillhere], ...] = (Stillhere, Contract, NoSpare)
