"""Who scans the QR code of a bot that is tried: a command in place of the phone, or a person.

A code is a secret: it goes to the command's standard input or to the terminal, and nowhere else.
"""

import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from supervisor.config import BotConfig, Config, resolved_command
from supervisor.core.errors import SupervisorError
from supervisor.verify.watched import Watched

CODE_S = 10.0
COMMAND_S = 60.0
_WORDS_MAX = 200
_TAIL_BYTES = 4000
_KILLED_S = 10.0
_PART = 8  # so many characters of a code are told to nobody

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
        payload = _code(watched, bot)
        name = self._command[0]
        try:
            status, said = self._run(payload)
        except OSError as error:
            raise SupervisorError(
                f"{name} could not be run: {error.strerror}", f"see bot.{bot}.verify.pair"
            ) from error
        except subprocess.TimeoutExpired:
            raise SupervisorError(
                f"{name} did not end within {COMMAND_S:.0f} s", f"see bot.{bot}.verify.pair"
            ) from None
        if status:
            raise SupervisorError(
                f"{name} failed with status {status}: {_last_words(said, payload)}"
            )

    def _run(self, payload: str) -> tuple[int, str]:
        """Run the command; return its exit status and what it wrote to its standard error.

        That goes to a file without a name: a pipe would be held open by what it leaves running.
        Raises: OSError, TimeoutExpired; then all of its process group was killed.
        """
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                self._command,
                cwd=self._bot.cwd,
                env={**os.environ, **self._bot.env},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                process.communicate(payload.encode(), COMMAND_S)
            except BaseException:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(_KILLED_S)
                raise
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return process.returncode, errors.read().decode("utf-8", "replace")


def _code(watched: Watched, bot: str) -> str:
    """Return the code's text; "" of a bot that shows none, as one that asks for a number."""
    shown: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        with suppress(SupervisorError):  # whoever waits for the link is told
            item = next(watched.client.stream("link", bot=bot), {})
            shown.put(str(item.get("qr", "")))

    threading.Thread(target=read, name="code", daemon=True).start()
    try:
        return shown.get(timeout=CODE_S)
    except queue.Empty:
        return ""


def _last_words(said: str, payload: str) -> str:
    """Return the last line of that, unless it may hold a part of the code."""
    last = (said.strip().splitlines() or [""])[-1].strip()
    part = min(_PART, len(payload))
    if payload and any(last[at : at + part] in payload for at in range(len(last) - part + 1)):
        return "(what it says holds the QR code)"
    return last[:_WORDS_MAX]


class ByHand:
    """A person scans it. `show` draws what the stream `link` says, as often as it changes."""

    def __init__(self, show: Callable[[Item], None]) -> None:
        self._show = show

    def scan(self, watched: Watched, bot: str) -> None:
        """Show the code until it is scanned. Raises: SupervisorError."""
        for item in watched.client.stream("link", bot=bot):
            self._show(item)
