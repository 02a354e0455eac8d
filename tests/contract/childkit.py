"""Runs one real child, and hears all that it says."""

import asyncio
import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor.core import events as ev
from supervisor.process import environment, tree
from supervisor.process.child import Child
from supervisor.process.plan import Plan

PATIENCE_S = 15.0
PYTHON = (sys.executable, "-I", "-S", "-c")

# What the scripts below share: `say` sends one datagram, `hold` waits for a signal.
PRELUDE = """
import os, signal, socket, subprocess, sys
def say(data, address=os.environ.get("NOTIFY_SOCKET")):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, address)
def hold():
    while True:
        signal.pause()
"""


def _adopt(on: int) -> None:
    assert ctypes.CDLL(None).prctl(tree.PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) == 0


@pytest.fixture
def adopting() -> Iterator[None]:
    """Adopt orphans as a supervisor does; afterwards none is left and the process is as before."""
    _adopt(1)
    before = set(tree.children(os.getpid()))
    yield
    left = [pid for pid in tree.children(os.getpid()) if pid not in before]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    _adopt(0)
    assert not left, "left behind"


def live(pids: Iterable[int]) -> list[int]:
    """Return those that are no zombies."""
    return [pid for pid in pids if tree.Stat(pid).state not in "ZX"]


class Watched:
    """A child, and all that it said."""

    def __init__(
        self,
        folder: Path,
        script: str,
        *,
        on_spare: Callable[[str], object] = lambda _: None,
        prompts: list[bytes] | None = None,
        **plan: Any,
    ) -> None:
        self.events: list[ev.Event] = []
        self.lines: list[tuple[str, bytes]] = []
        self.dropped: list[tuple[str, int]] = []
        self.qr_changes = 0
        self._prompts = prompts
        self._changed = asyncio.Event()
        known: dict[str, Any] = {
            "generation": 1,
            "token_prefix": "test",
            "command": (*PYTHON, PRELUDE + script),
            "cwd": folder,
            "env": environment.base({}, None),
            "session_id": "971505760056",
            "session_dir": folder,
            "notify": True,
            "socket_dir": folder,
        }
        self.child = Child(
            Plan(**(known | plan)),
            emit=self._heard,
            on_line=self._line,
            on_drop=lambda _generation, stream, count: self.dropped.append((stream, count)),
            on_qr=self._qr,
            on_spare=on_spare,
            on_prompt=None if prompts is None else self._prompt,
        )

    def _prompt(self, _generation: int, _stream: str, text: bytes) -> None:
        assert self._prompts is not None
        self._prompts.append(text)
        self._changed.set()

    def _heard(self, event: ev.Event) -> None:
        self.events.append(event)
        self._changed.set()

    def _line(self, _generation: int, stream: str, line: bytes) -> None:
        self.lines.append((stream, line))
        self._changed.set()

    def _qr(self) -> None:
        self.qr_changes += 1
        self._changed.set()

    async def until(self, true: Callable[[], object], words: str = "it") -> None:
        """Wait until something is true that an event or a line makes so."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"never {words}: {self.events} {self.lines[-5:]}") from None

    async def heard(self, kind: type[ev.Event]) -> Any:
        """Return the first event of that kind."""
        await self.until(lambda: any(isinstance(event, kind) for event in self.events), str(kind))
        return next(event for event in self.events if isinstance(event, kind))

    async def printed(self, line: bytes) -> None:
        """Wait for a line on its standard output."""
        await self.until(lambda: ("stdout", line) in self.lines, str(line))

    def kinds(self) -> list[str]:
        """Return the names of the events so far, the last ones of its life too."""
        return [type(event).__name__ for event in self.events]

    @property
    def text(self) -> bytes:
        """All that it printed on its standard output."""
        return b"".join(line + b"\n" for stream, line in self.lines if stream == "stdout")


@asynccontextmanager
async def watched(script: str, **plan: Any) -> AsyncIterator[Watched]:
    """Run a child for the block; at its end the whole tree is killed and proved gone."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryDirectory(prefix="n") as name:
        bot = Watched(Path(name), script, **plan)
        loop.add_signal_handler(signal.SIGCHLD, lambda: tree.reap_orphans([bot.child.pid]))
        try:
            yield bot
        finally:
            bot.child.kill()
            await bot.heard(ev.TreeGone)
            tree.reap_orphans([])
            loop.remove_signal_handler(signal.SIGCHLD)
