"""Runs a supervisor in the foreground: signals, keys, the console, the QR code.

It turns what a person or the system does into requests to the supervisor; it decides nothing about
bots. However it ends, the terminal is as it was.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from loguru import logger

from supervisor.cli import early, logs, piped, qr, words
from supervisor.cli.console import Console
from supervisor.cli.keys import Keys
from supervisor.cli.screen import Screen
from supervisor.config import BotConfig, Config
from supervisor.control.journal import now
from supervisor.core.errors import SupervisorError

HELP = "keys: r restart, s snapshot, p pause, q quit, i a line to the bot"
AT_ONCE, FORCED = 2, 3
INTERRUPTED = 130
# A closing terminal must not keep us: what is not written by then is lost.
CLOSE_S = 1.0
LET_GO_S = 0.2
INFO = 6  # syslog(3)


class Runs(Protocol):
    """The part of the runner that is used here.

    `let_go`: gives the terminal back, and returns what takes it again.
    """

    let_go: Callable[[], Callable[[], None]]

    def request_reload(self) -> None:
        """Take the configuration anew, soon."""
        ...

    async def run(self, bots: Sequence[str] | None = None) -> int:
        """Run until stopped; return the exit code."""
        ...

    def request_stop(self, *, hurry: bool = False) -> None:
        """Stop all in good order, or at once."""
        ...

    async def call(self, command: str, args: dict[str, Any]) -> Any:
        """Do one thing."""
        ...

    def stream(self, command: str, args: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Follow something."""
        ...


def shipped(bot: BotConfig) -> bool:
    """Say whether this is the bot that ships: `make scan` and `make chat` are for it."""
    return bot.session is not None and tuple(bot.command[1:3]) == ("-m", "bot")


class Foreground:
    """One supervisor in the foreground. `build` makes it, given who listens to it."""

    def __init__(self, config: Config, bots: Sequence[str] | None, *, dev: bool) -> None:
        self._dev = dev
        self._chosen = [config.bots[name] for name in (bots or config.bots)]
        self._names = bots
        self._terminal = dev and os.isatty(1)
        self._console = Console(
            {bot.name: bot.session for bot in self._chosen},
            scan={bot.name: "make scan" for bot in self._chosen if shipped(bot)},
            shows_qr=self._terminal,
            has_keys=dev and os.isatty(0),
        )
        # Whom a typed line is for: the one that asked last, else the only one it can be for.
        with_session = [bot.name for bot in self._chosen if bot.session is not None]
        self._listener = with_session[0] if len(with_session) == 1 else None
        self._piped = self._listener if dev and not os.isatty(0) else None
        self._supervisor: Runs | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drawing: set[str] = set()
        self._interrupts = 0
        self._paused = False
        self._stopping = False
        self._hung_up = False
        self._terminated = False

    async def run(
        self,
        build: Callable[
            [Callable[[dict[str, Any]], None], Callable[[str, str, bytes], None]], Runs
        ],
        *,
        verbose: bool = False,
    ) -> int:
        """Run the supervisor until it is stopped; return its exit code."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            # A service goes on without its log's reader; a console without a terminal is over.
            if self._dev:
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._hang_up)

        self._screen = Screen(gone)
        self._keys = Keys(self._key, self._hang_up)
        # A calm terminal gets one line a restart; a log has to tell the whole story.
        details = verbose or not self._terminal
        self._look = logs.set_up(self._screen, dev=self._dev, details=details)
        try:
            self._supervisor = build(self._event, self._output)
            self._supervisor.let_go = self._let_go
            self._listen()
            if self._dev:
                self._keys.start()
            return await self._supervisor.run(self._names)
        finally:
            self._keys.stop()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=CLOSE_S)
            logger.remove()
            self._screen.close(CLOSE_S)

    # What the supervisor says.

    def _event(self, event: dict[str, Any]) -> None:
        kind, bot = event.get("event"), event.get("bot")
        if kind in ("paused", "resumed"):
            self._paused = kind == "paused"
        logs.tell(self._console.lines(event), event)
        if kind == "supervisor_started" and self._keys.active:
            logger.info(HELP)
        if kind == "pairing" and isinstance(bot, str) and self._terminal:
            self._draw(bot)
        if kind == "web_listening" and self._terminal and self._supervisor is not None:
            self._do(self._show_page(self._supervisor))
        if kind == "line_wanted" and isinstance(bot, str):
            self._listener = bot
        piped = self._piped
        if (
            kind == "spawned"
            and bot == piped
            and piped is not None
            and self._supervisor is not None
        ):
            self._piped = None
            self._do(self._forward(self._supervisor, piped))

    def _output(self, bot: str, stream: str, line: bytes) -> None:
        if self._look.journal is not None:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            who = self._console.name(bot)
            about = {"STILLHERE_BOT": bot, "STILLHERE_STREAM": stream}
            self._look.journal.send(f"{who} | {text}" if who else text, INFO, about)
            return
        name = self._console.name(bot).encode()
        prefix = name + b" | " if name else b""
        if prefix and self._look.colours:
            prefix = logs.DIM.encode() + prefix + logs.OFF.encode()
        self._screen.put(2 if stream == "stderr" else 1, prefix + line.rstrip(b"\r\n") + b"\n")

    def _draw(self, bot: str) -> None:
        if bot not in self._drawing and self._supervisor is not None:
            self._drawing.add(bot)
            self._do(self._show_codes(self._supervisor, bot))

    async def _show_codes(self, supervisor: Runs, bot: str) -> None:
        try:
            async for item in supervisor.stream("link", {"bot": bot}):
                payload = item.get("qr")
                if "linked" in item:
                    return
                if not isinstance(payload, str):
                    continue  # the bot has drawn it itself
                _, lines = qr.draw(payload, room=qr.columns(1), colours=self._look.colours)
                self._screen.put(1, "".join(f"{line}\n" for line in lines).encode())
        finally:
            self._drawing.discard(bot)

    async def _show_page(self, supervisor: Runs) -> None:
        """Show the page's address to who sits here; it has a secret in it, and is in no log."""
        found = await supervisor.call("web", {})
        logger.info("page: {}", found["url"])

    async def _forward(self, supervisor: Runs, bot: str) -> None:
        """Pass on what comes through a pipe, line by line. Its end means nothing."""
        async for line in piped.lines():
            await supervisor.call("input", {"bot": bot, "line": line, "wait": True})

    # What a person does.

    def _key(self, key: str) -> None:
        if self._stopping:
            return  # meant for the shell that comes back
        match key.lower():
            case "r":
                self._ask("restart")
            case "p":
                self._ask("resume" if self._paused else "pause")
            case "s":
                for bot in self._chosen:
                    if bot.session is not None:
                        self._ask("session", op="backup", id=bot.session)
            case "q":
                self._stop("stopping all bots in good order")
            case "i":
                self._let_type()
            case "?" | "h":
                logger.info(HELP)
            case _:
                pass

    def _let_type(self) -> None:
        bot = self._listener
        if bot is None:
            logger.info("no bot has asked for a line")
        elif self._keys.line(partial(self._typed, bot)):
            logger.info("a line for {}, then Enter; Ctrl-C: nothing is sent", words.clean(bot))

    def _typed(self, bot: str, line: str | None) -> None:
        if line is None:
            self._screen.put(1, b"\n")
            logger.info("nothing was sent to {}", words.clean(bot))
        elif self._supervisor is not None:
            args = {"bot": bot, "line": line, "wait": False}
            self._do(self._call(self._supervisor, "input", args))

    def _ask(self, command: str, **args: Any) -> None:
        if self._supervisor is None:
            return
        if command == "session":
            self._do(self._call(self._supervisor, command, args))
            return
        for name in self._names or (None,):
            self._do(self._call(self._supervisor, command, {"bot": name}))

    async def _call(self, supervisor: Runs, command: str, args: dict[str, Any]) -> None:
        asked = now()
        found = await supervisor.call(command, args)
        # A new one is an event; of an old one that is still the newest, only we can tell.
        if command == "session" and str(found.get("taken_at")) < asked:
            logger.info("nothing changed since snapshot {}", words.get(found, "id"))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SupervisorError):
            logger.error("{}", words.clean(error.message))
            if error.hint:
                logger.info("{}", words.clean(error.hint))
        elif error is not None:
            logger.opt(exception=error).error("unexpected: {!r}", error)

    # What the system does.

    def _listen(self) -> None:
        self._handle(signal.SIGINT, self._interrupt)
        self._handle(signal.SIGTERM, self._terminate)
        # A service has no terminal that could hang up: there SIGHUP asks for a reload.
        service = not self._dev and not os.isatty(0)
        self._handle(signal.SIGHUP, self._reload if service else self._hang_up)
        early.release()
        if self._dev and os.isatty(0):
            self._handle(signal.SIGTSTP, self._suspend)
            self._handle(signal.SIGCONT, self._keys.again)

    def _handle(self, number: signal.Signals, handler: Callable[[], None]) -> None:
        # What was ignored for us (nohup, a script's `&`) stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, handler)

    def _stop(self, text: str, *, hurry: bool = False) -> None:
        self._stopping = True
        logger.info(text)
        if self._supervisor is not None:
            self._supervisor.request_stop(hurry=hurry)

    def _interrupt(self) -> None:
        self._interrupts += 1
        if self._interrupts < AT_ONCE:
            self._stop("stopping all bots in good order; Ctrl-C again: at once")
        elif self._interrupts < FORCED:
            self._stop("stopping at once", hurry=True)
        else:
            # The stop itself hangs. The bots' parent-death signal ends what we leave.
            self._keys.stop()
            os._exit(INTERRUPTED)

    def _terminate(self) -> None:
        # `timeout` and `make` may both pass it on: it is said once.
        if not self._terminated:
            self._terminated = True
            self._stop("SIGTERM: stopping all bots in good order")

    def _reload(self) -> None:
        if self._supervisor is not None and not self._stopping:
            self._supervisor.request_reload()

    def _let_go(self) -> Callable[[], None]:
        """Give the terminal back: our program is replaced now. What is still to be shown is."""
        self._keys.give()
        self._screen.flush(LET_GO_S)
        return self._keys.take

    def _hang_up(self) -> None:
        # SIGHUP, the keys and the screen may all notice it.
        if not self._hung_up:
            self._hung_up = True
            self._stop("the terminal is gone: stopping all bots in good order")

    def _suspend(self) -> None:
        """Ctrl-Z: give the terminal back, stop, and take it again when we are continued."""
        self._keys.give()
        logger.info("suspended: the bots go on, unwatched; `fg` brings the console back")
        self._screen.flush(0.5)
        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGTSTP)
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGTSTP)
        # Here we stood still, until SIGCONT.
        self._handle(signal.SIGTSTP, self._suspend)
        self._keys.take()
        logger.info("back after {}", words.span(time.monotonic() - began))
