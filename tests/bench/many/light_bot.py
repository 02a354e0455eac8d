"""A light bot that speaks the contract: one of the many. Copied to `bots/NAME/main.py`, and run.

It writes its own instants to `traces/NAME`: `NS WORD PID VALUE` a line, CLOCK_MONOTONIC. VALUE is
what its `value.py` said when it was imported: which save this process runs.
"""

import time

START_NS = time.monotonic_ns()

import json  # noqa: E402 - the clock was read before any import
import os  # noqa: E402 - the same
import signal  # noqa: E402 - the same
from importlib import import_module  # noqa: E402 - the same
from pathlib import Path  # noqa: E402 - the same

from bot.link import Link  # noqa: E402 - the same

WORDS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class Trace:
    """One file of instants; each line is one write, so that no two lines mix."""

    def __init__(self, path: Path, value: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._value = value

    def add(self, word: str, at_ns: int | None = None) -> None:
        """Write down an instant: now, if none is given."""
        ns = time.monotonic_ns() if at_ns is None else at_ns
        os.write(self._fd, f"{ns} {word} {os.getpid()} {self._value}\n".encode())


class Session:
    """A device's few small files, one of which changes."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "state.json"
        self.device = json.loads((folder / "creds.json").read_text())["device"]
        self._seen = json.loads(self._file.read_text())["seen"]

    def save(self) -> None:
        """Write all that is in memory; the file is never half written."""
        self._seen += 1
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps({"seen": self._seen}))
        beside.replace(self._file)


def main() -> None:
    """Live one life."""
    here = Path(__file__).resolve().parent
    trace = Trace(here.parents[1] / "traces" / here.name, import_module("value").VALUE)
    trace.add("start", START_NS)
    signal.pthread_sigmask(signal.SIG_BLOCK, WORDS)  # they wait for sigwait: none is lost
    link = Link()
    link.caps("standby checkpoint:SIGUSR2")
    folder = link.standby()
    if folder is None:
        return
    trace.add("taken")
    session = Session(folder)
    session.save()
    trace.add("online")
    link.ready("restored", identity=session.device, proof="roundtrip")
    while signal.sigwait(WORDS) == signal.SIGUSR2:
        session.save()
        link.checkpointed()
    trace.add("term")
    session.save()
    trace.add("offline")
    link.released()
    os._exit(0)  # all is closed: an interpreter's own end would only take time


if __name__ == "__main__":
    main()
