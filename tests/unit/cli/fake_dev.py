"""`stillhere` with a supervisor that only says what it was asked. Run as a program.

FAKE: `hang` does not stop when asked politely, `crash` has a bug, `pair` asks for a QR code, `busy`
refuses to start, `flood` writes without end and says in the FIFO at NOTE that it goes on, `count`
says there how often its loop woke.
"""

import asyncio
import os
import sys
import types
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from supervisor.core.errors import SupervisorError

MODE = os.environ.get("FAKE", "")


def _note(text: str) -> None:
    Path(os.environ["NOTE"]).write_text(f"{text}\n")


class Supervisor:
    """What the runner looks like from the command line."""

    def __init__(
        self,
        config: Any,
        *,
        dev: bool,
        console: Callable[[dict[str, Any]], None],
        output: Callable[[str, str, bytes], None],
        load: Callable[[], Any],
    ) -> None:
        del load
        self._console = console
        self._output = output
        self._bot = next(iter(config.bots))
        self._dev = dev
        self._stop = asyncio.Event()

    def _emit(self, event: str, **fields: Any) -> None:
        self._console({"t": "2026-11-24T22:00:00.000Z", "bot": None, "event": event, **fields})

    def _say(self, text: str) -> None:
        self._output(self._bot, "stdout", text.encode())

    async def run(self, bots: Sequence[str] | None = None) -> int:
        """Run until stopped."""
        if MODE == "busy":
            raise SupervisorError("another supervisor (pid 7) already runs", "stop it first")
        self._emit("supervisor_started", pid=os.getpid(), version="1.2.3")
        if MODE == "pair":
            self._console({"t": "", "bot": self._bot, "event": "pairing", "generation": 1})
        if MODE == "crash":
            raise RuntimeError("a bug of ours")
        self._say(f"the bot is up dev={self._dev} bots={bots}")
        if MODE == "flood":
            await self._flood()
        if MODE == "count":
            await self._count()
        await self._stop.wait()
        self._say("the bot said goodbye")
        return 3 if MODE == "failed" else 0

    async def _flood(self) -> None:
        written = 0
        while not self._stop.is_set():
            self._say("x" * 200)
            written += 1
            if written % 3000 == 0 and "NOTE" in os.environ:
                _note("on")
            yielded = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(yielded.set_result, None)
            await yielded

    async def _count(self) -> None:
        loop = asyncio.get_running_loop()
        selector = loop._selector  # type: ignore[attr-defined]  # to count its turns
        select, woke = selector.select, 0

        def counted(timeout: float | None = None) -> Any:
            nonlocal woke
            woke += 1
            return select(timeout)

        selector.select = counted
        loop.call_later(0.2, lambda: _note(str(woke)))

    def request_stop(self, *, hurry: bool = False) -> None:
        """Stop; in `hang` only if it is to be at once."""
        self._say(f"asked to stop hurry={hurry}")
        if MODE != "hang" or hurry:
            self._stop.set()

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Say what was asked."""
        self._say(f"asked {command} {sorted(args.items())}")
        if command == "session":
            raise SupervisorError("no snapshot could be taken", "look at the disk")
        if command in ("pause", "resume"):
            self._emit("paused" if command == "pause" else "resumed")

    async def stream(self, command: str, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Show one code, then the link."""
        self._say(f"asked {command} {sorted(args.items())}")
        yield {"qr": "the-secret-payload", "ttl_s": 20}
        yield {"linked": "device-1"}


if __name__ == "__main__":
    fake = types.ModuleType("supervisor.runner")
    fake.Supervisor = Supervisor  # type: ignore[attr-defined]  # a module made by hand
    sys.modules["supervisor.runner"] = fake
    from supervisor.cli.main import main

    main()
