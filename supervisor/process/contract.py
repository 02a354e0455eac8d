"""The supervisor's end of the contract: what a bot's messages mean.

The other end is the bot's own (bot/link.py, or any sd_notify library); the two share golden lines
in the tests, not code.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from supervisor.core.events import (
    BotReady,
    CapsDeclared,
    Checkpointed,
    Event,
    Extended,
    Hung,
    ProofGiven,
    Released,
    SessionReported,
    SessionState,
    StandbyReached,
    UndecryptableSeen,
)
from supervisor.process.carried import Said
from supervisor.process.masks import drawn, without
from supervisor.process.notify import Message

_STATES: dict[str, SessionState] = {
    "connecting": "connecting",
    "restored": "restored",
    "linked": "linked",
    "pairing": "pairing",
    "lost": "lost",
    "conflict": "conflict",
    "offline": "offline",
}
_TAIL_LINES, _TAIL_CHARS = 30, 2000
_DIGITS = 18
_PAYLOADS_KEPT = 8


@dataclass(slots=True)
class Heard:
    """What a generation said that is no business of the core."""

    status: str = ""
    qr: str | None = None  # a secret: memory and the terminal only
    qr_until: float | None = None
    identity: str = ""
    beat_at: float | None = None  # its last WATCHDOG=1, by the monotonic clock
    checkpoint_signal: signal.Signals = signal.SIGUSR2
    checkpoint_asked_usec: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL_LINES))
    # Rotated codes may still be printed.
    payloads: deque[bytes] = field(default_factory=lambda: deque(maxlen=_PAYLOADS_KEPT))
    spoke: bool = False  # it speaks the contract itself: nobody has to guess

    def carry(self) -> Said:
        """Return all of it as plain values."""
        return Said(
            status=self.status,
            qr=self.qr,
            qr_until=self.qr_until,
            identity=self.identity,
            checkpoint_signal=self.checkpoint_signal.value,
            checkpoint_asked_usec=self.checkpoint_asked_usec,
            tail=tuple(self.tail),
            payloads=tuple(self.payloads),
            spoke=self.spoke,
        )

    @classmethod
    def of(cls, said: Said) -> Self:
        """Return what was carried. Raises: ValueError for a signal that is none."""
        heard = cls(
            status=said.status,
            qr=said.qr,
            qr_until=said.qr_until,
            identity=said.identity,
            checkpoint_signal=signal.Signals(said.checkpoint_signal),
            checkpoint_asked_usec=said.checkpoint_asked_usec,
            spoke=said.spoke,
        )
        heard.tail.extend(said.tail)
        heard.payloads.extend(said.payloads)
        return heard

    def blot(self, text: bytes) -> bytes:
        """Return a text without its QR codes' payloads."""
        return without(self.payloads, text)

    def keep(self, line: bytes) -> None:
        """Keep a line that it printed among its last words, which get into the journal."""
        text = line[:_TAIL_CHARS].decode("utf-8", "replace")
        if not drawn(text):  # a QR code is a secret
            self.tail.append(text)

    def take(  # noqa: C901, PLR0912 - a table
        self, generation: int, message: Message, clean: Callable[[str], str] = str
    ) -> Iterator[Event]:
        """Keep what is for us of a message, and yield what is for the core, in its order.

        `clean`: takes the secrets out of a text that people will read.
        """
        if "X_STILLHERE_QR" in message:  # first: it may stand in a text beside it
            self._show(message["X_STILLHERE_QR"], message.get("X_STILLHERE_QR_TTL_USEC", ""))
        if "STATUS" in message:
            self.status = clean(message["STATUS"])
        self.identity = message.get("X_STILLHERE_IDENTITY", self.identity)
        if "X_STILLHERE_CAPS" in message:
            yield self._caps(generation, message["X_STILLHERE_CAPS"].split())
        state = _STATES.get(message.get("X_STILLHERE_SESSION", ""))
        if state is not None:
            if state != "pairing":
                self.qr = self.qr_until = None
            reason = clean(message.get("X_STILLHERE_REASON", ""))
            yield SessionReported(generation, state, self.identity, reason)
        if message.get("X_STILLHERE_STANDBY") == "1":
            yield StandbyReached(generation)
        if (count := _number(message.get("X_STILLHERE_UNDECRYPTABLE", ""))) is not None:
            yield UndecryptableSeen(generation, count)
        if message.get("X_STILLHERE_PROOF") == "roundtrip":
            yield ProofGiven(generation, "roundtrip")
        if message.get("READY") == "1":
            yield BotReady(generation)
        if message.get("WATCHDOG") == "1":
            self.beat_at = time.monotonic()
        elif message.get("WATCHDOG") == "trigger":
            yield Hung(generation, "it said so itself (WATCHDOG=trigger)")
        if (usec := _number(message.get("EXTEND_TIMEOUT_USEC", ""))) is not None:
            yield Extended(generation, usec / 1e6)
        if message.get("X_STILLHERE_CHECKPOINT") == "1":
            at = _number(message.get("MONOTONIC_USEC", ""))
            if at is not None and at >= self.checkpoint_asked_usec:
                yield Checkpointed(generation)
        if message.get("X_STILLHERE_RELEASED") == "1":
            yield Released(generation)

    def _show(self, payload: str, ttl_usec: str) -> None:
        self.qr = payload or None
        if payload:
            self.payloads.append(payload.encode())
        ttl = _number(ttl_usec)
        self.qr_until = None if ttl is None else time.monotonic() + ttl / 1e6

    def _caps(self, generation: int, words: Sequence[str]) -> CapsDeclared:
        checkpoint = False
        for word in words:
            name, _, value = word.partition(":")
            if name == "checkpoint":
                with suppress(KeyError):
                    self.checkpoint_signal = signal.Signals[value or "SIGUSR2"]
                    checkpoint = True
        return CapsDeclared(
            generation,
            standby="standby" in words,
            checkpoint=checkpoint,
            roundtrip="roundtrip" in words,
        )


def _number(text: str) -> int | None:
    """Return the count that a bot said; None for what is none, and for more than 18 digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None
