"""Single keys from a terminal, now and then a line; it is given back as it was on every way out.

It reads only while we are in the foreground: a background process that reads, or sets the mode of,
its terminal is stopped by SIGTTIN or SIGTTOU, and the bots with it.
"""

import asyncio
import atexit
import errno
import os
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

LOOK_AGAIN_S = 1.0
_LINE_BYTES = 4096  # no terminal holds a longer one
_CANCEL = b"\x03"  # Ctrl-C
_NOTHING = b"\0"  # where a control character is disabled


@contextmanager
def _no_stop() -> Iterator[None]:
    """Keep SIGTTIN and SIGTTOU from stopping us should we lose the foreground just now."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN, signal.SIGTTOU})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


Place = Literal["ours", "background", "gone"]


def _key_mode(mode: list[Any]) -> list[Any]:
    mode[3] &= ~(termios.ECHO | termios.ICANON)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    return mode


def _line_mode(mode: list[Any]) -> list[Any]:
    """Lines and echo. Ctrl-C ends the line, and is no signal: `make` above us would get it too."""
    mode[0] |= termios.ICRNL
    mode[3] |= termios.ECHO | termios.ICANON
    mode[6][termios.VINTR], mode[6][termios.VEOL] = _NOTHING, _CANCEL
    return mode


def place(descriptor: int) -> Place:
    """Say whether we may use the terminal now."""
    try:
        return "ours" if os.tcgetpgrp(descriptor) == os.getpgrp() else "background"
    except OSError as error:
        # ENOTTY: not our controlling terminal, so nobody stops us for using it.
        return "ours" if error.errno == errno.ENOTTY else "gone"


class Keys:
    """Reads keys and passes them on. `on_gone`: the terminal was closed."""

    def __init__(
        self,
        on_key: Callable[[str], None],
        on_gone: Callable[[], None],
        *,
        descriptor: int = 0,
    ) -> None:
        self._on_key = on_key
        self._on_gone = on_gone
        self._fd = descriptor
        self._saved: list[Any] | None = None
        self._keys: list[Any] = []
        self._mode: list[Any] = []
        self._on_line: Callable[[str | None], None] | None = None
        self._line = b""
        self._reading = False
        self._on = False
        self._later: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Say whether keys are read now."""
        return self._reading

    def start(self) -> None:
        """Read keys from now on, if there is a terminal and it is ours to use."""
        try:
            if not os.isatty(self._fd):
                return
        except OSError:
            return
        self._on = True
        atexit.register(self.restore)
        self.take()

    def take(self) -> None:
        """Take the terminal if we are in the foreground, else look again later (`bg`, `fg`)."""
        if not self._on or self._reading:
            return
        if self._later is not None:
            self._later.cancel()
            self._later = None
        loop = asyncio.get_running_loop()
        where = place(self._fd)
        if where == "background":
            self._later = loop.call_later(LOOK_AGAIN_S, self.take)
            return
        if where == "gone":
            self._lost()
            return
        try:
            with _no_stop():
                saved = termios.tcgetattr(self._fd)
                self._mode = self._keys = _key_mode(termios.tcgetattr(self._fd))
                self._apply()
        except termios.error:
            self._lost()
            return
        self._saved = saved
        self._reading = True
        loop.add_reader(self._fd, self._read)

    def again(self) -> None:
        """After a SIGCONT: the shell may have set its own mode meanwhile, so set ours again."""
        if not self._reading:
            self.take()
        elif place(self._fd) == "ours":
            with _no_stop(), suppress(termios.error):
                self._apply()

    def _apply(self) -> None:
        # Not TCSADRAIN: with the output stopped by Ctrl-S that would wait for ever.
        termios.tcsetattr(self._fd, termios.TCSANOW, self._mode)

    def line(self, on_line: Callable[[str | None], None]) -> bool:
        """Let a line be typed, keys again after it. None is passed on if it is cancelled.

        Returns whether that is possible now.
        """
        if not self._reading or self._on_line is not None:
            return False
        try:
            with _no_stop():
                self._mode = _line_mode(termios.tcgetattr(self._fd))
                self._apply()
        except termios.error:
            return False
        self._on_line, self._line = on_line, b""
        return True

    def _typed(self, data: bytes) -> None:
        """Take what was typed of a line; nothing at all is Ctrl-D."""
        # What was typed before the mode was set comes in pieces of its own.
        self._line += data
        line, end, _ = self._line.partition(b"\n")
        cancelled = not data or _CANCEL in self._line
        if not cancelled and not end:
            return
        self._mode = self._keys
        with _no_stop(), suppress(termios.error):
            # What was pasted behind the line is no keys.
            termios.tcflush(self._fd, termios.TCIFLUSH)
            self._apply()
        self._end_line(None if cancelled else line.decode("utf-8", "surrogateescape"))

    def _end_line(self, line: str | None) -> None:
        on_line, self._on_line, self._line = self._on_line, None, b""
        if on_line is not None:
            on_line(line)

    def give(self) -> None:
        """Give the terminal back for a while: before a stop. A line that is typed is cancelled."""
        self._end_line(None)
        if self._reading:
            self._reading = False
            with suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._fd)
        self.restore()

    def stop(self) -> None:
        """Give the terminal back for good."""
        self._on = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self.give()
        atexit.unregister(self.restore)

    def restore(self) -> None:
        """Set the terminal's mode back; the background leaves it to the shell."""
        saved, self._saved = self._saved, None
        if saved is not None and place(self._fd) == "ours":
            with _no_stop(), suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, saved)

    def _read(self) -> None:
        where = place(self._fd)
        if where == "background":
            # What is typed is for somebody else, and the shell has set its own mode.
            self._saved = None
            self.give()
            self.take()
            return
        data = b""
        if where == "ours":
            try:
                # One key, for what follows an `i` is a line already.
                with _no_stop():
                    data = os.read(self._fd, 1 if self._on_line is None else _LINE_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
        if self._on_line is not None and place(self._fd) == "ours":
            self._typed(data)
            return
        if not data and place(self._fd) != "background":
            # In this mode Ctrl-D is a character: the end means that the terminal is gone.
            self._lost()
        for character in data.decode("ascii", "ignore"):
            self._on_key(character)

    def _lost(self) -> None:
        self._saved = None
        self.stop()
        self._on_gone()
