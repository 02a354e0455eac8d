"""The page: what each address answers. It knows nothing that it did not ask the supervisor for.

To look at a page changes nothing; what changes something is a form that is sent, and is done by
the supervisor. All works without JavaScript.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from supervisor.core.errors import SupervisorError
from supervisor.web import code, views, words
from supervisor.web.ask import Ask
from supervisor.web.feed import Feed
from supervisor.web.form import fields
from supervisor.web.guard import Guard, form_key, same
from supervisor.web.pages import HERE, Pages
from supervisor.web.sessions import Sessions

CODE_S = 3.0
# A browser opens six at most.
FEEDS = 12
_NOTICES = 50


class Site:
    """All pages. `token`: only to tell from it what forms must send along."""

    def __init__(self, ask: Ask, sessions: Sessions, token: str) -> None:
        self._ask, self._sessions = ask, sessions
        self._key = form_key(token)
        self._pages = Pages(self._key)
        self._notices: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count(1)
        self._feeds = 0

    def routes(self) -> list[Route | Mount]:
        """Return what is answered where."""
        static = StaticFiles(directory=HERE / "static")
        posts: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "restart": self.restart,
            "snapshot": self.snapshot,
            "restore": self.restore,
            "clear": self.clear,
        }
        return [
            Route("/", self.first),
            Route("/bot/{bot}", self.bot),
            Route("/bot/{bot}/feed", self.feed),
            Route("/bot/{bot}/code.svg", self.code),
            Route("/bot/{bot}/restore", self.ask_restore, methods=["GET"]),
            Route("/bot/{bot}/clear", self.ask_clear, methods=["GET"]),
            *(
                Route(f"/bot/{{bot}}/{name}", self._told(post), methods=["POST"])
                for name, post in posts.items()
            ),
            Mount("/static", static),
        ]

    # To look at.

    async def first(self, _request: Request) -> Response:
        """Show the first bot."""
        name = views.chosen(await self._ask.call("status"))
        if name is None:
            raise HTTPException(404, "no bot runs here")
        return RedirectResponse(f"bot/{name}", 303)

    async def bot(self, request: Request) -> Response:
        """Show one bot."""
        status, bot = await self._found(request)
        name = bot["name"]
        events, lines = await asyncio.gather(
            self._all("events", bot=name, follow=False),
            self._all("logs", bot=name, follow=False, lines=views.LINES),
        )
        session_id = bot["session"].get("id")
        found = {
            "restarts": views.restarts([e for e in events if e.get("bot") == name]),
            "lines": [views.line(item) for item in lines],
            "session": await self._sessions.shown(session_id) if session_id else None,
            "code": None,
            "notice": self._notices.get(request.query_params.get("said", "")),
        }
        if bot["phase"] == "pairing":
            found["code"] = views.code(await self._code(name), 0)
        return self._page(request, "bot", status, bot=bot, **found)

    async def feed(self, request: Request) -> Response:
        """Tell an open page what changes."""
        _, bot = await self._found(request)
        if self._feeds >= FEEDS:
            raise HTTPException(503, "too many pages are open at once")
        feed = Feed(self._ask, self._sessions, self._pages, bot=bot["name"], base="../")

        async def counted() -> Any:
            self._feeds += 1
            try:
                async with aclosing(feed.run()) as pieces:
                    async for piece in pieces:
                        yield piece
            except SupervisorError:
                return  # the supervisor has gone; the page will see whether it comes again
            finally:
                self._feeds -= 1

        return StreamingResponse(counted(), media_type="text/event-stream")

    async def code(self, request: Request) -> Response:
        """Draw the QR code of now."""
        _, bot = await self._found(request)
        item = await self._code(bot["name"])
        try:
            if isinstance(item.get("qr"), str):
                drawn = code.picture(item["qr"])
            else:
                drawn = code.copy([str(row) for row in item.get("picture") or ()])
        except ValueError as error:
            raise HTTPException(404, f"no QR code can be shown now: {error}") from error
        return Response(drawn, media_type="image/svg+xml")

    async def ask_restore(self, request: Request) -> Response:
        """Show what a restore would change, and ask."""
        status, bot, info = await self._with_session(request)
        wanted = views.snapshot(info, request.query_params.get("snapshot", ""))
        if wanted is None:
            raise HTTPException(404, "there is no such snapshot any more")
        return self._page(request, "restore", status, bot=bot, session=info, snapshot=wanted)

    async def ask_clear(self, request: Request) -> Response:
        """Show what it means to clear a session, and ask for its id."""
        status, bot, info = await self._with_session(request)
        return self._page(request, "clear", status, bot=bot, session=info, wrong=False)

    # To change something.

    async def restart(self, request: Request) -> Response:
        """Restart a bot, or start one that is down; how it goes is seen on its page."""
        _, bot, _ = await self._sent(request)
        command = "start" if bot["phase"] == "down" else "restart"
        await self._ask.call(command, bot=bot["name"])
        return self._said(bot["name"], f"a {command} was asked for")

    async def snapshot(self, request: Request) -> Response:
        """Take a snapshot."""
        _, bot, _ = await self._sent(request)
        taken = await self._ask.call("session", op="backup", id=_session_of(bot))
        text = f"snapshot {taken['id']}: {words.size(taken['size_bytes'])}, {taken['verdict']}"
        return self._said(bot["name"], text, "bad" if taken["verdict"] == "bad" else "good")

    async def restore(self, request: Request) -> Response:
        """Restore a snapshot that was shown before."""
        _, bot, form = await self._sent(request)
        wanted = form.get("snapshot", "")
        if not wanted:
            raise HTTPException(400, "which snapshot?")
        session = _session_of(bot)
        await self._ask.call("session", op="restore", id=session, snapshot=wanted)
        text = f"restored from {wanted}; the session before is in quarantine"
        return self._said(bot["name"], text, "good")

    async def clear(self, request: Request) -> Response:
        """End a session, if its id was typed."""
        status, bot, form = await self._sent(request)
        session = _session_of(bot)
        if form.get("typed", "").strip() != session:
            info = await self._sessions.shown(session)
            facts = {"bot": bot, "session": info, "wrong": True}
            return self._page(request, "clear", status, **facts)
        await self._ask.call("session", op="clear", id=session)
        return self._said(bot["name"], "cleared: next, a new QR code is shown")

    # Helpers.

    def _told(
        self, post: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Have what the supervisor refuses said on the bot's page."""

        async def told(request: Request) -> Response:
            try:
                return await post(request)
            except SupervisorError as error:
                text = f"not done: {error.message}" + (f" ({error.hint})" if error.hint else "")
                return self._said(request.path_params["bot"], text, "bad")

        return told

    async def _found(self, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
        status = await self._ask.call("status")
        name = request.path_params["bot"]
        if name not in (status.get("bots") or {}):
            raise HTTPException(404, "there is no such bot")
        return status, views.bot(name, status["bots"][name])

    async def _with_session(self, request: Request) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        status, bot = await self._found(request)
        return status, bot, await self._sessions.info(_session_of(bot))

    async def _sent(
        self, request: Request
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
        """Return whom a form is about and what it says, if it is one of ours."""
        form = await fields(request)
        if not same(form.get("key", ""), self._key):
            raise HTTPException(403, "this form is not of this page: load it anew")
        status, bot = await self._found(request)
        return status, bot, form

    async def _all(self, command: str, **args: Any) -> list[dict[str, Any]]:
        async with aclosing(self._ask.stream(command, **args)) as items:
            return [item async for item in items]

    async def _code(self, name: str) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(CODE_S),
                aclosing(self._ask.stream("link", bot=name)) as items,
            ):
                return await anext(items)
        except (TimeoutError, StopAsyncIteration, SupervisorError):
            return {}

    def _page(self, request: Request, name: str, status: dict[str, Any], **facts: Any) -> Response:
        facts |= {"supervisor": status["supervisor"], "bots": views.bots(status)}
        return HTMLResponse(self._pages.page(name, base=_base(request), **facts))

    def _said(self, bot: str, text: str, tone: str = "") -> Response:
        """Go back to the bot's page, which says this."""
        number = str(next(self._numbers))
        self._notices[number] = {"text": text, "tone": tone}
        while len(self._notices) > _NOTICES:
            del self._notices[next(iter(self._notices))]
        return RedirectResponse(f"../{bot}?said={number}", 303)

    async def wrong(self, request: Request, error: Exception) -> Response:
        """Say what went wrong."""
        hint, status = "", 500
        if isinstance(error, HTTPException):
            text, status = str(error.detail), error.status_code
        elif isinstance(error, SupervisorError):
            text, hint, status = error.message, error.hint, 502
        elif isinstance(error, ClientDisconnect):
            return Response(status_code=400)
        else:
            text = f"a bug in this page: {type(error).__name__}"
        facts = {"text": text, "hint": hint, "status": status, "bots": [], "bot": None}
        return HTMLResponse(
            self._pages.page("wrong", base=_base(request), supervisor={}, **facts), status
        )


def _base(request: Request) -> str:
    """Return the way from a page to the first one: no page needs to know the token."""
    return "../" * (request.url.path.count("/") - 1) or "./"


def _session_of(bot: dict[str, Any]) -> str:
    session = bot["session"].get("id")
    if not session:
        raise HTTPException(404, "this bot has no session")
    return str(session)


def application(*, token: str, port: int, config: Path, control: Path) -> ASGIApp:
    """Return the whole of it."""
    site = Site(Ask(control, config), Sessions(config), token)
    handlers: dict[Any, Any] = {
        HTTPException: site.wrong,
        SupervisorError: site.wrong,
        ClientDisconnect: site.wrong,
        Exception: site.wrong,
    }
    app = Starlette(routes=site.routes(), exception_handlers=handlers)
    return Guard(app, token=token, port=port)
