"""The live part of one open page: what changed, as server-sent events.

Each follows the supervisor by itself, and only while its page is open. It keeps what is to be sent
and no more: a page that reads slowly gets the newest, not all.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from typing import Any

from supervisor.web import views
from supervisor.web.ask import Ask
from supervisor.web.pages import PARTS, Pages
from supervisor.web.sessions import Sessions

# What a person can't tell apart is sent as one.
CALM_S = 0.1
# Ages, memory, and what no event tells.
LOOK_S = 5.0
RETRY_MS = 1000
# A bot that asks for a link may have no code to show yet.
CODE_S = 1.0
# Asking takes the supervisor's time: of it we take so much at most.
SHARE = 5.0
# Events of a session's bot that leave its snapshots as they are.
_ELSEWHERE = frozenset({"changed", "held", "ready", "output_dropped", "line_wanted", "spawned"})


def _sent(event: str, data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()


class Feed:
    """Of one bot's page. `base`: the way from it to the first page."""

    def __init__(self, ask: Ask, sessions: Sessions, pages: Pages, *, bot: str, base: str) -> None:
        self._ask, self._sessions, self._pages = ask, sessions, pages
        self._bot, self._base = bot, base
        self._wake = asyncio.Event()
        self._restarts: deque[dict[str, Any]] = deque(maxlen=views.RESTARTS)
        self._lines: deque[dict[str, str]] = deque(maxlen=views.LINES)
        self._first = True
        self._code: dict[str, Any] | None = None
        self._codes = 0
        self._code_came = asyncio.Event()
        self._link: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False
        self._session: dict[str, Any] | None = None
        self._looked_at = 0.0
        self._stale = True
        self._shown: dict[str, str] = {}
        self._phase = ""

    async def run(self) -> AsyncGenerator[bytes, None]:
        """Yield events until the supervisor ends, or the page is gone."""
        yield f"retry: {RETRY_MS}\n\n".encode()
        # First what was: a page that was just loaded is not to flicker.
        async with aclosing(self._ask.stream("events", bot=self._bot, follow=False)) as events:
            async for event in events:
                self._note(event)
        self._follow(self._events())
        self._follow(self._logs())
        try:
            while not self._over:
                self._wake.clear()
                began = time.monotonic()
                for piece in await self._pieces():
                    yield piece
                pause_s = max(CALM_S, SHARE * (time.monotonic() - began))
                await asyncio.sleep(min(pause_s, LOOK_S))
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            for task in self._tasks:
                task.cancel()

    # What is followed.

    def _follow(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """End with the first stream that ends: the page comes again, and so do all of them."""
        self._tasks.discard(task)
        if task is self._link:
            self._link = self._code = None
            self._code_came.set()
        else:
            self._over = True
        if not task.cancelled():
            task.exception()  # the supervisor has gone: that is told by the end
        self._wake.set()

    async def _events(self) -> None:
        async with aclosing(self._ask.stream("events", follow=True)) as events:
            async for event in events:
                self._note(event)
                self._wake.set()

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("bot") != self._bot:
            return
        self._stale |= event.get("event") not in _ELSEWHERE
        if event.get("event") != "restarted" or event in self._restarts:
            return
        if not self._restarts or event["t"] >= self._restarts[-1]["t"]:  # else it is told again
            self._restarts.append(event)

    async def _logs(self) -> None:
        args = {"bot": self._bot, "follow": True, "lines": views.LINES}
        async with aclosing(self._ask.stream("logs", **args)) as lines:
            async for item in lines:
                self._lines.append(views.line(item))
                self._wake.set()

    async def _codes_shown(self) -> None:
        async with aclosing(self._ask.stream("link", bot=self._bot)) as items:
            async for item in items:
                self._codes += 1
                self._code = views.code(item, self._codes)
                self._code_came.set()
                self._wake.set()

    # What is sent.

    async def _pieces(self) -> list[bytes]:
        status = await self._ask.call("status")
        if self._bot not in (status.get("bots") or {}):
            self._over = True  # a reload took it away: the page comes again, and is told
            return []
        facts = await self._facts(status)
        pieces = []
        for name in PARTS:
            html = self._pages.part(name, **facts)
            if self._shown.get(name) != html:
                self._shown[name] = html
                pieces.append(_sent("part", {"id": name, "html": html}))
        if self._lines:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            pieces.append(_sent("lines", {"anew": self._first, "lines": lines}))
            self._first = False
        phase = facts["bot"]["phase"]
        if phase != self._phase and self._phase:
            pieces.append(_sent("said", f"{self._bot}: {phase}"))
        self._phase = phase
        return pieces

    async def _facts(self, status: dict[str, Any]) -> dict[str, Any]:
        bot = views.bot(self._bot, status["bots"][self._bot])
        if bot["phase"] == "pairing" and self._link is None:
            self._code_came.clear()
            self._link = self._follow(self._codes_shown())
            with suppress(TimeoutError):
                async with asyncio.timeout(CODE_S):
                    await self._code_came.wait()
        now = time.monotonic()
        if bot["session"] and (self._stale or now - self._looked_at > LOOK_S):
            self._stale, self._looked_at = False, now
            self._session = await self._sessions.shown(bot["session"]["id"])
        return {
            "base": self._base,
            "supervisor": status["supervisor"],
            "bots": views.bots(status),
            "bot": bot,
            "code": self._code if bot["phase"] == "pairing" else None,
            "restarts": views.restarts(self._restarts),
            "session": self._session,
        }
