"""The one place where logging is set up: loguru in, lines for a person or for journald out."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from loguru import logger

from supervisor.cli.qr import plain
from supervisor.cli.screen import Screen
from supervisor.cli.tell import Line, Weight
from supervisor.service.logs.files import FILE
from supervisor.service.logs.journald import Journald

if TYPE_CHECKING:
    from loguru import Message

LEVEL: dict[Weight, str] = {
    "detail": "DEBUG",
    "info": "INFO",
    "good": "SUCCESS",
    "warn": "WARNING",
    "bad": "ERROR",
}
# sd-daemon's numbers: journald strips the prefix and files the line under it.
_PRIORITY = {"DEBUG": 7, "INFO": 6, "SUCCESS": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
_COLOUR = {"DEBUG": "2", "SUCCESS": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
DIM, OFF = "\x1b[2m", "\x1b[0m"


def to_journald(environ: Mapping[str, str], descriptor: int) -> bool:
    """Say whether this descriptor is journald's: it stamps the time itself."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


@dataclass(frozen=True, slots=True)
class Look:
    """How lines are to look. `journald`: no time, a priority; `seconds`: only the time of day.

    `journal`: entries with fields go there, in the place of lines.
    """

    colours: bool = False
    journald: bool = False
    seconds: bool = True
    journal: Journald | None = None

    def line(self, level: str, when: str, text: str) -> str:
        """Return one line, ended."""
        if self.journald:
            mark = f"<{_PRIORITY.get(level, 6)}>"
            return "".join(f"{mark}{part}\n" for part in text.split("\n"))
        if not self.seconds:
            name = "INFO" if level == "SUCCESS" else level
            return "".join(f"{when} {name:<7} {part}\n" for part in text.split("\n"))
        if not self.colours:
            return f"{when} {text}\n"
        colour = _COLOUR.get(level)
        shown = f"\x1b[{colour}m{text}{OFF}" if colour else text
        return f"{DIM}{when}{OFF} {shown}\n"


def wants_colours(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Say whether to colour what goes to a descriptor."""
    try:
        return os.isatty(descriptor) and not plain(environ)
    except OSError:
        return False


def set_up(screen: Screen, *, dev: bool, details: bool) -> Look:
    """Send loguru's lines to the screen: `dev` to stdout as the console, else to stderr."""
    descriptor = 1 if dev else 2
    journald = not dev and to_journald(os.environ, descriptor)
    look = Look(
        colours=dev and wants_colours(descriptor, os.environ),
        journald=journald,
        seconds=dev,
        journal=_journal() if journald else None,
    )

    def sink(message: "Message") -> None:
        record = message.record
        if look.journal is not None:
            priority = _PRIORITY.get(record["level"].name, 6)
            look.journal.send(str(message).rstrip("\n"), priority, record["extra"])
            return
        if look.seconds:
            when = record["time"].strftime("%H:%M:%S")
        else:
            utc = record["time"].astimezone(UTC)
            when = utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = look.line(record["level"].name, when, str(message).rstrip("\n"))
        screen.put(descriptor, line.encode("utf-8", "replace"))

    logger.remove()
    # `diagnose` would print the values of variables: keys and QR codes among them.
    logger.add(
        sink,
        level="DEBUG" if details else "INFO",
        filter=lambda record: FILE not in record["extra"],
        format="{message}",
        colorize=False,
        backtrace=False,
        diagnose=False,
    )
    return look


def _journal() -> Journald | None:
    try:
        return Journald()
    except OSError:  # it can't be reached from here: lines on stderr reach it, too
        return None


def tell(lines: list[Line], event: Mapping[str, Any]) -> None:
    """Log the console's lines of an event; a journal gets what it is about as fields, too."""
    about = logger.bind(
        STILLHERE_EVENT=event.get("event"),
        STILLHERE_BOT=event.get("bot"),
        STILLHERE_GENERATION=event.get("generation"),
    )
    for weight, text in lines:
        about.log(LEVEL[weight], "{}", text)


def stand_in_for_closed() -> None:
    """Put /dev/null where stdin, stdout or stderr was closed.

    Otherwise the next file that is opened gets that number, and console lines would be written
    into it: into a snapshot, say.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - the os module's signature
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - for the process's life
