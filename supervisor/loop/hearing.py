"""Listens to a bot that does not speak the contract, and speaks for it.

By what it prints (the preset's patterns, a drawn QR code), by a probe from outside, by the files of
its session. It says so in the contract's words, on the bot's behalf; who speaks for itself is
believed, and not listened to.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from supervisor.config import BotConfig
from supervisor.presets.ear import Ear, Words
from supervisor.process import probes
from supervisor.process.child import Child
from supervisor.process.output import asks

# A code is drawn at once, and its last row may have no line after it.
_DRAWN_S = 0.15
# How often the files are asked whether somebody has scanned the code, and whether the bot lives.
_LOOK_S = 1.0
# How often a doubt is worth a restart: who writes to the bot may say it all day.
_DOUBT_AGAIN_S = 600.0
# So long a person may think about what a bot asks: 10 min.
_PATIENCE_USEC = "600000000"
# What it says of itself that explains why it is not up: that it runs is no sign any more.
_EXPLAINS = ("pairing", "offline", "lost", "conflict")


@dataclass(slots=True)
class _Listener:
    child: Child
    ear: Ear
    up: bool = False
    explained: bool = False
    asked: bool = False  # a person, for a line
    vouched: bool = False  # its files are being asked
    before: str | None = None  # whose device the files named when a code was shown
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    @property
    def listens(self) -> bool:
        return self.child.status is None and not self.child.heard.spoke


class Hearing:
    """Listens to the generations of one bot. Only in the loop's thread.

    `task` runs a coroutine; `whose` reads from the session's files whose device it is; `restart`
    asks for one; `on_code`: a drawn code came; `prefix`: executes a probe's command as the bot's
    own user.
    """

    def __init__(
        self,
        bot: BotConfig,
        *,
        task: Callable[[Coroutine[Any, Any, None]], None],
        whose: Callable[[], Awaitable[str]],
        restart: Callable[[], None],
        report: Callable[..., None],
        on_code: Callable[[], None],
        prefix: Sequence[str],
    ) -> None:
        self._bot = bot
        self._task = task
        self._whose = whose
        self._restart = restart
        self._doubted_at = -math.inf
        self._told_unheard = False
        self._report = report
        self._on_code = on_code
        self._prefix = prefix
        self._loop = asyncio.get_running_loop()
        self._of: dict[int, _Listener] = {}

    def reconfigure(self, bot: BotConfig) -> None:
        """Listen to the next ones by other settings."""
        self._bot = bot

    def begin(self, child: Child, *, waits: bool) -> None:
        """Listen to a new generation; `waits`: it stands by, and must not be up yet."""
        listener = self._listen(child)
        if waits:
            return
        if listener is None:
            self._loop.call_later(self._bot.restore_timeout_s, self._unheard, child)
            return
        self._wait_and_see(listener)
        if self._bot.ready.kind not in ("alive", "log"):
            self._task(self._probe(listener, time.time_ns()))

    def _unheard(self, child: Child) -> None:
        """Say what to do of a bot that was to speak for itself, and said nothing: once."""
        silent = child.status is None and not child.heard.spoke
        if silent and not self._told_unheard and self._bot.ready.kind == "notify":
            self._told_unheard = True
            self._report(
                "unheard", generation=child.generation, after_s=self._bot.restore_timeout_s
            )

    def _wait_and_see(self, listener: _Listener) -> None:
        if isinstance(self._bot.ready.value, float) and not listener.explained:
            self._later(listener, "alive", self._bot.ready.value, self._has_run)

    def adopt(self, child: Child) -> None:
        """Go on with a generation that an earlier program of ours has listened to."""
        if (listener := self._listen(child)) is not None:
            listener.up = child.speech.may_drop = True

    def _listen(self, child: Child) -> _Listener | None:
        ready = self._bot.ready
        if ready.kind == "notify":
            return None
        output = self._bot.library.output
        if ready.kind == "log":
            output = replace(output, ready=(re.compile(str(ready.value)),))
        elif ready.kind != "alive":
            output = replace(output, ready=())  # a probe decides
        listener = _Listener(child, Ear(output))
        # The line that is waited for may stand in a flood.
        child.speech.may_drop = not output.ready
        child.speech.on_code = partial(self._code_told, listener)
        self._of[child.generation] = listener
        return listener

    def forget(self, generation: int) -> None:
        """It is gone."""
        listener = self._of.pop(generation, None)
        if listener is not None:
            self._never(listener, *listener.timers)

    def code(self, generation: int | None) -> tuple[str, ...]:
        """Return the rows of the QR code that it drew last, and that waits to be scanned."""
        listener = None if generation is None else self._of.get(generation)
        return listener.ear.picture.code if listener is not None and listener.ear.paired else ()

    # What it prints.

    def prompt(self, generation: int, begun: bytes) -> None:
        """Take a line that has not ended: somebody may be asked for something."""
        listener = self._of.get(generation)
        if listener is None or not listener.listens:
            return
        if words := listener.ear.hear(begun.decode("utf-8", "replace")):
            self._take(listener, words)
        elif not listener.up and asks(begun):
            # It is up once it goes on, and a person may take their time.
            self._never(listener, "alive")
            listener.asked = True
            listener.child.interpret({"EXTEND_TIMEOUT_USEC": _PATIENCE_USEC})

    def line(self, generation: int, text: str) -> None:
        """Take a line that it printed."""
        listener = self._of.get(generation)
        if listener is None:
            return
        if not listener.listens:
            listener.child.speech.may_drop = True  # no line of it is waited for
            return
        if listener.asked:
            listener.asked = False
            self._wait_and_see(listener)
        drew = listener.ear.picture.drawing
        words = listener.ear.hear(text)
        if listener.ear.picture.drawing:
            self._later(listener, "code", _DRAWN_S, self._drawn)
        elif drew:  # before what it says next, which may be that somebody has scanned it
            self._never(listener, "code")
            self._drawn(listener)
        if words:
            self._take(listener, words)

    def _code_told(self, listener: _Listener, code: str) -> None:
        """It prints what a QR code must encode, for whoever draws it: we do."""
        if listener.listens:
            self._take(listener, {**listener.ear.code_shown(), "X_STILLHERE_QR": code})

    def _drawn(self, listener: _Listener) -> None:
        if listener.listens and listener.ear.picture.code:
            self._take(listener, listener.ear.code_shown())
            self._on_code()

    def _take(self, listener: _Listener, words: Words) -> None:
        if "READY" in words:
            self._seen_up(listener, words)
            return
        state = words.get("X_STILLHERE_SESSION")
        if state == "lost" and listener.up:
            self._doubt(listener, words)
            return
        if state in _EXPLAINS:
            listener.explained = True
            self._never(listener, "alive")
        if state == "pairing" and "look" not in listener.timers:
            listener.before = None
            self._later(listener, "look", 0.0, self._look)
        listener.child.interpret(words)

    def _doubt(self, listener: _Listener, words: Words) -> None:
        """Look into a lost link that is told while it is up: a stranger's message may say so.

        Before a bot is up nobody can write to it. So a start tells: what is true is said again.
        """
        now = time.monotonic()
        looks = now - self._doubted_at >= _DOUBT_AGAIN_S
        reason = listener.child.speech.clean(words.get("X_STILLHERE_REASON", ""))
        self._report(
            "loss_doubted", generation=listener.child.generation, reason=reason, restarts=looks
        )
        if looks:
            self._doubted_at = now
            self._restart()

    # Whether it is up.

    def _seen_up(self, listener: _Listener, words: Words) -> None:
        """Ask its files whose device it is, once: what says that it is up may come all the time."""
        news = listener.explained or listener.ear.paired or not listener.up
        if news and not listener.vouched:
            listener.vouched = True
            self._task(self._vouch(listener, words))

    async def _vouch(self, listener: _Listener, words: Words) -> None:
        """Say that it is up, and as which device by its files."""
        try:
            identity = await self._whose()
        finally:
            listener.vouched = False
        if not listener.listens:
            return
        listener.up = listener.child.speech.may_drop = True
        listener.explained = False
        self._never(listener, "alive", "look")
        known = identity or words.get("X_STILLHERE_IDENTITY", "")
        listener.child.interpret({**words, **listener.ear.up(known)})

    def _has_run(self, listener: _Listener) -> None:
        if listener.up or listener.explained or not listener.listens:
            return
        self._report(
            "ready_assumed", generation=listener.child.generation, after_s=self._bot.ready.value
        )
        self._seen_up(listener, {})

    async def _probe(self, listener: _Listener, since_ns: int) -> None:
        child = listener.child
        probe = asyncio.ensure_future(
            probes.wait_ready(
                self._bot.ready,
                cwd=self._bot.cwd,
                env=child.plan.env,
                since_ns=since_ns,
                prefix=self._prefix,
            )
        )
        try:
            while not probe.done() and child.status is None:
                await asyncio.wait([probe], timeout=_LOOK_S)
            if probe.done():
                probe.result()
                await self._vouch(listener, {})
        finally:
            probe.cancel()

    # Whether somebody has scanned its code.

    def _look(self, listener: _Listener) -> None:
        self._task(self._look_at_files(listener))

    async def _look_at_files(self, listener: _Listener) -> None:
        whose = await self._whose()
        if listener.before is None:
            listener.before = whose
        if not listener.listens or not listener.ear.paired:
            self._never(listener, "look")
        elif whose and whose != listener.before:
            await self._vouch(listener, {})
        else:
            self._later(listener, "look", _LOOK_S, self._look)

    def _later(
        self, listener: _Listener, name: str, seconds: float, call: Callable[[_Listener], None]
    ) -> None:
        self._never(listener, name)
        listener.timers[name] = self._loop.call_later(seconds, call, listener)

    def _never(self, listener: _Listener, *names: str) -> None:
        for name in names:
            if (timer := listener.timers.pop(name, None)) is not None:
                timer.cancel()
