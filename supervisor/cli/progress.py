"""One line on stderr that says how far a long command is, and is gone when it ends."""

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from supervisor.cli import words
from supervisor.cli.tables import width
from supervisor.control.client import Client
from supervisor.control.journal import now
from supervisor.core.errors import SupervisorError

if TYPE_CHECKING:
    from supervisor.session.manager import SessionManager

AFTER_S = 1.0
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """Shows what a manager says of its `progress`, on a terminal and after a second.

    `doing`: what the command does, where the session room does not say it. As a context manager.
    """

    def __init__(self, doing: str, manager: "SessionManager | None" = None) -> None:
        self._doing = doing
        self._manager = manager
        self._begin = time.monotonic()
        self._shown = False
        stream: TextIO | None = sys.stderr
        self._stream = stream if stream is not None and draws(stream) else None

    @property
    def draws(self) -> bool:
        """Whether anybody can see it."""
        return self._stream is not None

    def __enter__(self) -> Self:
        if self._manager is not None and self._stream is not None:
            manager = self._manager
            manager.progress = lambda done, total: self.show(
                manager.doing or self._doing, done, total
            )
        return self

    def show(self, doing: str, done_bytes: object, total_bytes: object) -> None:
        """Put this in the place of what was shown before."""
        if self._stream is None or time.monotonic() - self._begin < AFTER_S:
            return
        text = words.progress(words.clean(doing), done_bytes, total_bytes)
        try:
            room = os.get_terminal_size(self._stream.fileno()).columns or 80
        except OSError:
            self._stream = None  # as below
            return
        while width(text) >= room and text:
            text = text[:-1]
        self._write(_CLEAR + text)
        self._shown = True

    def _write(self, text: str) -> None:
        try:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        except OSError:
            self._stream = None  # the terminal is gone; the work goes on

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._manager is not None:
            self._manager.progress = None
        if self._shown:
            self._write(_CLEAR)


class Follower:
    """Hands on what a supervisor tells of one bot (None: of all) while a request is answered.

    `tell`: gets each event from now on, in a thread; no more of them once the block is left.
    """

    def __init__(
        self, client: Client, bot: str | None, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self._client = client
        self._bot = bot
        self._tell = tell
        self._since = now()
        self._turn = threading.Lock()
        self._over = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._follow, daemon=True).start()
        return self

    def _follow(self) -> None:
        try:
            for event in self._client.stream("events", bot=self._bot, follow=True):
                with self._turn:
                    if self._over:
                        return
                    if str(event.get("t", "")) >= self._since:
                        self._tell(event)
        except SupervisorError:
            return  # the request itself tells what is wrong

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._turn:
            self._over = True


class Following:
    """Shows what a supervisor tells of one bot's progress, while a request to it is answered."""

    def __init__(self, client: Client, bot: str | None) -> None:
        self._line = ProgressLine("")
        self._follower = Follower(client, bot, self._show)

    def __enter__(self) -> Self:
        if self._line.draws:
            self._follower.__enter__()
        return self

    def _show(self, event: dict[str, Any]) -> None:
        if event.get("event") == "session_progress":
            doing = words.get(event, "doing")
            self._line.show(doing, event.get("done_bytes"), event.get("total_bytes"))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._follower.__exit__(kind, error, trace)
        self._line.__exit__(kind, error, trace)


def draws(stream: TextIO) -> bool:
    """Say whether a person sees what is drawn there."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
