"""The bot's own instants: `NS WORD PID VALUE` a line, CLOCK_MONOTONIC, appended to `../trace`.

It is imported first, so that `START_S` is the program's first moment.
"""

import os
import time

START_S = time.monotonic()
_TRACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "trace")  # noqa: PTH118, PTH100, PTH120 - pathlib is an import that this bot need not have


class Stamps:
    """One process's line after line; each is one write, so that no two mix."""

    def __init__(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(_TRACE, flags, 0o600)
        # What value.py said: which save this process runs. 0 until it was imported.
        self.value = 0
        self.add("start", int(START_S * 1e9))

    def add(self, word: str, at_ns: int = 0) -> None:
        """Write down an instant: now, if none is given."""
        ns = at_ns or time.monotonic_ns()
        os.write(self._fd, f"{ns} {word} {os.getpid()} {self.value}\n".encode())
