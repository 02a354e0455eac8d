"""Towards the manager above us, systemd: sd_notify, and the watchdog's pings. Decides nothing.

sd_notify(3), sd_watchdog_enabled(3), systemd.service(5). It never blocks and never raises: what
cannot be said now, because the socket is full, is said soon. Without a manager it is silent.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from supervisor.service.standing import Standing

# One ping late, or even two, is no hang of ours.
_PINGS_A_PERIOD = 3
_AGAIN_S = 0.1
_STATUS = "STATUS="
# A burst of steps makes one line.
_SETTLE_S = 0.05
# While bots start or stop, as they do in a reload, each phase has its own deadline; so long a
# timeout of the manager's is put off at a time, as long as the loop turns.
_EXTEND_S = 20.0
_EXTEND_EVERY_S = 5.0


class Upward:
    """Says READY once, STATUS whenever it changes, and pings from the event loop.

    `stand()` returns how the bots stand. `patience_s`: after that we are ready even if some bot
    is still to come: the others serve, and the line says who does not. Of the loop's thread.
    """

    def __init__(
        self,
        stand: Callable[[], Standing],
        *,
        patience_s: float,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        env = os.environ if environ is None else environ
        self._stand = stand
        self._patience_s = patience_s
        self._address = _address(env.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        usec = env.get("WATCHDOG_USEC", "")
        ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if ours and usec.isdecimal() and int(usec) else None
        self._said = ""
        self._ready = False
        self._reloading = False
        self._stopping = False
        self._unsaid: list[str] = []
        self._timers: dict[str, asyncio.Handle] = {}

    @property
    def present(self) -> bool:
        """Whether somebody listens."""
        return self._address is not None

    def start(self) -> None:
        """Begin to tell; from the running loop."""
        if self._address is None:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._later("patience", self._patience_s, self._out_of_patience)
        self._extend()
        if self.watchdog_s is not None:
            self._pass_begins()
        self.look()

    def look(self) -> None:
        """Something may have changed: tell it soon."""
        if self._socket is not None and "look" not in self._timers:
            self._later("look", _SETTLE_S, self._look)

    def reloading(self) -> None:
        """A new configuration is being taken: `ready_again` follows."""
        self._reloading = True
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        self._extend()

    def ready_again(self) -> None:
        """Say that the reload is over; if we are still starting, READY comes in its own time."""
        self._reloading = False
        if self._ready:
            self._say("READY=1")

    def stopping(self) -> None:
        """We end, in good order."""
        if not self._stopping:
            self._stopping = True
            self._say("STOPPING=1")
            self._extend()
            self.look()

    def close(self) -> None:
        """Say how it ended, and then no more."""
        if "look" in self._timers:
            self._look()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # What is told.

    def _look(self) -> None:
        self._timers.pop("look").cancel()
        now = self._stand()
        words = []
        if now.settled and not self._ready and not self._stopping:
            self._ready = True
            if not self._reloading:
                words.append("READY=1")
        if now.line != self._said:
            self._said = now.line
            words.append(f"{_STATUS}{now.line}")
        if words:
            self._say("\n".join(words))

    def _out_of_patience(self) -> None:
        if not self._ready and not self._stopping:
            self._ready = True
            if not self._reloading:
                self._say("READY=1")

    def _extend(self) -> None:
        """Put the manager's timeout of a start, a reload or a stop off, while ours run."""
        if self._reloading or self._stopping or not self._ready:
            self._say(f"EXTEND_TIMEOUT_USEC={int(_EXTEND_S * 1e6)}")
            self._later("extend", _EXTEND_EVERY_S, self._extend)

    def _pass_begins(self) -> None:
        # Due timers come first in a pass of the loop, what they call `soon` in the next one: so
        # between these two all that was ready has been done.
        self._timers["ping"] = asyncio.get_running_loop().call_soon(self._pass_is_done)

    def _pass_is_done(self) -> None:
        assert self.watchdog_s is not None  # noqa: S101 - else there was no first one
        self._say("WATCHDOG=1")
        self._later("ping", self.watchdog_s / _PINGS_A_PERIOD, self._pass_begins)

    # How.

    def _later(self, name: str, delay_s: float, call: Callable[[], None]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, call)

    def _say(self, text: str) -> None:
        if self._socket is not None and text not in self._unsaid:  # pings do not pile up
            if text.startswith(_STATUS):  # nor do lines that are outdated, where nobody reads
                self._unsaid = [each for each in self._unsaid if not each.startswith(_STATUS)]
            self._unsaid.append(text)
            self._send()

    def _send(self) -> None:
        while self._unsaid and self._socket is not None and self._address is not None:
            try:
                self._socket.sendto(self._unsaid[0].encode("utf-8", "replace"), self._address)
            except BlockingIOError:
                self._later("again", _AGAIN_S, self._send)
                return
            except OSError:
                pass  # nobody is there any more; there is nobody to tell that, either
            self._unsaid.pop(0)
        with suppress(KeyError):
            self._timers.pop("again").cancel()


def _address(text: str) -> str | None:
    """Return the socket's address as sd_notify(3) writes it: a path, or "@name" (abstract)."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else None
