"""One kind of alert of one bot: when it is told, told again, and told to be over. Pure.

What was said last is never better than what is: a bot that fails again after it was said to be
well is told at once. So that one that goes back and forth is not told each time, it must be well
for a while before it is said, and twice as long after each time that this was too early.
"""

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from supervisor.control.journal import now as rfc3339_now
from supervisor.core.printable import printable

VERSION = 1
SETTLED_S = 60.0
_DOUBLINGS_MAX = 20
_REASON_CHARS = 300
_LOOKED_AT_CHARS = 1000

Status = Literal["open", "resolved"]
Severity = Literal["critical", "warning", "info"]

# Of each kind: how bad it is, and what to do. Critical: the bot does not work until somebody acts.
KINDS: dict[str, tuple[Severity, str]] = {
    "pairing": ("critical", "stillhere link {bot}, and scan the QR code with the phone"),
    "logged_out": ("critical", "find out who ended the link; then: stillhere link {bot}"),
    "conflict": ("critical", "stop the other copy of this device; then: stillhere start {bot}"),
    "failed": ("critical", "stillhere logs {bot}; mend it; then: stillhere start {bot}"),
    "refused": ("critical", "stop the other supervisor, or let it do the work"),
    "not_up": (
        "critical",
        "stillhere logs {bot}; see whether its network and its server are there",
    ),
    "snapshots": ("warning", "stillhere events; see to the disk of the snapshots"),
    "snapshot_age": ("warning", "stillhere session snapshots; stillhere events"),
    "store": ("warning", "look after that disk; stillhere session check"),
    "restarts": ("warning", "stillhere logs {bot}; see whether it leaks, hangs or crashes"),
    "undecryptable": (
        "warning",
        "a new message may mend it; after a restore: stillhere session info",
    ),
    "test": ("info", "nothing: this was a test"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One message to a person. `t` is RFC 3339; docs/production.md promises the fields."""

    t: str
    bot: str
    kind: str
    status: Status
    severity: Severity
    summary: str
    what_to_do: str
    fields: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return what is sent."""
        return {"version": VERSION, **asdict(self)}


def made(bot: str, kind: str, text: str, fields: dict[str, Any], status: Status = "open") -> Alert:
    """Make an alert of one of the KINDS."""
    severity, todo = KINDS[kind]
    is_open = status == "open"
    return Alert(
        t=rfc3339_now(),
        bot=bot,
        kind=kind,
        status=status,
        severity=severity if is_open else "info",
        summary=f"{bot}: {text}" if is_open else f"{bot}: resolved: {text}",
        what_to_do=todo.format(bot=bot) if is_open else "",
        fields=fields,
    )


def harmless(text: object) -> str:
    """Return a reason for eyes elsewhere: one short line, no URL, of a path the last part only."""
    # A bot says what it likes, and the patterns take the square of its length.
    words = " ".join(str(text or "")[:_LOOKED_AT_CHARS].split())
    words = re.sub(r"\w+://\S+", "[URL]", words)
    words = re.sub(r"(?:[^\s/'\"]*/){2,}([^\s/'\"]*)", r".../\1", words)
    return printable(words)[:_REASON_CHARS]


@dataclass(slots=True)
class Case:
    """One kind of one bot. Instants (`_at`) are seconds of the caller's monotonic clock."""

    is_open: bool = False
    opened_at: float = 0.0
    told_at: float | None = None  # of this opening; None: not yet
    well_at: float | None = None  # it seems to be over since then
    over_at: float | None = None  # when the last opening was told to be over
    doublings: int = 0
    text: str = ""
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def lasts(self) -> bool:
        """Whether it is open, and nothing says that it is over."""
        return self.is_open and self.well_at is None

    def open(self, now: float, repeat_s: float, text: str, fields: dict[str, Any]) -> None:
        """It is so, or still so."""
        self.text, self.fields = text, fields
        if self.lasts:
            return
        recent = self.over_at is not None and now - self.over_at < repeat_s
        if not self.is_open:
            self.is_open, self.opened_at, self.told_at = True, now, None
            self.doublings = min(self.doublings + 1, _DOUBLINGS_MAX) if recent else 0
        else:
            self.doublings = min(self.doublings + 1, _DOUBLINGS_MAX)
        self.well_at = None

    def over(self, now: float) -> None:
        """It is not so any more. What nobody was told needs no end."""
        if self.lasts:
            if self.told_at is None:
                self.is_open = False
            else:
                self.well_at = now

    def untell(self) -> None:
        """What was told last has not got there, so it is due again."""
        if self.is_open:
            self.told_at = None
        else:
            self.is_open = self.well_at is not None

    def next_at(self, repeat_s: float) -> float | None:
        """Return when to tell of it next; None: never, as it stands."""
        if not self.is_open:
            return None
        if self.well_at is not None:
            return self.well_at + min(repeat_s, SETTLED_S * float(1 << self.doublings))
        return self.opened_at if self.told_at is None else self.told_at + repeat_s

    def tell(self, now: float, bot: str, kind: str) -> Alert:
        """Return the alert that is due."""
        if self.well_at is None:
            self.told_at = now
            return made(bot, kind, self.text, self.fields)
        self.is_open, self.over_at = False, now
        lasted = {"open_s": round(self.well_at - self.opened_at, 1)}
        return made(bot, kind, self.text, self.fields | lasted, "resolved")
