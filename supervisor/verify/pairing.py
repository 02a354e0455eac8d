"""Who scans the QR code of a bot that is tried: a command in place of the phone, or a person.

A code is a secret: it goes to the command's standard input or to the terminal, and nowhere else.
"""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from supervisor.config import BotConfig, Config, resolved_command
from supervisor.core.errors import SupervisorError
from supervisor.verify.watched import Watched

COMMAND_S = 60.0
_WORDS_MAX = 200

Item = Mapping[str, Any]


class Pairing(Protocol):
    """Has the QR code scanned, once."""

    def scan(self, watched: Watched, bot: str) -> None:
        """Return once it was scanned. Raises: SupervisorError."""
        ...


class ByCommand:
    """`[bot.NAME.verify] pair`: it gets the code's text on its standard input."""

    def __init__(self, config: Config, bot: BotConfig) -> None:
        # By the rules for the bot's own command: "python" is the project's.
        self._command = resolved_command(replace(bot, command=bot.verify.pair), config.root)
        self._bot = bot

    def scan(self, watched: Watched, bot: str) -> None:
        """Run the command to its end. Raises: SupervisorError: it failed, or took too long."""
        payload = ""
        for item in watched.client.stream("link", bot=bot):
            payload = str(item.get("qr", ""))
            break
        name = self._command[0]
        try:
            done = subprocess.run(
                self._command,
                cwd=self._bot.cwd,
                env={**os.environ, **self._bot.env},
                input=payload.encode(),
                capture_output=True,
                timeout=COMMAND_S,
                check=False,
            )
        except OSError as error:
            raise SupervisorError(
                f"{name} could not be run: {error.strerror}", f"see bot.{bot}.verify.pair"
            ) from error
        except subprocess.TimeoutExpired:
            raise SupervisorError(
                f"{name} did not end within {COMMAND_S:.0f} s", f"see bot.{bot}.verify.pair"
            ) from None
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
            said = last[0][:_WORDS_MAX]
            said = said.replace(payload, "[QR code]") if payload else said
            raise SupervisorError(f"{name} failed with status {done.returncode}: {said}")


class ByHand:
    """A person scans it. `show` draws what the stream `link` says, as often as it changes."""

    def __init__(self, show: Callable[[Item], None]) -> None:
        self._show = show

    def scan(self, watched: Watched, bot: str) -> None:
        """Show the code until it is scanned. Raises: SupervisorError."""
        for item in watched.client.stream("link", bot=bot):
            self._show(item)
